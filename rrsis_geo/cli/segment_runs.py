"""The four kinds of runs that `segment` starts, and the option checks that they need."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import command_line, resumable, start_time
from rrsis_geo.cli.segment_report import (
    check_complete,
    print_part,
    print_polygons,
    print_report,
    print_scenes,
)
from rrsis_geo.errors import ConfigError, Stopped
from rrsis_geo.progress import Progress
from rrsis_geo.text.grammar_words import UNCOUNTED, WORD_TAGS

if TYPE_CHECKING:
    from rrsis_geo.segment.from_probability import PolygonReport
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs
    from rrsis_geo.segment.results.report import SegmentReport

FUNCTION_WORDS = frozenset(
    word for word, tag in WORD_TAGS.items() if tag in ("DT", "IN", "TO", "CC", "CD", "WDT", "VBZ")
)
"""Words that are no expression on their own, such as articles and prepositions."""
ADJECTIVES = frozenset(word for word, tag in WORD_TAGS.items() if tag == "JJ") - UNCOUNTED

STDOUT = Path("-")
"""Value of --out that prints GeoJSON on stdout."""

USED_WITHOUT_MODEL = frozenset(
    {
        *(
            "scene",
            "expressions",
            "from_probability",
            "landmark",
            "threshold",
            "min_area",
            "simplify",
            "smooth",
            "regularize",
            "split",
        ),
        *(
            "out",
            "mask",
            "preview",
            "report",
            "qgis_project",
            "stac_item",
            "keep_candidates",
            "append",
            "co",
            "overwrite",
            "as_json",
        ),
        *("progress", "quiet", "verbose"),
    }
)
"""Parameters of `segment` that have an effect with --from-probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCall:
    """One call of `segment`, with its options parsed.

    Attributes:
        context: context of the command.
        expressions: what to find.
        outputs: files to write.
        options: options that decide the result.
        run: options that do not change the result.
        quiet: show only errors.
        as_json: print the result as JSON.
    """

    context: typer.Context
    expressions: Sequence[str]
    outputs: "Outputs"
    options: "SegmentOptions"
    run: "RunOptions"
    quiet: bool
    as_json: bool


def run_scene(call: SegmentCall, scene: str) -> None:
    """Segment one scene and print the report."""
    from rrsis_geo.segment.jobs.job import job_path

    report = _segment(call, scene, job_path(call.outputs.vector))
    print_report(report, as_json=call.as_json)


def run_to_stdout(call: SegmentCall, scene: str | None, probability: str | None) -> None:
    """Print the polygons of one expression as GeoJSON on stdout, and nothing else there.

    Args:
        call: its outputs have `STDOUT` as vector file.
        scene: the scene; with a probability raster, that of the pictures.
        probability: probability raster; None segments the scene.

    Raises:
        ConfigError: the call needs a file, or has several expressions.
        IncompleteError: windows failed, or a picture could not be made.
    """
    outputs = call.outputs
    if len(call.expressions) > 1:
        raise ConfigError(f"-o -: prints one layer, got {len(call.expressions)} expressions")
    if call.as_json or any((outputs.report, outputs.qgis_project, outputs.stac_item)):
        raise ConfigError(
            "-o -: has no file for --json, --report, --qgis-project and --stac-item to name"
        )
    with TemporaryDirectory(prefix="rrsis-geo-") as folder:
        vector = Path(folder) / "stdout.geojson"
        call = replace(call, outputs=replace(outputs, vector=vector))
        report: SegmentReport | PolygonReport
        if probability is not None:
            report = _polygonize(call, probability, scene)
        else:
            report = _segment(call, str(scene), None)
        console.print_text(vector.read_text(encoding="utf-8"))
    check_complete(report)


def _segment(call: SegmentCall, scene: str, job: Path | None) -> "SegmentReport":
    """Segment one scene. The job is None if it is not kept."""
    from rrsis_geo.segment.scene import segment_scene

    with _resumable_run(call, job) as (stop, progress):
        return segment_scene(
            scene,
            call.expressions,
            call.outputs,
            call.options,
            run=call.run,
            progress=progress,
            stop=stop,
        )


