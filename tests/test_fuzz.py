"""Malformed and hostile files end in one of our errors, or in whole results: nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT, SUPPORT

COUNTS = {"raster": 130, "vector": 70, "bundle": 50, "coco": 30, "triplets": 40, "probability": 20}
"""Cases of each family of `fuzz_cases`: 340."""
QUICK = {"raster": 13, "vector": 6, "bundle": 5, "coco": 6, "triplets": 8, "probability": 5}


def worked_through(folder: Path, cases: list[str], timeout_s: float) -> list[dict[str, Any]]:
    """What became of each case, in a process with bounded memory."""
    paths = (ROOT, SUPPORT)
    done = subprocess.run(
        [sys.executable, SUPPORT / "fuzz_cases.py", folder, *cases],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} ended the process: {done.stderr[-3000:]}"
    return [line for line in lines if "case" in line]


def check(found: list[dict[str, Any]], n: int) -> None:
    assert len(found) == n
    for line in found:
        assert line["ending"] != "bug", f"{line['case']}: {line['told']}"
        if line["ending"] != "done":
            assert len(line["told"]) > 10
            assert "Traceback" not in line["told"]


def test_some_hostile_files(tmp_path: Path) -> None:
    cases = [f"{family}:{seed}" for family, n in QUICK.items() for seed in range(n)]
    check(worked_through(tmp_path, cases, 300), sum(QUICK.values()))


@pytest.mark.slow
@pytest.mark.parametrize("family", COUNTS)
def test_hostile_files(tmp_path: Path, family: str) -> None:
    cases = [f"{family}:{seed}" for seed in range(COUNTS[family])]
    found = worked_through(tmp_path, cases, 1800)
    check(found, len(cases))
    endings = {line["ending"] for line in found}
    assert len(endings) > 1, "some must fail, some must work, or nothing is tried"
