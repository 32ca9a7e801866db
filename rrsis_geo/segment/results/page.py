"""A result on one HTML page: of each expression the picture and the largest objects; and how all
was made.

The page needs nothing beside it: the picture lies in it, and there is no script.
"""

import base64
import html
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import rasterio

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.layers.top_objects import TopObject
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.segment.results.layer import ObjectLayer
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.units import format_area, format_duration, format_length
from rrsis_geo.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a page tells of a run.

    Attributes:
        scene: the part that was worked on.
        results: of each expression.
        model: what looked.
        work: names and values: how the result was made.
        seconds: it took.
        warnings: what the user was told.
        command: that began the run, "" where there was none.
        outputs: files written, by kind.
    """

    scene: SceneInfo
    results: Sequence[ExpressionResult]
    model: str
    work: Sequence[tuple[str, str]]
    seconds: float
    warnings: Sequence[str] = field(default=())
    command: str = ""
    outputs: Mapping[str, Path] = field(default_factory=dict)


def write_page(
    path: Path, facts: RunFacts, layers: Sequence[ObjectLayer], *, overwrite: bool = False
) -> None:
    """Write the page of a result.

    Args:
        path: where it is to be.
        facts: of the run.
        layers: of the same expressions, with pictures.
        overwrite: replace the file if there is one.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    text = "\n".join(_parts(facts, layers))
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(text, encoding="utf-8")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def _parts(facts: RunFacts, layers: Sequence[ObjectLayer]) -> Iterator[str]:
    several = len(layers) > 1
    expression = facts.results[0].expression
    title = html.escape(f"{len(layers)} expressions" if several else expression)
    yield f"<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>{title}</title>"
    yield '<meta name=viewport content="width=device-width, initial-scale=1">'
    yield f"<style>{_CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    yield f"<p class=sum>{html.escape(_sum(facts))}</p>"
    if facts.warnings:
        told = "".join(f"<li>{html.escape(text)}" for text in facts.warnings)
        yield f"<section class=warnings><h2>Warnings</h2><ul>{told}</ul></section>"
    if several:
        yield from _contents(facts.results)
    for result, layer in zip(facts.results, layers, strict=True):
        name = html.escape(result.expression)
        if several:
            yield f"<h2 id={layer.name}>{name}</h2>"
            yield f"<p class=sum>{html.escape(_count([result]))}</p>"
        assert layer.picture is not None, "a page needs pictures"
        yield f'<img src="{_as_data(layer.picture)}" alt="{name}">'
        yield from _object_table(result, layer.largest(), "h3" if several else "h2")
    yield "<h2>Run</h2>"
    yield from _fact_table(_run_facts(facts))
    if facts.command:
        yield f"<h2>Command</h2>\n<pre>{html.escape(facts.command)}</pre>"
    yield "</body>\n</html>\n"


def _sum(facts: RunFacts) -> str:
    return f"{_count(facts.results)} in {facts.scene.path}"


def _count(results: Sequence[ExpressionResult]) -> str:
    """How many objects, and what they cover where that is one expression's."""
    n_objects = sum(result.n_objects for result in results)
    count = "1 object" if n_objects == 1 else f"{n_objects:,} objects"
    area_m2 = results[0].area_m2 if len(results) == 1 else None  # theirs may overlap
    covered = f", {format_area(area_m2)}" if n_objects and area_m2 else ""
    return f"{count if n_objects else 'no objects'}{covered}"


def _contents(results: Sequence[ExpressionResult]) -> Iterator[str]:
    """A row an expression, with the way to its part of the page."""
    yield "<div class=wide><table class='objects contents'>"
    yield _row(("expression", "objects", "area", "surest window"), "th")
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


def _object_table(
    result: ExpressionResult, largest: list[TopObject], heading: str
) -> Iterator[str]:
    if not largest:
        return
    is_all = len(largest) == result.n_objects
    title = "Objects" if is_all else f"The {len(largest)} largest objects"
    yield f"<{heading}>{title}</{heading}>"
    has_lonlat = any(row.lonlat is not None for row in largest)
    places = ("longitude", "latitude") if has_lonlat else ("x", "y")
    yield "<div class=wide><table class=objects>"
    yield _row(("id", *places, "area", "pixels", "score", "highest"), "th")
    for row in largest:
        place = tuple(f"{value:.6f}" for value in row.lonlat or ()) or ("", "")
        yield _row(
            (
                str(row.id),
                *(place if has_lonlat else tuple(f"{value:.2f}" for value in row.xy)),
                format_area(row.area_m2),
                f"{row.n_pixels:,}",
                f"{row.score:.3f}",
                f"{row.score_max:.3f}",
            )
        )
    yield "</table></div>"
    if has_lonlat:
        yield "<p class=note>Longitude and latitude of the centroid, degrees in WGS 84.</p>"


def _run_facts(facts: RunFacts) -> Iterator[tuple[str, str]]:
    scene = facts.scene
    yield "scene", scene.path
    yield "size", f"{scene.width:,} x {scene.height:,} pixels"
    yield "CRS", "none" if scene.crs is None else as_proj(scene.crs).name
    yield "ground pixel", format_length(scene.gsd_m)
    yield "model", facts.model
    yield from facts.work
    yield "time", format_duration(facts.seconds)
    for kind, path in facts.outputs.items():
        yield kind, str(path)
    yield "software", _software()


def _software() -> str:
    found = [f"rrsis-geo {__version__}", f"Python {platform.python_version()}"]
    for name in ("torch", "rasterio"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join([*found, f"GDAL {rasterio.__gdal_version__}"])


def _fact_table(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<table class=facts>"
    for name, value in facts:
        yield f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
    yield "</table>"


def _row(cells: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _as_data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


_CSS: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
h1 { margin: 0; font-size: 1.7rem } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem }
.sum { margin: .2rem 0 1rem } .note, .facts th { color: var(--soft) } .note { font-size: .85rem }
img { width: 100%; height: auto; border-radius: 6px; display: block }
.wide { overflow-x: auto } table { border-collapse: collapse }
th, td { padding: .22rem .9rem .22rem 0; text-align: left; vertical-align: top }
td { overflow-wrap: anywhere } tr { border-bottom: 1px solid var(--line) }
.objects { width: 100%; font-variant-numeric: tabular-nums }
.objects th, .objects td { text-align: right; white-space: nowrap }
.contents :is(th, td):first-child { text-align: left } a { color: inherit }
.facts th { font-weight: normal; white-space: nowrap }
.warnings { border-left: 4px solid #e0a000; padding: .1rem 1rem; margin: 1rem 0 }
.warnings h2 { margin: .4rem 0 0 } .warnings ul { margin: .3rem 0; padding-left: 1.2rem }
pre { white-space: pre-wrap; padding: .8rem; border: 1px solid var(--line); border-radius: 6px }
"""