def run_part(call: SegmentCall, scene: str, part: tuple[int, int]) -> None:
    """Segment part K of N of one scene and print the report."""
    from rrsis_geo.segment.jobs.job import job_path
    from rrsis_geo.segment.scene import segment_part

    job = job_path(call.outputs.vector)
    with _resumable_run(call, job, flag=None) as (stop, progress):
        report = segment_part(
            scene,
            call.expressions,
            call.outputs,
            part,
            call.options,
            run=call.run,
            progress=progress,
            stop=stop,
        )
    print_part(report, as_json=call.as_json)


def run_scenes(call: SegmentCall, scenes: Sequence[str]) -> None:
    """Segment many scenes and print the report."""
    from rrsis_geo.segment.batch.scenes import segment_scenes
    from rrsis_geo.segment.batch.tasks import BatchOutputs

    with _resumable_run(call, BatchOutputs(call.outputs).job_folder) as (stop, progress):
        report = segment_scenes(
            scenes,
            call.expressions,
            call.outputs,
            call.options,
            run=call.run,
            progress=progress,
            stop=stop,
        )
    print_scenes(report, as_json=call.as_json)


def run_from_probability(call: SegmentCall, probability: str, scene: str | None) -> None:
    """Make polygons from a probability raster and print the report."""
    print_polygons(_polygonize(call, probability, scene), as_json=call.as_json)


def _polygonize(call: SegmentCall, probability: str, scene: str | None) -> "PolygonReport":
    """Make polygons from a probability raster.

    Raises:
        ConfigError: more than one expression.
    """
    from rrsis_geo.segment.from_probability import polygonize

    if len(call.expressions) > 1:
        raise ConfigError(
            f"--from-probability: a probability raster belongs to one expression, got "
            f"{len(call.expressions)}; give its EXPRESSION or none"
        )
    with console.progress(quiet=call.quiet) as progress:
        return polygonize(
            probability,
            call.outputs,
            call.options,
            expression=call.expressions[0] if call.expressions else None,
            scene=scene,
            command=command_line(call.context),
            started=start_time(call.context),
            progress=progress,
        )


def check_expressions(expressions: Sequence[str]) -> None:
    """Refuse what comes from missing quotes: the files of a pattern, and the words of a sentence.

    Raises:
        ConfigError: an expression is the path of a file, or a single word that is no object.
    """
    for word, following in pairwise([*expressions, ""]):
        if word.lower() in FUNCTION_WORDS or (word.lower() in ADJECTIVES and following.isalpha()):
            sentence = " ".join(expressions)
            raise ConfigError(
                f'"{word}" is no object; if it is a part of an expression, quote the expression: '
                f'segment SCENE "{sentence}"'
            )
    for expression in expressions:
        with suppress(OSError):  # too long for a file name
            if "." in expression and Path(expression).is_file():  # a file named "trucks" is fine
                raise ConfigError(
                    f"{expression}: is a file, but an expression is expected here; to give many "
                    'scenes, use a folder or a quoted pattern: "tiles/*.tif"'
                )


def check_options_for_many_scenes(scenes: Sequence[str], values: dict[str, object]) -> None:
    """Refuse options that work with one scene only.

    Args:
        scenes: the scenes.
        values: option name -> value, None if the option is not given.

    Raises:
        ConfigError: an option is given.
    """
    given = [name for name, value in values.items() if value is not None]
    if given:
        raise ConfigError(
            f"{' and '.join(given)}: works with one scene, got {len(scenes)}; segment the scenes "
            "one by one, or use --workers, which distributes whole scenes"
        )


def check_options_without_model(context: typer.Context) -> None:
    """Refuse options that have no effect with --from-probability.

    Raises:
        ConfigError: such options are given.
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in USED_WITHOUT_MODEL
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: has no effect with --from-probability, which runs no model; "
            "remove it"
        )


@contextmanager
def _resumable_run(
    call: SegmentCall, job: Path | None, *, flag: str | None = "--resume"
) -> Iterator[tuple[Callable[[], bool], Progress]]:
    """Yield the stop function and the progress callback of a run.

    The callback ends the run when the user asked to stop, so that it does not go on to the end of
    a shard. Worker processes complete their shards.
    """
    with (
        resumable(call.context, job, flag=flag) as stop,
        console.progress(quiet=call.quiet) as show,
    ):

        def progress(stage: str, done: int, total: int) -> None:
            if show is not None:
                show(stage, done, total)
            if call.run.is_alone and stop():
                raise Stopped("stopped")

        yield stop, progress
