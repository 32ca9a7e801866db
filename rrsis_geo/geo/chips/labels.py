"""A user's labels from any vector file, brought onto a scene's pixels."""

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
from rrsis_geo.geo.grid.rows import ModelGrid
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.vector_files import all_finite, list_layers, read_vectors

logger = logging.getLogger(__name__)

_TINY_PX = 4
"""An area of less than this many pixels may miss the middle of every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumns:
    """Where a vector file tells what its labels are.

    Attributes:
        category_column: holds the category of each label.
        category: of every label, where no column tells.
        layer: of the file; None where it has only one.
        attribute_columns: what else is known of a label, kept under the column's name.
        size_column: metres across of labels that are points or lines.
        size_m: the same for all that no column tells.
    """

    category_column: str | None = None
    category: str | None = None
    layer: str | None = None
    attribute_columns: tuple[str, ...] = ()
    size_column: str | None = None
    size_m: float | None = None

    def __post_init__(self) -> None:
        if (self.category_column is None) == (self.category is None):
            given = "neither is" if self.category is None else "both are"
            raise ConfigError(
                "what the labels are must be told in one way, by --category-column (a column that "
                f"tells) or by --category (the same for all); {given} given"
            )
        if self.size_m is not None and not 0 < self.size_m < np.inf:
            raise ConfigError(f"size must be above 0 metres, got {self.size_m:g}")

    def named(self) -> list[str]:
        """The columns that the file must have."""
        wanted = (self.category_column, *self.attribute_columns, self.size_column)
        return [name for name in wanted if name is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels on the pixels of a model grid.

    Attributes:
        shapes: areas in pixels (x = column, y = row) of the model grid, object [n].
        categories: of each, as the file writes it.
        attributes: of each; what the file leaves empty is left out.
        from_points: which were points or lines in the file, so that their outline is made up, [n].
        read: features in the file.
        outside: of them, those beside the scene.
        empty: those without a geometry, or with one that cannot be an area.
        unnamed: those without a category.
        repaired: those whose outline crossed itself, made valid.
    """

    shapes: NDArray[np.object_]
    categories: list[str]
    attributes: list[dict[str, str]]
    from_points: NDArray[np.bool_]
    read: int
    outside: int
    empty: int
    unnamed: int
    repaired: int

    def __len__(self) -> int:
        return len(self.shapes)


def read_labels(
    info: SceneInfo, model: ModelGrid, path: str | Path, columns: LabelColumns
) -> Labels:
    """The labels of a file that lie on a scene.

    Points become discs and lines ribbons, as wide as told. A file without a CRS is taken to be in
    the scene's.

    Args:
        info: the scene, or the part of it, that the model grid spans; with a CRS.
        model: the grid on whose pixels the labels are wanted.
        path: anything that GDAL reads as vectors.
        columns: what tells the categories and the rest.

    Raises:
        InputError: no such file or layer, no vector data, or no label on the scene.
        ConfigError: a column that the file does not have, or several layers and none named.
    """
    table = _read_table(path, columns)
    read = len(table)
    named = _named(table, columns)
    unnamed = read - int(named.sum())
    table = table[named]
    placed = _to_scene(table, info, path)
    shapes, repaired = _repaired(placed)
    pixels = _to_pixels(shapes, info)
    areas, from_points = _as_areas(pixels, _sizes_m(table, columns), info)
    usable = ~shapely.is_missing(areas) & (shapely.area(areas) > 0)
    if not usable.any() and from_points.any():
        raise ConfigError(
            f"{path}: its labels are points or lines, which cover no ground; tell how many metres "
            "they are across: --size, or --size-column"
        )
    scene_box = shapely.box(0, 0, info.width, info.height)
    inside = usable & shapely.intersects(areas, scene_box)
    if not inside.any():
        raise InputError(_none_inside(path, info, table, read))
    kept = np.flatnonzero(inside)
    scale = np.array([model.scale_col, model.scale_row])
    rows = table.iloc[kept]
    return Labels(
        shapes=shapely.transform(areas[kept], lambda xy: xy * scale),
        categories=_categories(rows, columns),
        attributes=_attributes(rows, columns.attribute_columns),
        from_points=from_points[kept],
        read=read,
        outside=int((usable & ~inside).sum()),
        empty=int((~usable).sum()),
        unnamed=unnamed,
        repaired=repaired,
    )


