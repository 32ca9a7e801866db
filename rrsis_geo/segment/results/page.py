"""The report page: one HTML file with the pictures, the largest objects and the facts of the run.

The page is self-contained: pictures, style and script are embedded. Without its script it shows the
same, but rows do not point to objects and cannot be sorted.
"""

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import rasterio
from affine import Affine

from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers.top_objects import TopObject
from rrsis_geo.pages import render
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.layers import ObjectLayer
from rrsis_geo.segment.results.pictures import PagePicture
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.units import format_area, format_count, format_duration, format_length
from rrsis_geo.version import __version__

MARGIN_PX = 6
"""Between an object and its frame in the picture."""


class _Picture(NamedTuple):
    """A picture, and an invisible frame around each listed object, which its row shows."""

    url: str
    size: tuple[int, int]
    frames: Sequence[tuple[int, ...]]  # id, left, top, width, height in pixels


class _Section(NamedTuple):
    """An expression on the page."""

    result: ExpressionResult
    totals: str
    picture: _Picture | None
    objects: list[TopObject]


def write_page(
    path: Path, facts: ResultFacts, layers: Sequence[ObjectLayer], *, overwrite: bool = False
) -> None:
    """Write the report page of a result.

    Args:
        path: of the page.
        facts: of the result.
        layers: of the same expressions, with their pictures.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    has_many = len(layers) > 1
    values = {
        "title": f"{len(layers)} expressions" if has_many else facts.results[0].expression,
        "totals": _totals(facts.results),
        "scene": facts.source.path,
        "warnings": facts.warnings,
        "sections": list(map(_section, facts.results, layers)),
        "facts": list(_run_facts(facts)),
        "command": facts.command,
    }
    render.write_page(path, "report.html", values, overwrite=overwrite)


def _totals(results: Sequence[ExpressionResult]) -> str:
    """Number of objects, and their area if there is one expression (areas of several overlap)."""
    n_objects = sum(result.n_objects for result in results)
    count = "no objects" if not n_objects else format_count(n_objects, "object")
    if len(results) > 1:
        return count
    (result,) = results
    of = (
        ""
        if result.n_candidates is None
        else f" of {format_count(result.n_candidates, 'candidate')}"
    )
    area = f", {format_area(result.area_m2)}" if n_objects and result.area_m2 else ""
    return f"{count}{of}{area}"


def _section(result: ExpressionResult, layer: ObjectLayer) -> _Section:
    objects = layer.top_objects()
    picture = None if layer.picture is None else _picture(layer.picture, objects)
    return _Section(result, _totals([result]), picture, objects)


def _picture(picture: PagePicture, objects: Sequence[TopObject]) -> _Picture:
    frames = [(each.id, *_frame_px(picture.from_world, each)) for each in objects]
    return _Picture(render.jpeg_url(picture.jpeg), picture.size, frames)


def _frame_px(from_world: Affine, each: TopObject) -> tuple[int, int, int, int]:
    """Left, top, width and height of the frame of an object in the picture."""
    left, bottom, right, top = each.bounds
    corners = [from_world @ (x, y) for x in (left, right) for y in (bottom, top)]
    xs, ys = zip(*corners, strict=True)
    return (
        round(min(xs)) - MARGIN_PX,
        round(min(ys)) - MARGIN_PX,
        round(max(xs) - min(xs)) + 2 * MARGIN_PX,
        round(max(ys) - min(ys)) + 2 * MARGIN_PX,
    )


def _run_facts(facts: ResultFacts) -> Iterator[tuple[str, str]]:
    source = facts.source
    yield "scene", source.path
    yield "size", f"{source.width:,} x {source.height:,} pixels"
    yield "CRS", "none" if source.crs is None else as_proj(source.crs).name
    yield "ground pixel", format_length(source.gsd_m)
    yield "model", facts.model or "unknown"
    yield from facts.settings
    yield "time", format_duration(facts.seconds)
    for kind, path in facts.outputs.items():
        yield kind, str(path)
    yield "software", _software_versions()


def _software_versions() -> str:
    versions = [f"rrsis-geo {__version__}", f"Python {platform.python_version()}"]
    for name in ("torch", "rasterio"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*versions, f"GDAL {rasterio.__gdal_version__}"])
