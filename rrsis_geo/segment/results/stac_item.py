"""STAC items: JSON files by which catalogues describe a result and list its files.

STAC 1.1 with the extensions projection, processing, raster and classification. Properties that
they do not define have the prefix ``rrsis_geo:``.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import shapely

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.grid.rasters import NODATA, PROBABILITY_STEP
from rrsis_geo.geo.scene.acquisition_time import AcquisitionTime
from rrsis_geo.geo.scene.footprint import footprint
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.stac import may_be_item
from rrsis_geo.geo.styles import OUTLINE_RGB
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS, STAC_ITEM_TYPE
from rrsis_geo.segment.results.facts import ResultFacts
from rrsis_geo.segment.results.report import ExpressionResult
from rrsis_geo.version import __version__

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
_GEOTIFF = "image/tiff; application=geotiff"


class ItemTimes(NamedTuple):
    """Times of an item.

    Attributes:
        created: when the result was made.
        acquisition: when the scene was acquired; None if unknown.
    """

    created: datetime
    acquisition: AcquisitionTime | None = None


def write_item(
    path: Path, facts: ResultFacts, times: ItemTimes, *, overwrite: bool = False
) -> None:
    """Write a STAC item.

    Args:
        path: of the item. Files are listed relative to it.
        facts: of the result.
        times: of the result and its scene.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    item = make_item(path, facts, times)
    text = json.dumps(item, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def make_item(path: Path, facts: ResultFacts, times: ItemTimes) -> dict[str, Any]:
    """A STAC item for the path `path`, ready for JSON.

    Source: https://github.com/radiantearth/stac-spec, v1.1.0, and its extensions.
    """
    source = facts.source
    place = footprint(source.transform, source.shape, source.crs)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_EXTENSION.format(name) for name in _extensions(facts)],
        "id": path.stem,
        "geometry": place and json.loads(shapely.to_geojson(place[0])),
        "properties": {
            **_time_properties(times),
            **_projection(source),
            **_processing(facts),
            **_own_properties(facts),
        },
        "links": [_source_link(source.path, path)],
        "assets": dict(_assets(path, facts)),
    }
    if place is not None:  # an item without geometry must not have a bbox
        item["bbox"] = list(place[1])
    return item


def _extensions(facts: ResultFacts) -> Iterator[str]:
    kinds = {key.partition(":")[0] for key in facts.outputs}
    yield "projection/v2.0.0"
    yield "processing/v1.2.0"
    if "probability" in kinds:
        yield "raster/v2.0.0"
    if "mask" in kinds:
        yield "classification/v2.0.0"


def _time_properties(times: ItemTimes) -> dict[str, Any]:
    """An item must have a time: that of the scene, or that of the result if it is unknown."""
    created, acquisition = _rfc3339(times.created), times.acquisition
    if acquisition is None:
        properties: dict[str, Any] = {"datetime": created, "rrsis_geo:datetime_is": "of the run"}
    else:
        start, end = _rfc3339(acquisition.start), _rfc3339(acquisition.end)
        if acquisition.start == acquisition.end:
            properties = {"datetime": start}
        else:
            properties = {"datetime": None, "start_datetime": start, "end_datetime": end}
        properties["rrsis_geo:datetime_is"] = f"of the scene, by its {acquisition.source}"
    return {**properties, "created": created, "processing:datetime": created}


def _projection(grid: SceneInfo) -> dict[str, Any]:
    crs = None if grid.crs is None else as_proj(grid.crs)
    authority = None if crs is None else crs.to_authority()
    properties: dict[str, Any] = {"proj:code": None if authority is None else ":".join(authority)}
    if crs is not None and authority is None:
        properties["proj:wkt2"] = crs.to_wkt("WKT2_2019")
    return {
        **properties,
        "proj:shape": list(grid.shape),
        "proj:transform": [float(value) for value in grid.transform[:6]],
    }


