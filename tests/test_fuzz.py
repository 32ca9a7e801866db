"""Malformed and hostile files end in one of our errors or in complete results."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT, SUPPORT

CASES = {
    **{"raster": 130, "vector": 70, "bundle": 80, "coco": 60, "triplets": 60, "probability": 40},
    **{"expression": 60, "output": 70, "option": 80, "stac": 60, "job": 60},
}
"""Number of cases of each family of `fuzz_cases`, 770 in total."""
QUICK_CASES = {
    **{"raster": 13, "vector": 6, "bundle": 5, "coco": 6, "triplets": 8, "probability": 5},
    **{"expression": 5, "output": 5, "option": 5, "stac": 5, "job": 5},
}
MAX_SECONDS = 20
"""Time of the CPU for a case."""
MAX_BYTES = 3 * 2**29
"""Memory of a case, of which libraries take about 0.7 GB."""


def run_cases(folder: Path, cases: list[str], timeout_s: float) -> list[dict[str, Any]]:
    """Run cases in a process with limited memory and return one result per case."""
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


def check_results(results: list[dict[str, Any]], n: int) -> None:
    assert len(results) == n
    for result in results:
        assert result["outcome"] != "bug", f"{result['case']}: {result['message']}"
        assert result["peak_bytes"] < MAX_BYTES, result
        assert result["seconds"] < MAX_SECONDS, result
        if result["outcome"] != "done":
            assert len(result["message"]) > 10
            assert "Traceback" not in result["message"]


def test_quick_selection_of_hostile_files(tmp_path: Path) -> None:
    cases = [f"{family}:{seed}" for family, n in QUICK_CASES.items() for seed in range(n)]
    check_results(run_cases(tmp_path, cases, 300), sum(QUICK_CASES.values()))


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_hostile_files(tmp_path: Path, family: str) -> None:
    cases = [f"{family}:{seed}" for seed in range(CASES[family])]
    results = run_cases(tmp_path, cases, 1800)
    check_results(results, len(cases))
    outcomes = {result["outcome"] for result in results}
    assert len(outcomes) > 1, "some cases should fail and some should succeed"
