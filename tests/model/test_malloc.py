"""Settings of the memory allocator."""

import subprocess
import sys

import pytest

COUNT_PAGE_FAULTS = """
import resource
import numpy as np
from rrsis_geo.model.malloc import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = min(page_faults() for _ in range(3))
is_supported = keep_freed_memory()
print(int(is_supported), before, min(page_faults() for _ in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the settings")
def test_freed_memory_is_reused() -> None:
    run = subprocess.run(
        [sys.executable, "-c", COUNT_PAGE_FAULTS], capture_output=True, text=True, check=True
    )
    is_supported, before, after = map(int, run.stdout.split())
    if not is_supported:
        pytest.skip("not glibc")
    assert after < before / 10  # page faults for 64 MiB