def _processing(facts: ResultFacts) -> dict[str, Any]:
    """Title and lineage, which both name the expressions and the source."""
    expressions, source_name = facts.expressions_of(""), Path(facts.source.path).name
    by_model = f"by {facts.model} " if facts.model else ""
    return {
        "title": f"{expressions} in {source_name}",
        "processing:level": "L4",  # "model output"
        "processing:lineage": f"Pixels of {source_name} that are described by: {expressions}; "
        f"found {by_model}with a probability above {facts.threshold:g}.",
        "processing:software": {"rrsis-geo": __version__},
    }


def _own_properties(facts: ResultFacts) -> dict[str, Any]:
    """Properties with our prefix."""
    readings = {result.expression: result.reading for result in facts.results if result.reading}
    properties = {
        "expressions": [result.expression for result in facts.results],
        "readings": readings or None,
        "model": facts.model or None,
        "threshold": facts.threshold,
        "found": [_counts(result) for result in facts.results],
        **facts.properties,
    }
    return {f"rrsis_geo:{name}": value for name, value in properties.items() if value is not None}


def _counts(result: ExpressionResult) -> dict[str, Any]:
    """How many objects an expression means, and among how many they were chosen."""
    names = ["expression", "n_objects", "area_m2"]
    if result.n_candidates is not None:
        names.append("n_candidates")
    return {name: getattr(result, name) for name in names}


def _source_link(source: str, item: Path) -> dict[str, str]:
    """A link to the raster from which the result was made.

    The relation ``derived_from`` is for STAC items, and clients read its target as an item; ``via``
    is for any source.
    """
    is_item = may_be_item(source)
    href = _relative(Path(source), item) if Path(source).exists() else source
    link = {"rel": "derived_from" if is_item else "via", "href": href, "title": "the source"}
    if is_item:
        link["type"] = STAC_ITEM_TYPE
    elif source.lower().endswith((".tif", ".tiff")):
        link["type"] = _GEOTIFF
    return link


def _assets(item: Path, facts: ResultFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and assets of all files except the item itself."""
    for key, file in facts.outputs.items():
        kind = OUTPUT_KINDS[key.partition(":")[0]]
        if kind.name == "stac_item":
            continue
        file_format, name = kind.formats[file.suffix.lower()], key.replace(":", "_")
        expressions = facts.expressions_of(key)
        asset = {
            "href": _relative(file, item),
            "type": file_format.media_type,
            "title": kind.stac_title.format(expressions),
            "roles": list(kind.stac_roles),
            **_bands(kind.name, expressions),
        }
        if file_format.fixed_crs is not None and facts.source.crs is not None:
            asset["proj:code"] = file_format.fixed_crs
        yield name, asset
        for suffix, (media_type, role) in file_format.companions.items():
            companion = file.with_suffix(suffix)
            if companion.exists():
                href = _relative(companion, item)
                yield name + suffix, {"href": href, "type": media_type, "roles": [role]}


def _bands(kind: str, expression: str) -> dict[str, Any]:
    """The meaning of a raster's values; empty for other files."""
    band: dict[str, Any] = {"name": kind, "data_type": "uint8", "nodata": NODATA}
    if kind == "mask":
        colour = "{:02X}{:02X}{:02X}".format(*OUTLINE_RGB)
        band["classification:classes"] = [
            {"value": 0, "name": "other", "description": "not the target"},
            {"value": 1, "name": "target", "description": expression, "color_hint": colour},
            {"value": NODATA, "name": "no-data", "description": "no data", "nodata": True},
        ]
    elif kind == "probability":
        band |= {"raster:scale": PROBABILITY_STEP, "raster:offset": 0}
    else:
        return {}
    return {"bands": [band]}


def _relative(file: Path, item: Path) -> str:
    """A URI reference to a file, relative to the item; absolute if it is on another drive."""
    try:
        relative = os.path.relpath(file.absolute(), item.absolute().parent)
    except ValueError:  # another drive
        return file.absolute().as_uri()
    path = quote(os.fsencode(Path(relative).as_posix()))
    return path if relative.startswith("..") else f"./{path}"


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