def burn_shape(shape: BaseGeometry, window: Window) -> NDArray[np.bool_]:
    """The pixels of a window whose middles an area covers, bool [h, w].

    One that is too small to cover the middle of any is burnt where it touches.

    Args:
        shape: in pixels, x = column, y = row.
        window: on the same grid.
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
    layers = list_layers(path)
    if columns.layer is None and len(layers) > 1:
        raise ConfigError(f"{path}: has several layers; name one: --layer {', '.join(layers)}")
    if columns.layer is not None and columns.layer not in layers:
        raise ConfigError(f"{path}: has no layer {columns.layer!r}; it has {', '.join(layers)}")
    table = read_vectors(path, layer=columns.layer)
    for name in columns.named():
        if name not in table.columns:
            there = ", ".join(str(known) for known in table.columns if known != "geometry")
            raise ConfigError(f'{path}: has no column "{name}"; it has {there or "none"}')
    if not len(table):
        raise InputError(f"{path}: holds no feature")
    return table


def _named(table: gpd.GeoDataFrame, columns: LabelColumns) -> NDArray[np.bool_]:
    """Which features have a category."""
    if columns.category_column is None:
        return np.ones(len(table), np.bool_)
    values = table[columns.category_column]
    named: NDArray[np.bool_] = (values.notna() & (values.astype(str).str.strip() != "")).to_numpy()
    return named


def _categories(rows: gpd.GeoDataFrame, columns: LabelColumns) -> list[str]:
    if columns.category is not None:
        return [columns.category] * len(rows)
    return [_text(value) for value in rows[columns.category_column]]


def _attributes(rows: gpd.GeoDataFrame, names: Sequence[str]) -> list[dict[str, str]]:
    """What the columns tell of each label; nothing where they are empty."""
    found: list[dict[str, str]] = [{} for _ in range(len(rows))]
    for name in names:
        for told, value, known in zip(found, rows[name], rows[name].notna(), strict=True):
            if known and _text(value):
                told[name] = _text(value)
    return found


def _text(value: object) -> str:
    """A value of a table in lower case; whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).lower().split())


def _sizes_m(table: gpd.GeoDataFrame, columns: LabelColumns) -> NDArray[np.float64]:
    """Metres across of each label, NaN where nothing tells."""
    sizes = np.full(len(table), np.nan if columns.size_m is None else columns.size_m)
    if columns.size_column is not None:
        try:
            told = table[columns.size_column].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as err:
            raise ConfigError(
                f'column "{columns.size_column}" holds no sizes in metres: {err}'
            ) from err
        sizes = np.where(told > 0, told, sizes)
    return sizes


def _to_scene(table: gpd.GeoDataFrame, info: SceneInfo, path: str | Path) -> NDArray[np.object_]:
    """The geometries in the scene's CRS; None where they are none, or cannot be expressed in it."""
    assert info.crs is not None
    series = table.geometry.force_2d()
    if series.crs is None:
        logger.warning("%s: has no CRS; its labels are taken to be in the scene's", path)
    else:
        series = series.to_crs(info.crs.to_wkt())
    shapes: NDArray[np.object_] = series.to_numpy().copy()
    present = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)
    bounds = shapely.bounds(shapes)
    shapes[~present | ~np.isfinite(bounds).all(axis=1) | ~all_finite(shapes)] = None
    return shapes


def _repaired(shapes: NDArray[np.object_]) -> tuple[NDArray[np.object_], int]:
    """The geometries made valid, and how many were not."""
    broken = ~shapely.is_missing(shapes) & ~shapely.is_valid(shapes)
    shapes = shapes.copy()
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure")
    return shapes, int(broken.sum())


def _to_pixels(shapes: NDArray[np.object_], info: SceneInfo) -> NDArray[np.object_]:
    """From the scene's CRS to its pixels."""
    a, b, c, d, e, f = (~info.transform)[:6]
    matrix, offset = np.array([[a, d], [b, e]]), np.array([c, f])
    moved: NDArray[np.object_] = shapely.transform(shapes, lambda xy: xy @ matrix + offset)
    return moved


def _as_areas(
    shapes: NDArray[np.object_], sizes_m: NDArray[np.float64], info: SceneInfo
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Points and lines of a known size as areas, and which these were; areas as they are."""
    thin = ~shapely.is_missing(shapes) & (shapely.get_dimensions(shapes) < 2)
    sized = thin & np.isfinite(sizes_m)
    areas = shapes.copy()
    areas[thin & ~sized] = None
    if sized.any():
        pixel_m = np.array([info.gsd_col_m or np.nan, info.gsd_row_m or np.nan])
        on_ground = shapely.transform(shapes[sized], lambda xy: xy * pixel_m)
        round_ones = shapely.buffer(on_ground, sizes_m[sized] / 2)
        areas[sized] = shapely.transform(round_ones, lambda xy: xy / pixel_m)
    return areas, thin


def _none_inside(path: str | Path, info: SceneInfo, table: gpd.GeoDataFrame, read: int) -> str:
    """What to say where no label lies on the scene."""
    if not len(table):
        return f"{path}: none of its {read} features has a category"
    spans = ", ".join(f"{value:.6g}" for value in table.total_bounds)
    corners = [(0, 0), (info.width, 0), (info.width, info.height), (0, info.height)]
    xy = np.array([info.transform @ corner for corner in corners])
    scene = ", ".join(f"{value:.6g}" for value in (*xy.min(axis=0), *xy.max(axis=0)))
    crs = table.crs.name if table.crs is not None else "an unknown CRS"
    return (
        f"{path}: no label lies on the scene {info.path}: the labels span {spans} ({crs}), "
        f"the scene {scene} in its own CRS"
    )


def find_touching(shapes: NDArray[np.object_], windows: Iterable[Window]) -> Iterator[list[int]]:
    """For each window, the numbers of the shapes that share ground with it, sorted."""
    tree = shapely.STRtree(shapes)
    for window in windows:
        row, col = window.row_off, window.col_off
        box = shapely.box(col, row, col + window.width, row + window.height)
        # Outlines that lie along pixels touch the next window: so take a little less.
        yield sorted(tree.query(box.buffer(-0.25), predicate="intersects").tolist())
