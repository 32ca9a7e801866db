"""Prints the reports of `segment` and `merge`."""

import shlex
from typing import TYPE_CHECKING, Any

from rrsis_geo import console
from rrsis_geo.errors import ConfigError, IncompleteError
from rrsis_geo.units import format_area, format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rrsis_geo.segment.batch.job import SceneResult
    from rrsis_geo.segment.batch.report import ScenesReport
    from rrsis_geo.segment.from_probability import PolygonReport
    from rrsis_geo.segment.plan.landmarks import GivenLandmark
    from rrsis_geo.segment.results.report import ExpressionResult, PartReport, SegmentReport

MAX_NAMED_SCENES = 5
"""Failed scenes that the error message names."""


def print_report(report: "SegmentReport", *, as_json: bool) -> None:
    """Print the report of a run on one scene.

    Raises:
        IncompleteError: windows failed, or a picture or the page could not be made.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_facts(report)
    _check_windows(report.failed)
    _check_outputs(report.unwritten)


def check_complete(report: "SegmentReport | PolygonReport") -> None:
    """Check that nothing is missing in a result.

    Raises:
        IncompleteError: windows failed, or a picture or the page could not be made.
    """
    _check_windows(getattr(report, "failed", ()))
    _check_outputs(report.unwritten)


def print_readings(
    expressions: "Sequence[str]",
    landmarks: "Sequence[GivenLandmark]",
    model: str,
    *,
    as_json: bool,
) -> None:
    """Print how expressions are understood.

    Args:
        expressions: as given.
        landmarks: layers of the user, for which the network is not asked.
        model: name of the bundle, whose language decides how the network is asked.
        as_json: print JSON.

    Raises:
        ConfigError: there is no expression, or no landmark of that name.
        InputError: an expression is not understood.
        ModelError: the bundle is missing or damaged.
    """
    from rrsis_geo.resolve.choice import least_score
    from rrsis_geo.resolve.resolver import LANDMARK_SCORE, all_rules
    from rrsis_geo.segment.info import read_model_facts
    from rrsis_geo.segment.plan.expressions import clean_expressions
    from rrsis_geo.segment.plan.landmarks import all_landmarks, asked_phrases, read_queries
    from rrsis_geo.text.query.records import Rank

    if not expressions:
        raise ConfigError('give an EXPRESSION too, as in: segment scene.tif "the largest building"')
    cleaned = clean_expressions(expressions)
    language = read_model_facts(model).language
    queries = dict(zip(cleaned, read_queries(cleaned, landmarks, language), strict=True))
    asked = asked_phrases(tuple(queries.values()), landmarks)
    phrases = {text: [p for p in query.phrases() if p in asked] for text, query in queries.items()}
    if as_json:
        console.print_json(
            [
                {
                    "expression": expression,
                    "reading": str(query),
                    "phrases": phrases[expression],
                    "query": query.to_dict(),
                }
                for expression, query in queries.items()
            ]
        )
        return
    for expression, query in queries.items():
        facts = [("understood", str(query)), ("the network finds", "; ".join(phrases[expression]))]
        if any(phrase in asked for each in all_landmarks([query]) for phrase in each.targets()):
            facts.append(
                (
                    "landmarks",
                    f"where some have a mean probability of {LANDMARK_SCORE:g}, only these count",
                )
            )
        for rank in (rule for rule in all_rules(query) if isinstance(rule, Rank)):
            limit = f"{least_score(rank):g}"
            facts.append((str(rank), f"objects with a mean probability below {limit} come last"))
        console.print_facts(f'"{expression}"', facts)


def print_part(report: "PartReport", *, as_json: bool) -> None:
    """Print the report of one part of a scene.

    Raises:
        IncompleteError: windows failed.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        merge = shlex.join(["rrsis-geo", "merge", str(report.job)])
        missing = format_count(report.missing, "shard") if report.missing else "none"
        console.print_facts(
            _part_title(report), [("missing in the job", missing), ("finally run", merge)]
        )
    _check_windows(report.failed)


def _part_title(report: "PartReport") -> str:
    """What was computed of a part, which is empty if there are more parts than shards."""
    if report.shards:
        first, last = report.shards
        return f"completed shards {first}-{last} of {report.job}"
    number, n_parts = report.part
    return (
        f"this scene has {format_count(report.n_shards, 'shard')}; part {number} of {n_parts} "
        "is empty"
    )


def print_scenes(report: "ScenesReport", *, as_json: bool) -> None:
    """Print the report of a run on many scenes.

    Raises:
        IncompleteError: a scene failed, or its result has gaps.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_scene_table(report)
    if report.failed:
        n_more = len(report.failed) - MAX_NAMED_SCENES
        more = f" and {n_more} more" if n_more > 0 else ""
        names = ", ".join(_name(result) for result in report.failed[:MAX_NAMED_SCENES])
        raise IncompleteError(
            f"{len(report.failed)} of {len(report.scenes)} scenes failed or have gaps: "
            f"{names}{more}; run the command again with --resume to retry them"
        )


def print_polygons(report: "PolygonReport", *, as_json: bool) -> None:
    """Print the report of polygons made from a probability raster.

    Raises:
        IncompleteError: a picture or the page could not be made.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        console.print_facts(
            f"{_count(report)} above {report.threshold:g} for "
            f'"{report.expression}" in {report.probability}',
            [
                ("area", format_area(report.area_m2)),
                *_dropped(report),
                ("time", format_duration(report.seconds)),
                *((kind, str(path)) for kind, path in report.outputs.items()),
            ],
        )
    _check_outputs(report.unwritten)


