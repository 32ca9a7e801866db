import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.windows import Window
from repository import SHARED
from scene_files import LOCAL_WKT

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.scene import Area, open_scene

MakeScene = Callable[..., Path]
PARTS = ("num", "den")
SCENES = SHARED / "scenes"


def test_info(make_scene: MakeScene) -> None:
    path = make_scene(200, 300)
    with open_scene(path) as scene:
        info = scene.info
    assert info.path == str(path)
    assert info.shape == (200, 300)
    assert info.crs == CRS.from_epsg(32632)
    assert info.transform == Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000)
    assert info.dtypes == ("uint8",) * 3
    assert info.gsd_m == pytest.approx(0.5002, rel=1e-5)
    assert info.size_bytes == path.stat().st_size
    assert info.mtime == path.stat().st_mtime
    assert (info.row_off, info.col_off) == (0, 0)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.5, 0, 500_000, 0, 0.5, 5_200_000),
        Affine(0.5, 0, 500_000, 0, -0.5, 5_200_000) @ Affine.rotation(33),
        Affine(0.5, 0.2, 500_000, 0.1, -0.7, 5_200_000),
    ],
    ids=["south-up", "rotated", "sheared"],
)
def test_any_affine_and_crs_without_code(make_scene: MakeScene, transform: Affine) -> None:
    with open_scene(make_scene(crs=LOCAL_WKT, transform=transform)) as scene:
        assert scene.info.transform.almost_equals(transform)
        assert scene.info.crs == CRS.from_wkt(LOCAL_WKT)
        assert scene.info.crs.to_epsg() is None


