"""Labels from vector files, in pixels of a scene."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from shapely.geometry import LineString, Point, Polygon, box

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.chips.labels import (
    LabelColumns,
    Labels,
    find_overlapping,
    rasterize_shape,
    read_labels,
)
from rrsis_geo.geo.grid.model_grid import model_grid
from rrsis_geo.geo.scene.scene import open_scene

LEFT, TOP = 500_000.0, 5_200_000.0
"""Upper left corner of the scenes of ``make_scene``: 0.5 m pixels in EPSG:32632."""


def ground_box(row: int, col: int, height: int, width: int) -> Polygon:
    """A rectangle of pixels in world coordinates."""
    x, y = LEFT + 0.5 * col, TOP - 0.5 * row
    return box(x, y - 0.5 * height, x + 0.5 * width, y)


def write(path: Path, shapes: list, crs: str | None = "EPSG:32632", **columns: list) -> Path:
    table = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32632")
    table = table.set_crs(None, allow_override=True) if crs is None else table.to_crs(crs)
    table.to_file(path, engine="pyogrio")
    return path


def read(scene: Path, labels: Path, gsd_m: float | None = None, **columns: object) -> Labels:
    options = {"category_column": "what", **columns}
    with open_scene(scene) as dataset:
        grid = model_grid(dataset.info, gsd_m)
        return read_labels(dataset.info, grid, labels, LabelColumns(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857", None])
def test_labels_in_any_crs_cover_the_same_pixels(
    make_scene: Callable[..., Path], tmp_path: Path, crs: str | None
) -> None:
    labels = write(tmp_path / "labels.gpkg", [ground_box(20, 30, 10, 16)], crs, what=["truck"])
    labelled = read(make_scene(), labels)
    mask = rasterize_shape(labelled.shapes[0], Window(0, 0, 300, 200))
    expected = np.zeros((200, 300), bool)
    expected[20:30, 30:46] = True
    assert (mask == expected).all()
    assert labelled.categories == ["truck"]


def test_shapes_are_in_pixels_of_the_model_grid(
    make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    labels = write(tmp_path / "labels.gpkg", [ground_box(20, 30, 10, 16)], what=["truck"])
    labelled = read(make_scene(), labels, gsd_m=1.0)
    assert labelled.shapes[0].bounds == pytest.approx((15, 10, 23, 15), abs=0.05)


def test_unusable_labels_are_counted(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    x, y = LEFT + 50, TOP - 50
    bow_tie = Polygon([(x, y), (x + 9, y + 9), (x + 9, y), (x, y + 9)])
    shapes = [ground_box(1, 1, 9, 9), bow_tie, ground_box(900, 9, 9, 9), Point(x, y), None]
    shapes += [ground_box(50, 50, 5, 5)] * 2
    labels = write(tmp_path / "labels.gpkg", shapes, what=["a", "b", "c", "d", "e", None, " "])
    labelled = read(make_scene(), labels)
    assert labelled.categories == ["a", "b"]
    assert (labelled.n_read, labelled.n_outside, labelled.n_empty, labelled.n_uncategorized) == (
        7,
        1,
        2,
        2,
    )
    assert labelled.n_repaired == 1
    assert labelled.shapes[1].is_valid
    assert labelled.shapes[1].area == pytest.approx(81 / 2 / 0.25, rel=1e-3)


def test_objects_that_the_user_marked_as_wrong_are_left_out(
    make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    shapes = [ground_box(10 * row, 1, 9, 9) for row in range(1, 5)]
    status = ["wrong", "ok", None, "wrong"]
    labels = write(tmp_path / "o.gpkg", shapes, what=["a", "b", "c", None], status=status)
    labelled = read(make_scene(), labels)
    assert labelled.categories == ["b", "c"]
    assert (labelled.n_read, labelled.n_wrong, labelled.n_uncategorized) == (4, 2, 0)


def test_points_and_lines_become_polygons_of_the_given_size(
    make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    x, y = LEFT + 50, TOP - 50
    shapes = [Point(x, y), Point(x + 20, y), LineString([(x, y), (x + 30, y)])]
    labels = write(tmp_path / "p.gpkg", shapes, what=["tree"] * 3, width=[8.0, None, 2.0])
    labelled = read(make_scene(), labels, size_column="width", size_m=4.0)
    areas_m2 = shapely.area(labelled.shapes) * 0.25
    # UTM scale at the central meridian: a metre on the ground is 0.9996 grid metres
    assert areas_m2[:2] == pytest.approx([np.pi * 16, np.pi * 4], rel=0.02)
    assert areas_m2[2] == pytest.approx(30 * 2 + np.pi, rel=0.02)
    assert labelled.from_points.all()
    with pytest.raises(ConfigError, match="--size"):
        read(make_scene(), labels)


def test_attributes_are_text_without_empty_values(
    make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    shapes = [ground_box(5, 5, 9, 9), ground_box(30, 5, 9, 9)]
    labels = write(
        tmp_path / "l.gpkg", shapes, what=["car", "car"], colour=["Red ", None], lanes=[2.0, None]
    )
    labelled = read(make_scene(), labels, attribute_columns=("colour", "lanes"))
    assert labelled.attributes == [{"colour": "red", "lanes": "2"}, {}]


def test_error_messages(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    scene = make_scene()
    labels = write(tmp_path / "l.gpkg", [ground_box(5, 5, 9, 9)], kind=["car"])
    with pytest.raises(ConfigError, match=r'no column "what"; its columns: kind'):
        read(scene, labels)
    table = gpd.read_file(labels)
    table.to_file(labels, layer="other", engine="pyogrio")
    with pytest.raises(ConfigError, match=r"several layers; choose one with --layer: l, other"):
        read(scene, labels)
    with pytest.raises(ConfigError, match=r"no layer 'third'; its layers: l, other"):
        read(scene, labels, layer="third")
    with pytest.raises(InputError, match="no such file"):
        read(scene, tmp_path / "none.gpkg")
    with pytest.raises(InputError, match="not vector data"):
        read(scene, scene)
    far = write(tmp_path / "far.gpkg", [ground_box(9000, 5, 9, 9)], "EPSG:4326", what=["car"])
    with pytest.raises(InputError, match=r"no label overlaps the scene .*WGS 84"):
        read(scene, far)
    with pytest.raises(ConfigError, match=r"--category-column .* --category .*; both were given"):
        LabelColumns(category="car", category_column="what")


@given(
    row=st.integers(0, 40),
    col=st.integers(0, 40),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    top=st.integers(0, 40),
    left=st.integers(0, 40),
)
def test_rasterized_whole_pixels_are_exact_in_any_window(
    row: int, col: int, height: int, width: int, top: int, left: int
) -> None:
    whole = np.zeros((100, 100), bool)
    whole[row : row + height, col : col + width] = True
    mask = rasterize_shape(box(col, row, col + width, row + height), Window(left, top, 50, 40))
    assert (mask == whole[top : top + 40, left : left + 50]).all()


def test_shape_without_a_pixel_centre_gets_the_pixels_it_touches() -> None:
    mask = rasterize_shape(box(5.6, 5.6, 5.9, 5.9), Window(0, 0, 10, 10))
    assert np.argwhere(mask).tolist() == [[5, 5]]


def test_shapes_that_end_at_the_window_edge_do_not_overlap_it() -> None:
    shapes = np.array([box(0, 0, 10, 10), box(8, 0, 12, 5)], object)
    windows = [Window(0, 0, 10, 10), Window(10, 0, 10, 10), Window(20, 0, 9, 9)]
    assert list(find_overlapping(shapes, windows)) == [[0, 1], [1], []]


def test_coordinates_without_bounds_are_no_label(
    make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    shapes = [box(-1e308, -1e308, 1e308, 1e308), ground_box(20, 30, 10, 16)]
    labelled = read(make_scene(), write(tmp_path / "l.gpkg", shapes, what=["a", "b"]))
    assert (labelled.categories, labelled.n_empty) == (["b"], 1)
