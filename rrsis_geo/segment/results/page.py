"""The report page: one HTML file with the pictures, the largest objects and the facts of the run.

The page is self-contained: pictures, style and script are embedded. Without its script it shows the
same, but rows do not point to objects and cannot be sorted.
"""

import base64
import html
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import rasterio
from affine import Affine

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers.top_objects import TopObject
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.layers import ObjectLayer
from rrsis_geo.segment.results.page_style import CSS, SCRIPT
from rrsis_geo.segment.results.pictures import PagePicture
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.units import format_area, format_count, format_duration, format_length
from rrsis_geo.version import __version__

MARGIN_PX = 6
"""Between an object and its frame in the picture."""


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
    text = "\n".join(_page(facts, layers))
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def _page(facts: ResultFacts, layers: Sequence[ObjectLayer]) -> Iterator[str]:
    has_many = len(layers) > 1
    title = f"{len(layers)} expressions" if has_many else facts.results[0].expression
    yield from _head(html.escape(title), facts)
    if has_many:
        yield from _contents(facts.results)
    yield "<div class=expressions>"
    for result, layer in zip(facts.results, layers, strict=True):
        yield f"<section id={layer.name}>"
        yield from _expression_section(result, layer, is_only=not has_many)
        yield "</section>"
    yield "</div>"
    yield "<h2>Run</h2>"
    yield from _fact_table(_run_facts(facts))
    if facts.command:
        yield f"<h2>Command</h2>\n<pre>{html.escape(facts.command)}</pre>"
    yield f"<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _head(title: str, facts: ResultFacts) -> Iterator[str]:
    """Everything above the first picture."""
    yield f"<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>{title}</title>"
    yield '<meta name=viewport content="width=device-width, initial-scale=1">'
    yield f"<style>{CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    totals = f"{_totals(facts.results)} in {facts.source.path}"
    yield f"<p class=sum>{html.escape(totals)}</p>"
    if facts.warnings:
        items = "".join(f"<li>{html.escape(text)}" for text in facts.warnings)
        yield f"<section class=warnings><h2>Warnings</h2><ul>{items}</ul></section>"


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


def _contents(results: Sequence[ExpressionResult]) -> Iterator[str]:
    """A table with one row per expression, which links to its section."""
    yield "<div class=wide><table class='objects contents'>"
    yield _row(("expression", "objects", "area", "highest presence"), "th")
    for result in results:
        presence = result.presence_max
        cells = (
            f"{result.n_objects:,}",
            format_area(result.area_m2),
            "unknown" if presence is None else f"{presence:.0%}",
        )
        link = f"<a href=#{result.layer}>{html.escape(result.expression)}</a>"
        yield _row(cells).replace("<tr>", f"<tr><td>{link}</td>")
    yield "</table></div>"


def _expression_section(
    result: ExpressionResult, layer: ObjectLayer, *, is_only: bool
) -> Iterator[str]:
    """The picture and the largest objects of an expression."""
    expression = html.escape(result.expression)
    if not is_only:
        yield f"<h2>{expression}</h2>"
        yield f"<p class=sum>{html.escape(_totals([result]))}</p>"
    if result.reading:
        yield f"<p class=note>Understood: {html.escape(result.reading)}</p>"
    if layer.picture is None:  # a warning says why
        yield "<p class=note>The picture could not be drawn.</p>"
    else:
        yield from _figure(layer.picture, layer.top_objects(), expression)
    yield from _object_table(result, layer.top_objects(), "h2" if is_only else "h3")


def _figure(picture: PagePicture, objects: Sequence[TopObject], expression: str) -> Iterator[str]:
    """The picture, with an invisible frame around each listed object, which its row shows."""
    jpeg = base64.b64encode(picture.jpeg).decode()
    width, height = picture.size
    yield f'<figure><img src="data:image/jpeg;base64,{jpeg}" alt="{expression}">'
    yield f'<svg viewBox="0 0 {width} {height}">'
    for each in objects:
        left, top, right, bottom = _frame_px(picture.from_world, each)
        yield (
            f'<rect data-id={each.id} x="{left:.0f}" y="{top:.0f}" '
            f'width="{right - left:.0f}" height="{bottom - top:.0f}"/>'
        )
    yield "</svg></figure>"


def _frame_px(from_world: Affine, each: TopObject) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the frame of an object in the picture."""
    left, bottom, right, top = each.bounds
    corners = [from_world @ (x, y) for x in (left, right) for y in (bottom, top)]
    xs, ys = zip(*corners, strict=True)
    return min(xs) - MARGIN_PX, min(ys) - MARGIN_PX, max(xs) + MARGIN_PX, max(ys) + MARGIN_PX


def _object_table(
    result: ExpressionResult, objects: Sequence[TopObject], heading: str
) -> Iterator[str]:
    if not objects:
        return
    is_complete = len(objects) == result.n_objects
    title = "Objects" if is_complete else f"The {len(objects)} largest objects"
    yield f"<{heading}>{title}</{heading}>"
    has_lonlat = any(row.lonlat is not None for row in objects)
    position = "longitude, latitude" if has_lonlat else "x, y"
    yield "<div class=wide><table class='objects sortable'>"
    yield _row(("id", position, "area", "pixels", "score", "highest"), "th")
    for row in objects:
        xy = tuple(f"{value:.6f}" for value in row.lonlat or ())
        if not has_lonlat:
            xy = tuple(f"{value:.2f}" for value in row.xy)
        cells = (
            str(row.id),
            ", ".join(xy),
            format_area(row.area_m2),
            f"{row.n_pixels:,}",
            f"{row.score:.3f}",
            f"{row.score_max:.3f}",
        )
        keys = (row.id, -row.xy[1], row.n_pixels, row.n_pixels, row.score, row.score_max)
        texts = zip(cells, keys, strict=True)
        tds = "".join(f"<td data-key={key}>{html.escape(cell)}</td>" for cell, key in texts)
        yield f"<tr data-id={row.id} tabindex=0>{tds}</tr>"
    yield "</table></div>"
    hint = "A row shows its object in the picture; a heading sorts."
    if has_lonlat:
        hint += " Longitude and latitude of the centroid, degrees in WGS 84."
    yield f"<p class=note>{hint}</p>"


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


def _fact_table(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<table class=facts>"
    for name, value in facts:
        yield f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
    yield "</table>"


def _row(cells: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