def test_gsd_of_a_geographic_scene_is_in_metres(make_scene: MakeScene) -> None:
    with open_scene(make_scene(crs="EPSG:4326")) as scene:
        assert scene.info.gsd_row_m == pytest.approx(1.1118, rel=1e-3)
        assert scene.info.gsd_col_m == pytest.approx(0.7591, rel=1e-3)
        assert scene.info.gsd_m == pytest.approx((1.1118 + 0.7591) / 2, rel=1e-3)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tif: no such file"):
        open_scene(tmp_path / "nowhere.tif")


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\0\x08\0\0\0"])
def test_not_a_raster(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.tif: not a raster"):
        open_scene(path)
    with pytest.raises(InputError, match="not a raster"):
        open_scene(tmp_path)


def test_scene_without_crs(make_scene: MakeScene) -> None:
    path = make_scene(crs=None, transform=Affine.identity())
    with pytest.raises(InputError, match=r"no CRS; assign one .*--allow-no-crs"):
        open_scene(path)
    with open_scene(path, allow_no_crs=True) as scene:
        assert scene.info.crs is None
        assert scene.info.gsd_m is None
        assert scene.info.transform.is_identity


def test_ground_control_points_only(tmp_path: Path) -> None:
    path = tmp_path / "gcp.tif"
    points = [GroundControlPoint(r, c, 8 + c / 1e5, 47 - r / 1e5) for r in (0, 9) for c in (0, 9)]
    profile = {"driver": "GTiff", "width": 10, "height": 10, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, gcps=points, crs="EPSG:4326") as dataset:
        dataset.write(np.zeros((3, 10, 10), np.uint8))
    expected = "has only ground control points; warp it first: gdalwarp -tps"
    with pytest.raises(InputError, match=expected):
        open_scene(path)


def test_rpcs_only(tmp_path: Path) -> None:
    path = tmp_path / "rpc.tif"
    scales = dict.fromkeys(("height", "lat", "long", "line", "samp"), 1.0)
    rpc = RPC(
        **{f"{name}_off": 0.0 for name in scales},
        **{f"{name}_scale": value for name, value in scales.items()},
        **{f"{axis}_{part}_coeff": [1.0] * 20 for axis in ("line", "samp") for part in PARTS},
    )
    profile = {"driver": "GTiff", "width": 10, "height": 10, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, rpcs=rpc) as dataset:
        dataset.write(np.zeros((3, 10, 10), np.uint8))
    with pytest.raises(InputError, match="has only RPCs; warp it first: gdalwarp -rpc"):
        open_scene(path)


def test_crs_without_a_transform(make_scene: MakeScene) -> None:
    path = make_scene(transform=Affine.identity())
    with pytest.raises(InputError, match="has a CRS but no transform"):
        open_scene(path)


@pytest.mark.parametrize("blocks", [64, None], ids=["tiled", "striped"])
@pytest.mark.parametrize("compress", ["deflate", None])
def test_truncated_file(make_scene: MakeScene, blocks: int | None, compress: str | None) -> None:
    path = make_scene(400, 300, blocks=blocks, compress=compress)
    os.truncate(path, path.stat().st_size // 2)
    expected = r"scene-0\.tif: (rows 380 to 400 cannot be read|not a r)"
    with pytest.raises(InputError, match=expected), open_scene(path) as scene:
        scene.read(Window(0, 380, 300, 20))


def test_file_with_several_rasters(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    profile = {"driver": "GPKG", "width": 8, "height": 8, "count": 3, "dtype": "uint8"}
    georeference = {"crs": "EPSG:32632", "transform": Affine(1, 0, 500_000, 0, -1, 5_200_000)}
    for name in ("north", "south"):
        options = {"RASTER_TABLE": name, "APPEND_SUBDATASET": name == "south"}
        with rasterio.open(path, "w", **profile, **georeference, **options) as dataset:
            dataset.write(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"two\.gpkg: contains several rasters; .*:north"):
        open_scene(path)


def test_scenes_can_be_closed_in_any_order(make_scene: MakeScene) -> None:
    first, second = open_scene(make_scene()), open_scene(make_scene())
    first.close()
    assert second.read(Window(0, 0, 5, 5))[1].all()
    second.close()


def test_part_reads_pixels_around_it(make_scene: MakeScene) -> None:
    with open_scene(make_scene(200, 300)) as scene:
        part = scene.crop(Area(Window(40, 60, 100, 50)))
        assert part.info.shape == (50, 100)
        assert part.info.transform == scene.info.transform @ Affine.translation(40, 60)
        assert part.info.gsd_m == scene.info.gsd_m
        assert part.whole == scene.info
        pixels, _ = part.read(Window(-10, -20, 30, 40))
        assert (pixels == scene.read(Window(30, 40, 30, 40))[0]).all()
        mask = part.area_mask(Window(-10, -20, 30, 40))
        assert not mask[:20].any()
        assert not mask[:, :10].any()
        assert mask[20:, 10:].all()
        assert not part.area_mask(Window(90, 40, 20, 20))[10:].any()


def test_area_mask_does_not_depend_on_the_window(make_scene: MakeScene) -> None:
    polygon = shapely.Point(150, 100).buffer(40.3)
    with open_scene(make_scene(200, 300)) as scene:
        part = scene.crop(Area(Window(109, 59, 82, 82), polygon))
        whole = part.area_mask(Window(0, 0, 82, 82))
        bands = [part.area_mask(Window(0, row, 82, 7)) for row in range(0, 77, 7)]
        assert (np.concatenate(bands) == whole[:77]).all()
        area = whole.sum()
        assert polygon.area < area < polygon.buffer(1.5).area
        assert scene.area_mask(Window(0, 0, 300, 200)).all()


def test_thumbnail_keeps_shape_and_validity(make_scene: MakeScene) -> None:
    invalid = np.zeros((200, 300), bool)
    invalid[:, :150] = True
    for options in ({"nodata": 0}, {"alpha": True}, {"internal_mask": True}):
        with open_scene(make_scene(200, 300, invalid=invalid, **options)) as scene:
            pixels, valid = scene.thumbnail(30)
            assert pixels.shape == (3, 20, 30)
            assert (valid == (np.arange(30) >= 15)).all()
            part = scene.crop(Area(Window(200, 20, 10, 8)))
            assert (part.thumbnail(1000)[0] == part.read(Window(0, 0, 10, 8))[0]).all()


@pytest.mark.skipif(not SCENES.is_dir(), reason="needs the shared scenes")
@pytest.mark.parametrize(
    ("name", "gsd_m"),
    [
        ("banepa_road_15cm_epsg3857", 0.132),
        ("kampala_15cm_epsg3857", 0.149),
        ("naip_highway_60cm_epsg26911", 0.6),
        ("naip_ohare_plane_60cm_epsg26916", 0.6),
    ],
)
def test_real_scenes(name: str, gsd_m: float) -> None:
    with open_scene(SCENES / f"{name}.tif") as scene:
        assert scene.info.gsd_m == pytest.approx(gsd_m, rel=0.01)
        assert scene.info.validity == "all"
        assert scene.info.bands == (1, 2, 3)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.5, 0, math.nan, 0, -0.5, 0),
        Affine(0.5, 0, 0, 0, -0.5, math.inf),
        Affine(1e300, 0, 0, 0, -1e300, 0),
        Affine(1e-12, 0, 5e5, 0, -1e-12, 5e6),
    ],
    ids=str,
)
def test_degenerate_transforms(make_scene: Callable[..., Path], transform: Affine) -> None:
    with pytest.raises(InputError, match="gives neighbouring pixels the same coordinates"):
        open_scene(make_scene(transform=transform))
