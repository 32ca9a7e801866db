"""Read a user's labels from a vector file, in pixel coordinates of a scene."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.grid.model_grid import ModelGrid
from rrsis_geo.geo.scene.scene import MAX_COORDINATE, SceneInfo
from rrsis_geo.geo.scene.vector_files import all_finite, choose_layer, read_vectors

logger = logging.getLogger(__name__)

STATUS, WRONG = "status", "wrong"
"""Column of a result of ``segment`` for the judgement of the user, and its value for mistakes."""
_TINY_PX = 4
"""Area in pixels up to which a shape may cover no pixel centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumns:
    """Which layer and columns of a vector file describe its labels.

    Exactly one of ``category_column`` and ``category`` is given.

    Attributes:
        category_column: column with the category of each label.
        category: one category for all labels.
        layer: layer of the file; None if the file has a single layer.
        attribute_columns: columns to keep as attributes of the labels.
        size_column: column with the diameter of points and the width of lines, in metres.
        size_m: the same for labels without a value in ``size_column``.
    """

    category_column: str | None = None
    category: str | None = None
    layer: str | None = None
    attribute_columns: tuple[str, ...] = ()
    size_column: str | None = None
    size_m: float | None = None

    def __post_init__(self) -> None:
        if (self.category_column is None) == (self.category is None):
            given = "neither was" if self.category is None else "both were"
            raise ConfigError(
                "give either --category-column (a column with the category of each label) or "
                f"--category (one category for all labels); {given} given"
            )
        if self.size_m is not None and not 0 < self.size_m < np.inf:
            raise ConfigError(f"size must be above 0 metres, got {self.size_m:g}")

    def required(self) -> list[str]:
        """Names of the columns that the file must have."""
        names = (self.category_column, *self.attribute_columns, self.size_column)
        return [name for name in names if name is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels in pixel coordinates of a model grid; n labels overlap the scene.

    Attributes:
        shapes: polygons in pixels of the model grid (x = column, y = row), object [n].
        categories: category of each label, in lower case.
        attributes: attributes of each label; empty values are left out.
        from_points: bool [n], whether the label was a point or a line in the file, so its outline
            is an estimate.
        n_read: number of features in the file.
        n_outside: features outside the scene.
        n_empty: features without a geometry, or with a geometry that has no area.
        n_uncategorized: features without a category.
        n_wrong: features that the user marked as wrong in a column "status", as in a checked result
            of ``segment``.
        n_repaired: features with a self-intersecting outline, which was made valid.
    """

    shapes: NDArray[np.object_]
    categories: list[str]
    attributes: list[dict[str, str]]
    from_points: NDArray[np.bool_]
    n_read: int
    n_outside: int
    n_empty: int
    n_uncategorized: int
    n_wrong: int
    n_repaired: int

    def __len__(self) -> int:
        return len(self.shapes)


def read_labels(
    info: SceneInfo, model: ModelGrid, path: str | Path, columns: LabelColumns
) -> Labels:
    """Read the labels of a file that overlap a scene.

    Points become discs and lines become ribbons of the given size. If the file has no CRS, its
    coordinates are taken to be in the CRS of the scene.

    Args:
        info: the scene, or the part of it, that the model grid covers. It must have a CRS.
        model: the grid whose pixel coordinates the labels get.
        path: any vector file that GDAL can read.
        columns: which layer and columns to read.

    Raises:
        InputError: the file does not exist or is not vector data, or no label overlaps the scene.
        ConfigError: a layer or column does not exist, the file has several layers and none was
            chosen, or all labels are points or lines and no size was given.
    """
    table = _read_table(path, columns)
    is_wrong = _is_wrong(table)
    rows = table[_has_category(table, columns) & ~is_wrong]
    shapes, n_repaired = _repair(_to_scene_crs(rows, info, path))
    areas, from_points = _to_areas(_to_pixels(shapes, info), _sizes_m(rows, columns), info)
    usable = ~shapely.is_missing(areas) & (shapely.area(areas) > 0)
    if not usable.any() and from_points.any():
        raise ConfigError(
            f"{path}: all labels are points or lines, which have no area; give their diameter in "
            "metres with --size or --size-column"
        )
    scene_box = shapely.box(0, 0, info.width, info.height)
    inside = usable & shapely.intersects(areas, scene_box)
    if not inside.any():
        raise InputError(_no_label_message(path, info, rows, len(table)))
    overlapping = np.flatnonzero(inside)
    scale = np.array([model.scale_col, model.scale_row])
    return Labels(
        shapes=shapely.transform(areas[overlapping], lambda xy: xy * scale),
        categories=_categories(rows.iloc[overlapping], columns),
        attributes=_attributes(rows.iloc[overlapping], columns.attribute_columns),
        from_points=from_points[overlapping],
        n_read=len(table),
        n_outside=int((usable & ~inside).sum()),
        n_empty=int((~usable).sum()),
        n_uncategorized=len(table) - len(rows) - int(is_wrong.sum()),
        n_wrong=int(is_wrong.sum()),
        n_repaired=n_repaired,
    )


def rasterize_shape(shape: BaseGeometry, window: Window) -> NDArray[np.bool_]:
    """Mask of the pixels of a window with their centre in a shape, bool [h, w].

    A shape too small to contain a pixel centre gets the pixels that it touches.

    Args:
        shape: polygon in pixels, x = column, y = row.
        window: window of the same grid.
    """
    row, col = int(window.row_off), int(window.col_off)
    size = int(window.height), int(window.width)
    left, top, right, bottom = shape.bounds
    rows = slice(max(int(np.floor(top)) - row, 0), min(int(np.ceil(bottom)) - row, size[0]))
    cols = slice(max(int(np.floor(left)) - col, 0), min(int(np.ceil(right)) - col, size[1]))
    mask = np.zeros(size, np.bool_)
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return mask
    origin = Affine.translation(col + cols.start, row + rows.start)
    extent = rows.stop - rows.start, cols.stop - cols.start
    for all_touched in (False, True):
        mask[rows, cols] = geometry_mask(
            [shape], extent, origin, all_touched=all_touched, invert=True
        )
        if mask.any() or shape.area > _TINY_PX:
            break
    return mask


def _read_table(path: str | Path, columns: LabelColumns) -> gpd.GeoDataFrame:
    table = read_vectors(path, layer=choose_layer(path, columns.layer, "--layer"))
    for name in columns.required():
        if name not in table.columns:
            others = ", ".join(str(column) for column in table.columns if column != "geometry")
            raise ConfigError(f'{path}: has no column "{name}"; its columns: {others or "none"}')
    if not len(table):
        raise InputError(f"{path}: has no features")
    return table


def _has_category(table: gpd.GeoDataFrame, columns: LabelColumns) -> NDArray[np.bool_]:
    """Bool [n]: whether each feature has a category."""
    if columns.category_column is None:
        return np.ones(len(table), np.bool_)
    values = table[columns.category_column]
    is_text = values.astype(str).str.strip() != ""
    has_category: NDArray[np.bool_] = (values.notna() & is_text).to_numpy()
    return has_category


def _is_wrong(table: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Bool [n]: whether the user marked each feature as wrong."""
    if STATUS not in table.columns:
        return np.zeros(len(table), np.bool_)
    is_wrong: NDArray[np.bool_] = (table[STATUS].astype(str) == WRONG).to_numpy()
    return is_wrong


def _categories(rows: gpd.GeoDataFrame, columns: LabelColumns) -> list[str]:
    if columns.category is not None:
        return [columns.category] * len(rows)
    return [_text(value) for value in rows[columns.category_column]]


def _attributes(rows: gpd.GeoDataFrame, names: Sequence[str]) -> list[dict[str, str]]:
    """Attributes of each label by column name; empty values are left out."""
    attributes: list[dict[str, str]] = [{} for _ in range(len(rows))]
    for name in names:
        values, has_value = rows[name], rows[name].notna()
        for label, value, is_known in zip(attributes, values, has_value, strict=True):
            if is_known and _text(value):
                label[name] = _text(value)
    return attributes


def _text(value: object) -> str:
    """A table value as lower-case text; whole numbers without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).lower().split())


def _sizes_m(table: gpd.GeoDataFrame, columns: LabelColumns) -> NDArray[np.float64]:
    """Diameter of each label in metres, float64 [n]; NaN if unknown."""
    sizes = np.full(len(table), np.nan if columns.size_m is None else columns.size_m)
    if columns.size_column is not None:
        try:
            values = table[columns.size_column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as err:
            raise ConfigError(
                f'column "{columns.size_column}" has values that are not sizes in metres: {err}'
            ) from err
        sizes = np.where(values > 0, values, sizes)
    return sizes


def _to_scene_crs(
    table: gpd.GeoDataFrame, info: SceneInfo, path: str | Path
) -> NDArray[np.object_]:
    """Geometries in the CRS of the scene; None if missing, empty or not representable in it."""
    assert info.crs is not None
    series = table.geometry.force_2d()
    if series.crs is None:
        logger.warning("%s: has no CRS; using the CRS of the scene for its labels", path)
    else:
        series = series.to_crs(info.crs.to_wkt())
    shapes: NDArray[np.object_] = series.to_numpy().copy()
    present = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)
    is_near = (np.abs(shapely.bounds(shapes)) < MAX_COORDINATE).all(axis=1)  # False for NaN
    shapes[~present | ~is_near | ~all_finite(shapes)] = None
    return shapes


def _repair(shapes: NDArray[np.object_]) -> tuple[NDArray[np.object_], int]:
    """Valid geometries, and how many had to be repaired."""
    broken = ~shapely.is_missing(shapes) & ~shapely.is_valid(shapes)
    shapes = shapes.copy()
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure")
    return shapes, int(broken.sum())


def _to_pixels(shapes: NDArray[np.object_], info: SceneInfo) -> NDArray[np.object_]:
    """Geometries in pixels of the scene, from its CRS."""
    a, b, c, d, e, f = (~info.transform)[:6]
    matrix, offset = np.array([[a, d], [b, e]]), np.array([c, f])
    pixels: NDArray[np.object_] = shapely.transform(shapes, lambda xy: xy @ matrix + offset)
    return pixels


def _to_areas(
    shapes: NDArray[np.object_], sizes_m: NDArray[np.float64], info: SceneInfo
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Points and lines of known size as polygons, and bool [n]: which were points or lines."""
    thin = ~shapely.is_missing(shapes) & (shapely.get_dimensions(shapes) < 2)
    sized = thin & np.isfinite(sizes_m)
    areas = shapes.copy()
    areas[thin & ~sized] = None
    if sized.any():
        pixel_m = np.array([info.gsd_col_m or np.nan, info.gsd_row_m or np.nan])
        on_ground = shapely.transform(shapes[sized], lambda xy: xy * pixel_m)
        buffered = shapely.buffer(on_ground, sizes_m[sized] / 2)
        areas[sized] = shapely.transform(buffered, lambda xy: xy / pixel_m)
    return areas, thin


def _no_label_message(
    path: str | Path, info: SceneInfo, table: gpd.GeoDataFrame, n_read: int
) -> str:
    """Error message for a file without a label on the scene."""
    if not len(table):
        return f"{path}: none of its {n_read} features has a category"
    spans = ", ".join(f"{value:.6g}" for value in table.total_bounds)
    corners = [(0, 0), (info.width, 0), (info.width, info.height), (0, info.height)]
    xy = np.array([info.transform @ corner for corner in corners])
    scene = ", ".join(f"{value:.6g}" for value in (*xy.min(axis=0), *xy.max(axis=0)))
    crs = table.crs.name if table.crs is not None else "an unknown CRS"
    return (
        f"{path}: no label overlaps the scene {info.path}: the labels span {spans} ({crs}), "
        f"the scene spans {scene} in its own CRS"
    )


def find_overlapping(shapes: NDArray[np.object_], windows: Iterable[Window]) -> Iterator[list[int]]:
    """For each window, the sorted indices of the shapes that overlap it."""
    tree = shapely.STRtree(shapes)
    for window in windows:
        row, col = window.row_off, window.col_off
        box = shapely.box(col, row, col + window.width, row + window.height)
        # Shapes that end at the edge of the window must not count: shrink the window a little.
        yield sorted(tree.query(box.buffer(-0.25), predicate="intersects").tolist())
