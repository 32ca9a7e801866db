"""A result as a STAC item: the JSON file by which catalogues describe and list its files.

STAC 1.1 with the extensions projection, processing, raster and classification. What they have no
word for bears the prefix ``rrsis_geo:``.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import shapely

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.grid.rasters import NODATA, PROBABILITY_STEP
from rrsis_geo.geo.scene.acquisition_time import AcquisitionTime, acquisition_time
from rrsis_geo.geo.scene.footprint import footprint
from rrsis_geo.geo.scene.scene import Scene, SceneInfo
from rrsis_geo.geo.scene.stac import may_be_item
from rrsis_geo.geo.styles import OUTLINE_RGB
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS, STAC_ITEM_TYPE
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.report import ExpressionResult, SegmentReport
from rrsis_geo.version import __version__

_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
_GEOTIFF = "image/tiff; application=geotiff"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """What an item tells of a result.

    Attributes:
        grid: of the result, and the path of what it was made from.
        acquisition: when the scene was taken; None where unknown.
        made: when the result was.
        results: of each expression.
        model: what looked, "" where unknown.
        threshold: probability above which a pixel counts.
        outputs: files written, by kind, or by kind and layer ("mask:trucks"); the item is left out.
        own: what else is told, by name without our prefix; what is None is left out.
    """

    grid: SceneInfo
    acquisition: AcquisitionTime | None
    made: datetime
    results: Sequence[ExpressionResult]
    model: str
    threshold: float
    outputs: Mapping[str, Path]
    own: Mapping[str, Any] = field(default_factory=dict)

    def about(self, key: str) -> str:
        """The expressions that an output is about."""
        layer = key.partition(":")[2]
        return "; ".join(each.expression for each in self.results if layer in ("", each.layer))


def write_run_item(report: SegmentReport, plan: Plan, scene: Scene, outputs: Outputs) -> None:
    """Write the item of a run, if one is wanted; all other outputs must lie in place.

    Args:
        report: of the run.
        plan: of the run.
        scene: the part that was worked on, open.
        outputs: of the run.

    Raises:
        OutputError: it cannot be written.
    """
    if outputs.stac_item is None:
        return
    facts = ItemFacts(
        grid=plan.scene,
        acquisition=acquisition_time(plan.scene.path, scene.reader.dataset),
        made=datetime.now(UTC),
        results=report.results,
        model=plan.model.name,
        threshold=plan.options.threshold,
        outputs=report.outputs,
        own={
            "model_sha256": plan.model.sha256 or None,
            "plan_hash": report.plan_hash,
            "windows": report.windows,
            "windows_failed": len(report.failed),
        },
    )
    write_item(outputs.stac_item, facts, overwrite=outputs.overwrite)


def write_item(path: Path, facts: ItemFacts, *, overwrite: bool = False) -> None:
    """Write an item.

    Args:
        path: where it is to be; files are named relative to it.
        facts: of the result.
        overwrite: replace the file if there is one.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    text = json.dumps(make_item(path, facts), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(text + "\n", encoding="utf-8")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def make_item(path: Path, facts: ItemFacts) -> dict[str, Any]:
    """An item that is to lie at `path`, ready for JSON.

    Source: https://github.com/radiantearth/stac-spec, v1.1.0, and its extensions.
    """
    grid = facts.grid
    place = footprint(grid.transform, grid.shape, grid.crs)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_EXTENSION.format(name) for name in _extensions(facts)],
        "id": path.stem,
        "geometry": place and json.loads(shapely.to_geojson(place[0])),
        "properties": {
            **_times(facts),
            **_projection(grid),
            **_processing(facts),
            **{f"rrsis_geo:{name}": value for name, value in _own(facts) if value is not None},
        },
        "links": [_source_link(grid.path, path)],
        "assets": dict(_assets(path, facts)),
    }
    if place is not None:  # an item without geometry must have no bounds
        item["bbox"] = list(place[1])
    return item


def _extensions(facts: ItemFacts) -> Iterator[str]:
    kinds = {key.partition(":")[0] for key in facts.outputs}
    yield "projection/v2.0.0"
    yield "processing/v1.2.0"
    if "probability" in kinds:
        yield "raster/v2.0.0"
    if "mask" in kinds:
        yield "classification/v2.0.0"