def _check_windows(failed: "Sequence[Any]") -> None:
    if failed:
        first = failed[0]
        raise IncompleteError(
            f"{format_count(len(failed), 'window')} failed and left no data in the result, "
            f"for example rows {first.row_start}-{first.row_stop}, columns "
            f"{first.col_start}-{first.col_stop} ({first.reason}); run the command again with "
            "--resume to retry"
        )


def _check_outputs(unwritten: "Mapping[str, str]") -> None:
    if unwritten:
        reasons = "; ".join(f"{key} ({reason})" for key, reason in unwritten.items())
        raise IncompleteError(f"all is written but: {reasons}")


def _print_facts(report: "SegmentReport") -> None:
    is_single = len(report.results) == 1
    if not is_single:
        console.print_table(
            ("expression", "objects", "area", "highest presence"), _expression_rows(report.results)
        )
    title = f'"{report.expressions[0]}"' if is_single else f"{len(report.results)} expressions"
    skipped = f", {report.skipped} skipped (no data)" if report.skipped else ""
    failed = f", {len(report.failed)} failed" if report.failed else ""
    console.print_facts(
        f"{_count(report.results[0] if is_single else report)} for {title} in {report.scene}",
        [
            *_readings(report.results),
            *([("area", format_area(report.area_m2))] if is_single else []),
            *_dropped(report),
            ("windows", f"{report.windows}{skipped}{failed}"),
            (
                "time",
                f"{format_duration(report.seconds)} "
                f"({format_duration(report.load_seconds)} loading the model, "
                f"{format_duration(report.network_seconds)} in the network)",
            ),
            *((kind, str(path)) for kind, path in report.outputs.items()),
        ],
    )


def _count(result: "ExpressionResult | PolygonReport | SegmentReport") -> str:
    """How many objects are meant, and of how many candidates, if the layer has them."""
    return format_count(result.n_objects, "object") + _of_candidates(result)


def _of_candidates(result: "ExpressionResult | PolygonReport | SegmentReport") -> str:
    n_candidates = getattr(result, "n_candidates", None)
    return "" if n_candidates is None else f" of {format_count(n_candidates, 'candidate')}"


def _dropped(report: "PolygonReport | SegmentReport") -> list[tuple[str, str]]:
    """How many objects were too small."""
    return [("dropped", report.dropped)] if report.dropped else []


def _readings(results: "Sequence[ExpressionResult]") -> list[tuple[str, str]]:
    """How expressions were understood, where rules choose among the objects."""
    return [("understood", result.reading) for result in results if result.reading]


def _expression_rows(results: "Sequence[ExpressionResult]") -> list[tuple[str, ...]]:
    """One row per expression: its objects, their area, and the highest presence in any window."""
    return [
        (
            result.expression,
            f"{result.n_objects}" + _of_candidates(result),
            format_area(result.area_m2),
            "unknown" if result.presence_max is None else f"{result.presence_max:.0%}",
        )
        for result in results
    ]


def _print_scene_table(report: "ScenesReport") -> None:
    is_single = len(report.expressions) == 1
    counts = ("objects", "area") if is_single else report.expressions
    console.print_table(
        ("scene", *counts, "time", "state"),
        [_scene_row(result, len(report.expressions)) for result in report.scenes],
    )
    title = f'"{report.expressions[0]}"' if is_single else f"{len(report.expressions)} expressions"
    n_done = sum(result.state == "done" for result in report.scenes)
    n_outside = sum(result.state == "outside" for result in report.scenes)
    console.print_facts(
        f"{format_count(report.n_objects, 'object')} for {title} in "
        f"{format_count(n_done + len(report.failed), 'scene')}",
        [
            *([("area", format_area(report.area_m2))] if is_single else []),
            *([("outside the area", format_count(n_outside, "scene"))] if n_outside else []),
            *([("failed", format_count(len(report.failed), "scene"))] if report.failed else []),
            (
                "time",
                f"{format_duration(report.seconds)} "
                f"({format_duration(report.load_seconds)} loading the model)",
            ),
            *((kind, str(path)) for kind, path in report.outputs.items()),
        ],
    )


def _scene_row(result: "SceneResult", n_expressions: int) -> list[str]:
    """Name, object counts, area (of a single expression: several may overlap), time and state."""
    report, has_area = result.report, n_expressions == 1
    if not report:
        return [_name(result), *["-"] * (n_expressions + has_area + 1), _state(result)]
    counts = [str(each["n_objects"]) for each in report["results"]]
    area = [format_area(report["area_m2"])] if has_area else []
    return [_name(result), *counts, *area, format_duration(report["seconds"]), _state(result)]


def _state(result: "SceneResult") -> str:
    if result.state == "failed":
        return f"failed: {result.reason}"
    if result.state == "gaps":
        failed, unwritten = result.report["failed"], result.report.get("unwritten", {})
        windows = [f"{format_count(len(failed), 'window')} failed"] if failed else []
        return ", ".join([*windows, *(f"no {key}" for key in unwritten)])
    return "outside the area" if result.state == "outside" else result.state


def _name(result: "SceneResult") -> str:
    return result.scene.replace("\\", "/").rstrip("/").rpartition("/")[2]
