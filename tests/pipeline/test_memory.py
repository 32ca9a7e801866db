"""Peak memory grows with a scene's width, not with its height."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEASURE = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pipeline_stubs import RedPredictor
from rrsis_geo import Outputs, SegmentOptions, segment_scene
scene = Path(sys.argv[2])
outputs = Outputs(scene.with_suffix(".gpkg"), probability=scene.with_name(scene.stem + "-p.tif"))
pages = int(Path("/proc/self/statm").read_text().split()[1])
report = segment_scene(scene, "red discs", outputs, predictor=RedPredictor(512))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([peak - pages * resource.getpagesize(), report.n_objects]))
"""


def peak_bytes(scene: Path) -> tuple[int, int]:
    """Peak of a run beyond the imports, and the number of its objects."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(Path(__file__).parent), str(scene)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    peak, n_objects = json.loads(done.stdout)
    return peak, n_objects


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measured as Linux tells it")
def test_peak_memory_does_not_grow_with_height(make_blobs: Callable[..., Path]) -> None:
    low, high = (make_blobs(height, 1500, blocks=512) for height in (2048, 12 * 1024))
    (low_bytes, low_objects), (high_bytes, high_objects) = peak_bytes(low), peak_bytes(high)
    assert high_objects > 5 * low_objects
    # a sixth of the pixels more: 10,240 x 1500 of them, at a byte each, would be 15 MB a raster
    assert high_bytes - low_bytes < 15 * 2**20, (low_bytes, high_bytes)
