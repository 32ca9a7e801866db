"""The network can learn: benchmarks/overfit.py does what it says."""

import re
import subprocess
import sys

import pytest
from repository import ROOT


@pytest.mark.slow
def test_btdnet_learns_sixteen_painted_samples_by_heart(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "overfit.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found = re.search(r"train mIoU ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) > 0.9
