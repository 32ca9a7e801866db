"""What `segment` does where several scenes are given: one table in the end."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rrsis_geo import console
from rrsis_geo.cli.signals import resumable
from rrsis_geo.errors import ConfigError, IncompleteError
from rrsis_geo.units import format_area, format_duration

if TYPE_CHECKING:
    from rrsis_geo.segment.batch.job import SceneResult
    from rrsis_geo.segment.batch.report import ScenesReport
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs

NAMED = 5
"""Scenes that the error in the end names."""


def refuse_files(expressions: Sequence[str]) -> None:
    """Refuse files in the place of expressions: a shell has put them there for a pattern.

    Raises:
        ConfigError: there is one.
    """
    for expression in expressions:
        with suppress(OSError):  # too long for a name
            if "." in expression and Path(expression).is_file():  # "trucks" may be one by chance
                raise ConfigError(
                    f"{expression}: is a file, where an expression should be; several scenes are "
                    'given as a folder, or as a pattern in quotes: "tiles/*.tif"'
                )


def refuse_for_several(scenes: Sequence[str], given: dict[str, Any]) -> None:
    """Refuse options that are about one scene, by their names.

    Raises:
        ConfigError: one was given.
    """
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise ConfigError(
            f"{' and '.join(wrong)}: for one scene, and these are {len(scenes)}; give them one by "
            "one, or --workers, each of which takes whole scenes"
        )


def segment_several(
    context: typer.Context,
    scenes: Sequence[str],
    expressions: Sequence[str],
    outputs: "Outputs",
    options: "SegmentOptions",
    run: "RunOptions",
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Segment them, and print what became of each.

    Raises:
        IncompleteError: a scene failed, or has gaps.
    """
    from rrsis_geo.segment.batch.scenes import segment_scenes
    from rrsis_geo.segment.batch.tasks import ScenesOutputs

    with (
        resumable(context, ScenesOutputs(outputs).job, flag="--resume") as stop,
        console.progress(quiet=quiet or as_json) as on_progress,
    ):
        report = segment_scenes(
            scenes, expressions, outputs, options, run=run, progress=on_progress, stop=stop
        )
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_table(report)
    if report.failed:
        more = f" and {len(report.failed) - NAMED} more" if len(report.failed) > NAMED else ""
        names = ", ".join(_name(result) for result in report.failed[:NAMED])
        raise IncompleteError(
            f"{len(report.failed)} of {len(report.scenes)} scenes failed, or have windows that "
            f"did: {names}{more}; the same with --resume tries them again"
        )


def _print_table(report: "ScenesReport") -> None:
    several = len(report.expressions) > 1
    counts = report.expressions if several else ("objects",)
    console.print_table(
        ("scene", *counts, *([] if several else ["area"]), "time", "state"),
        [_row(result, len(report.expressions)) for result in report.scenes],
    )
    objects = "object" if report.n_objects == 1 else "objects"
    what = f"{len(report.expressions)} expressions" if several else f'"{report.expressions[0]}"'
    done = sum(result.state == "done" for result in report.scenes)
    outside = sum(result.state == "outside" for result in report.scenes)
    console.print_facts(
        f"{report.n_objects} {objects} for {what} in {done + len(report.failed)} scenes",
        [
            *([] if several else [("area", format_area(report.area_m2))]),
            *([("outside", f"{outside} scenes beside the area")] if outside else []),
            *([("failed", f"{len(report.failed)} scenes")] if report.failed else []),
            (
                "time",
                f"{format_duration(report.seconds)}: "
                f"{format_duration(report.load_seconds)} to load the model",
            ),
            *((name, str(path)) for name, path in report.outputs.items()),
        ],
    )


def _row(result: "SceneResult", n_expressions: int) -> list[str]:
    """A scene: of several expressions without an area, as theirs may overlap."""
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
        n_failed = len(result.report["failed"])
        return f"{n_failed} window{'' if n_failed == 1 else 's'} failed"
    return "beside the area" if result.state == "outside" else result.state


def _name(result: "SceneResult") -> str:
    return result.scene.replace("\\", "/").rstrip("/").rpartition("/")[2]
