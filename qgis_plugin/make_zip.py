"""Write the QGIS plugin as a zip file that the plugin manager of QGIS installs.

Usage: python qgis_plugin/make_zip.py [dist/rrsis_geo.zip]
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PLUGIN = Path(__file__).parent / "rrsis_geo"
LICENSE = Path(__file__).parent.parent / "LICENSE"
SUFFIXES = {".py", ".svg", ".txt"}
PLACEHOLDER = "example.org"
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file, so that the same sources give the same zip."""


def write_zip(path: Path) -> None:
    """Write the plugin and its licence.

    Args:
        path: of the zip file; it is replaced if it exists.
    """
    files = {
        f"{PLUGIN.name}/{file.relative_to(PLUGIN).as_posix()}": file
        for file in sorted(PLUGIN.rglob("*"))
        if file.suffix in SUFFIXES
    }
    files[f"{PLUGIN.name}/LICENSE"] = LICENSE
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            info = zipfile.ZipInfo(name, DATE)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/rrsis_geo.zip")
    write_zip(target)
    print(target)
    if PLACEHOLDER in (PLUGIN / "metadata.txt").read_text(encoding="utf-8"):
        print(
            f"{PLUGIN / 'metadata.txt'}: addresses at {PLACEHOLDER} stand for those of the "
            "project; set them, and [project.urls] in pyproject.toml, before you publish the zip",
            file=sys.stderr,
        )
