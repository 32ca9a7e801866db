import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from rrsis_geo.model.malloc import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = min(faults() for _ in range(3))
kept = keep_freed_memory()
print(int(kept), before, min(faults() for _ in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the settings")
def test_freed_memory_is_used_again() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, before, after = map(int, run.stdout.split())
    if not kept:
        pytest.skip("not glibc")
    assert after < before / 10  # pages that the system had to find for 64 MiB
