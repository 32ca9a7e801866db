"""Peak memory grows with a scene's width, not with its height."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from predictor_stubs import blobs
from repository import ROOT, SUPPORT

MEASURE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from predictor_stubs import RedPredictor
from rrsis_geo import Outputs, segment_scene
from rrsis_geo.geo.scene import sources

sources.CACHE_MB = 16  # GDAL's cache is bounded, but it could hold all of these small scenes

def kibibytes(name):  # unlike getrusage, excludes the peak of the parent process
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

scene = Path(sys.argv[2])
outputs = Outputs(scene.with_suffix(".gpkg"), probability=scene.with_name(scene.stem + "-p.tif"))
before = kibibytes("VmRSS")
report = segment_scene(scene, "red discs", outputs, predictor=RedPredictor(512))
print(json.dumps([1024 * (kibibytes("VmHWM") - before), report.n_objects]))
"""


def peak_bytes(scene: Path) -> tuple[int, int]:
    """Peak memory of a run above that of the imports, and the number of objects."""
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, str(SUPPORT), str(scene)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    peak, n_objects = json.loads(process.stdout)
    return peak, n_objects


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc of Linux")
def test_peak_memory_does_not_grow_with_height(make_blobs: Callable[..., Path]) -> None:
    # few objects, because batches of up to 20,000 of them are not what is measured here
    few = blobs(period=150)
    low, high = (make_blobs(h, 1500, blocks=512, content=few) for h in (2048, 12 * 1024))
    (low_bytes, low_objects), (high_bytes, high_objects) = peak_bytes(low), peak_bytes(high)
    assert high_objects > 5 * low_objects
    # one more byte per pixel for any of the rasters would be 15 MB
    assert high_bytes - low_bytes < 15 * 2**20, (low_bytes, high_bytes)