def _times(facts: ItemFacts) -> dict[str, Any]:
    """When the scene was taken; else when the result was made, as an item must say a time."""
    made, taken = _rfc3339(facts.made), facts.acquisition
    if taken is None:
        told: dict[str, Any] = {"datetime": made, "rrsis_geo:datetime_is": "of the run"}
    else:
        is_moment = taken.start == taken.end
        told = {"datetime": _rfc3339(taken.start) if is_moment else None}
        if not is_moment:
            told |= {"start_datetime": _rfc3339(taken.start), "end_datetime": _rfc3339(taken.end)}
        told["rrsis_geo:datetime_is"] = f"of the scene, by its {taken.source}"
    return {**told, "created": made, "processing:datetime": made}


def _projection(grid: SceneInfo) -> dict[str, Any]:
    crs = None if grid.crs is None else as_proj(grid.crs)
    authority = None if crs is None else crs.to_authority()
    told: dict[str, Any] = {"proj:code": None if authority is None else ":".join(authority)}
    if crs is not None and authority is None:
        told["proj:wkt2"] = crs.to_wkt("WKT2_2019")
    return {
        **told,
        "proj:shape": list(grid.shape),
        "proj:transform": [float(value) for value in grid.transform[:6]],
    }


def _processing(facts: ItemFacts) -> dict[str, Any]:
    """The title too: it says the same in short."""
    what, where = facts.about(""), Path(facts.grid.path).name
    by = f"by {facts.model} " if facts.model else ""
    return {
        "title": f"{what} in {where}",
        "processing:level": "L4",  # "model output"
        "processing:lineage": f"Pixels of {where} that are described by: {what}; found {by}with a "
        f"probability above {facts.threshold:g}.",
        "processing:software": {"rrsis-geo": __version__},
    }


def _own(facts: ItemFacts) -> Iterator[tuple[str, Any]]:
    yield "expressions", [each.expression for each in facts.results]
    yield "model", facts.model or None
    yield "threshold", facts.threshold
    names = ("expression", "n_objects", "area_m2")
    yield "found", [{name: getattr(each, name) for name in names} for each in facts.results]
    yield from facts.own.items()


def _source_link(source: str, item: Path) -> dict[str, str]:
    """From the item to what the result was made from.

    ``derived_from`` means a STAC item, and clients read it as one; ``via`` means any source.
    """
    is_item = may_be_item(source)
    href = _relative(Path(source), item) if Path(source).exists() else source
    link = {"rel": "derived_from" if is_item else "via", "href": href, "title": "the source"}
    if is_item:
        link["type"] = STAC_ITEM_TYPE
    elif source.lower().endswith((".tif", ".tiff")):
        link["type"] = _GEOTIFF
    return link


def _assets(item: Path, facts: ItemFacts) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of the result and the files beside them; the item itself is not listed."""
    for key, file in facts.outputs.items():
        kind = OUTPUT_KINDS[key.partition(":")[0]]
        if kind.name == "stac_item":
            continue
        file_format, name = kind.formats[file.suffix.lower()], key.replace(":", "_")
        asset = {
            "href": _relative(file, item),
            "type": file_format.media_type,
            "title": kind.stac_title.format(facts.about(key)),
            "roles": list(kind.stac_roles),
            **_content(kind.name, facts.about(key)),
        }
        if file_format.fixed_crs is not None and facts.grid.crs is not None:
            asset["proj:code"] = file_format.fixed_crs
        yield name, asset
        for suffix, companion in file_format.companions.items():
            beside = file.with_suffix(suffix)
            if beside.exists():
                yield (
                    name + suffix,
                    {
                        "href": _relative(beside, item),
                        "type": companion.media_type,
                        "roles": [companion.role],
                    },
                )


def _content(kind: str, expression: str) -> dict[str, Any]:
    """What the values of a raster mean; nothing of other files."""
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
    """A file as seen from the folder of an item; absolute where no way leads there."""
    try:
        way = os.path.relpath(file.absolute(), item.absolute().parent)
    except ValueError:  # another drive
        return file.absolute().as_posix()
    return Path(way).as_posix() if way.startswith("..") else f"./{Path(way).as_posix()}"


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
