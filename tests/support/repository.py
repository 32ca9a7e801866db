"""Paths of this checkout, independent of the working directory."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
SAMPLE_DATA = ROOT / "sample_data"
SHARED = ROOT.parent / "shared"
