"""benchmarks/overfit.py shows that the network can learn."""

import re
import subprocess
import sys

import pytest
from repository import ROOT


@pytest.mark.slow
def test_btdnet_overfits_sixteen_painted_samples(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "overfit.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    match = re.search(r"train mIoU ([\d.]+)", done.stdout)
    assert match is not None
    assert float(match[1]) > 0.9
