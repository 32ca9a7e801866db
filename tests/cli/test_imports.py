"""What commands import: users wait for it, and torch alone takes seconds."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from bright_stub import BrightPredictor
from rasterio.crs import CRS
from repository import ROOT, SAMPLE_DATA

from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_probability
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_part

NETWORK = {"torch", "timm", "transformers", "tokenizers", "safetensors"}
VECTORS = {"geopandas", "pandas", "pyogrio", "arro3", "pyarrow"}
RASTERS = {"shapely", "rasterio", "pyproj", "PIL"}
RARE = {"scipy", "skimage", "nltk", "jinja2", "sklearn", "huggingface_hub", "distributed"}

SCENE = str(SAMPLE_DATA / "scene.tif")
SEGMENT = ("segment", SCENE, "the red car")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "unused"),
    [
        (("models",), 0, NETWORK | RARE | VECTORS | RASTERS),
        (("info", SCENE), 0, NETWORK | RARE | VECTORS),
        (("info", "missing.tif"), 3, NETWORK | RARE | VECTORS),
        ((*SEGMENT, "--explain"), 0, NETWORK | RARE | VECTORS),
        ((*SEGMENT, "-o", "README.md"), 5, NETWORK | RARE),
        ((*SEGMENT, "--model", "missing"), 4, NETWORK | RARE),
        ((*SEGMENT, "--bbox=0,0,1,1"), 3, NETWORK | RARE),
        (("segment", "missing.tif", "the red car"), 3, NETWORK | RARE),
        (("merge", "missing.gpkg.job"), 3, NETWORK | RARE),
        (("export", "-o", "model.pt"), 2, NETWORK | RARE | VECTORS | RASTERS | {"onnx"}),
    ],
    ids=lambda value: Path(value[-1]).name if isinstance(value, tuple) else "",
)
def test_commands_that_run_no_network(
    arguments: Sequence[str], exit_code: int, unused: set[str], tmp_path: Path
) -> None:
    assert imports_of(arguments, tmp_path, exit_code) & unused == set()


def test_polygons_from_a_probability(tmp_path: Path) -> None:
    values = np.zeros((40, 60), np.float32)
    values[4:10, 4:10] = 0.9
    place = Georeference(values.shape, CRS.from_epsg(32632), Affine(0.5, 0, 5e5, 0, -0.5, 52e5))
    tags = {"expression": "the white van", "model": "lite"}
    with RasterWriter(tmp_path / "van.tif", "probability", place, tags=tags) as out:
        out.write_band(0, encode_probability(values, np.ones(values.shape, bool)))
    arguments = ("segment", "--from-probability", "van.tif")
    assert imports_of(arguments, tmp_path) & (NETWORK | RARE) == set()
    assert (tmp_path / "van.gpkg").is_file()


def test_merging_shards(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    outputs, options = Outputs(tmp_path / "spots.gpkg"), SegmentOptions(overlap_px=16)
    part = segment_part(
        make_scene(), "spots", outputs, (1, 1), options, predictor=BrightPredictor()
    )
    assert imports_of(("merge", str(part.job)), tmp_path) & (NETWORK | RARE) == set()
    assert outputs.vector.is_file()


def test_rooms_that_leave_the_network_to_functions(tmp_path: Path) -> None:
    """All modules of `segment`, and of what it needs besides the network."""
    folders = ("cli", "explore", "geo", "resolve", "segment", "text/query")
    files = [path for folder in folders for path in (ROOT / "rrsis_geo" / folder).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    code = f"for name in {names}: importlib.import_module(name.removesuffix('.__init__'))"
    assert len(names) > 100
    assert run_and_list_imports(code, tmp_path) & NETWORK == set()


def test_the_shipped_model_needs_no_timm(tmp_path: Path) -> None:
    """Importing timm, torchvision and `torch._dynamo` takes longer than importing torch."""
    code = (
        "import numpy\n"
        "from rrsis_geo.model.bundle import load_bundle\n"
        "from rrsis_geo.model.predictor import Predictor\n"
        "predictor = Predictor(load_bundle(), 'cpu')\n"
        "predictor.predict_pairs(numpy.zeros((1, 64, 64, 3), numpy.uint8), ['all cars'])\n"
        "sys.modules.update({'dynamo': None} if 'torch._dynamo' in sys.modules else {})"
    )
    imported = run_and_list_imports(code, tmp_path)
    assert "torch" in imported
    assert imported & {"timm", "torchvision", "transformers", "dynamo"} == set()


def imports_of(arguments: Sequence[str], folder: Path, exit_code: int = 0) -> set[str]:
    """Top-level names of the modules that a command imports when it runs in a folder."""
    code = (
        "from rrsis_geo.cli import app\n"
        "try:\n"
        f"    app({list(arguments)})\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or 0) == {exit_code}, end.code"
    )
    return run_and_list_imports(code, folder)


def run_and_list_imports(code: str, folder: Path) -> set[str]:
    report = "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import importlib, json, sys\n{code}\n{report}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.strip().splitlines()[-1])}
