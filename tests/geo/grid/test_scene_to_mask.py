"""Read, blend, resample and write as one stream, in shards of any height."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scene_files import LOCAL_WKT

from rrsis_geo.geo.grid.blend import SKIPPED_LOGIT, BandMosaic
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.grid.rasters import NODATA, Georeference, RasterWriter, encode_mask
from rrsis_geo.geo.grid.resample import RowResampler
from rrsis_geo.geo.grid.rows import read_window_rows
from rrsis_geo.geo.grid.source_rows import ValidRows
from rrsis_geo.geo.grid.windows import Shard, WindowGrid, plan_shards
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import Scene, open_scene

MakeScene = Callable[..., Path]


def brightness(image: np.ndarray) -> np.ndarray:
    """A network without context: uint8 RGB [S, S, 3] -> log-odds, above 0 for bright pixels."""
    return (image.astype(np.float32).mean(axis=-1) - 128) / 32


def run_shard(
    scene: Scene, stretch: Stretch, model: ModelGrid, grid: WindowGrid, shard: Shard
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and validity of the output rows of a shard."""
    window_rows = shard.window_row_start, shard.window_row_stop
    mosaic = BandMosaic(grid, *window_rows)
    resampler = RowResampler(
        (model.height, model.width), scene.info.shape, dst_rows=(shard.row_start, shard.row_stop)
    )
    valid_rows = ValidRows(scene.info.width)
    logits, valid = [], []
    for row in read_window_rows(scene, stretch, grid, *window_rows, model=model):
        valid_rows.extend(row.source_valid)
        for col_j in row.valid_cols():
            mosaic.add(row.row_i, col_j, brightness(row.image(col_j)))
        for row_start, rows in resampler.push(*mosaic.finish_row(row.row_i)):
            logits.append(rows)
            valid.append(valid_rows.take(row_start, row_start + len(rows)))
    assert resampler.is_done
    return np.concatenate(logits), np.concatenate(valid)


def run(
    scene: Scene, gsd_m: float | None, rows_per_shard: int, overlap: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    stretch = measure_stretch(scene)
    model = model_grid(scene.info, gsd_m)
    grid = WindowGrid(model.height, model.width, 128, overlap)
    shards = plan_shards(grid, rows_per_shard, scene_height=scene.info.height)
    parts = [run_shard(scene, stretch, model, grid, shard) for shard in shards]
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("gsd_m", [None, 0.3, 0.9])
@pytest.mark.parametrize("overlap", [2, 30])
def test_result_does_not_depend_on_shards(
    make_scene: MakeScene, gsd_m: float | None, overlap: int
) -> None:
    row, col = np.mgrid[:1100, :330]
    invalid = (row - 500) ** 2 + (col - 100) ** 2 > 300**2
    with open_scene(make_scene(1100, 330, dtype="uint16", nodata=0, invalid=invalid)) as scene:
        whole, valid = run(scene, gsd_m, 10**6, overlap)
        assert whole.shape == (1100, 330)
        assert (valid == ~invalid).all()
        assert whole[valid].min() > -10  # valid pixels next to skipped windows have a value
        assert whole.min() == pytest.approx(SKIPPED_LOGIT)
        by_shard, _ = run(scene, gsd_m, 512, overlap)
        assert (by_shard == whole).all()


@pytest.mark.parametrize(
    "options",
    [
        {"transform": Affine(0.5, 0, 5e5, 0, -0.5, 5.2e6) @ Affine.rotation(30)},
        {"transform": Affine(0.5, 0, 5e5, 0, 0.5, 5.2e6)},
        {"crs": "EPSG:4326"},
        {"crs": LOCAL_WKT, "blocks": None},
        {"alpha": True},
        {"bands": 1, "dtype": "uint16", "scale": 7},
        {"dtype": "float32", "nodata": float("nan")},
        {"internal_mask": True},
    ],
    ids=str,
)
def test_network_without_context_gives_the_value_of_each_pixel(
    make_scene: MakeScene, tmp_path: Path, options: dict[str, object]
) -> None:
    invalid = np.zeros((150, 260), bool)
    if {"alpha", "nodata", "internal_mask"} & set(options):
        invalid[40:, 190:] = True
    with open_scene(make_scene(150, 260, invalid=invalid, **options)) as scene:
        logits, valid = run(scene, None, 512)
        stretch = measure_stretch(scene)
        info = scene.info
        expected = brightness(stretch.apply(*scene.read(rasterio.windows.Window(0, 0, 260, 150))))
        np.testing.assert_allclose(logits[valid], expected[valid], atol=1e-5)
        path = tmp_path / "mask.tif"
        georeference = Georeference(info.shape, info.crs, info.transform)
        with RasterWriter(path, "mask", georeference) as out:
            out.write_band(0, encode_mask(logits > 0, valid))
    with rasterio.open(path) as dataset:
        assert dataset.crs == info.crs
        assert dataset.transform.almost_equals(info.transform)
        mask = dataset.read(1)
    assert (mask[invalid] == NODATA).all()
    assert ((mask == 1) == (valid & (logits > 0))).all()


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 1), (5, 129), (127, 128)])
@pytest.mark.parametrize("gsd_m", [None, 0.2, 2.0])
def test_small_and_thin_scenes(
    make_scene: MakeScene, shape: tuple[int, int], gsd_m: float | None
) -> None:
    with open_scene(make_scene(*shape)) as scene:
        logits, valid = run(scene, gsd_m, 512)
        assert logits.shape == shape
        assert valid.all()
        assert np.isfinite(logits).all()
        assert logits.min() > -10
