"""benchmarks/overfit.py shows that every network can learn."""

import re
import subprocess
import sys

import pytest
from repository import ROOT

from rrsis_geo.nets import NETS


@pytest.mark.slow
@pytest.mark.parametrize("net", [*NETS, "lavt-lite", "rmsin-lite", "fianet-lite"])
def test_a_network_overfits_sixteen_painted_samples(net, tmp_path):
    script = ROOT / "benchmarks" / "overfit.py"
    command = [sys.executable, str(script), str(tmp_path), "--net", net]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    match = re.search(r"train mIoU ([\d.]+)", done.stdout)
    assert match is not None
    assert float(match[1]) > 0.9
