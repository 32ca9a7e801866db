"""``rrsis-geo segment``: a scene and expressions in, polygons out."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app, command_line
from rrsis_geo.cli.from_probability import (
    one_expression,
    print_polygons,
    refuse_what_needs_network,
)
from rrsis_geo.cli.options import (
    AllowNoCrsOption,
    AoiOption,
    BandsOption,
    BboxOption,
    DeviceOption,
    DtypeOption,
    ExpressionsOption,
    FromProbabilityOption,
    GsdOption,
    JsonOption,
    MaskOption,
    ModelOption,
    NodataOption,
    NoResampleOption,
    OutOption,
    OverlapOption,
    PreviewOption,
    ProbabilityOption,
    QuietOption,
    ReportOption,
    StacItemOption,
    VerboseOption,
    WindowsLayerOption,
    read_expressions,
    scene_options,
)
from rrsis_geo.cli.scenes import refuse_files, refuse_for_several, segment_several
from rrsis_geo.cli.signals import resumable
from rrsis_geo.errors import ConfigError, IncompleteError
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.units import format_area, format_duration

KeepJobOption = Annotated[
    bool,
    typer.Option(
        "--keep-job", help="Keep the job's folder when all is done.", rich_help_panel="Run"
    ),
]

if TYPE_CHECKING:
    from rrsis_geo.segment.results.report import ExpressionResult, PartReport, SegmentReport
    from rrsis_geo.segment.shards.failures import FailedWindow


@app.command(
    epilog='Example: rrsis-geo segment scene.tif "the truck on the road" --preview trucks.png'
)
def segment(
    context: typer.Context,
    scene: Annotated[
        str | None,
        typer.Argument(
            metavar="SCENE",
            help="A raster: file, URL, s3://, VRT or STAC item; or several: a folder, a pattern in "
            'quotes ("tiles/*.tif"), or a text file (.txt) of paths, one a line.',
        ),
    ] = None,
    expressions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXPRESSION",
            help='What to find: "the truck on the road". Several are found in one pass.',
        ),
    ] = None,
    expressions_file: ExpressionsOption = None,
    out: OutOption = None,
    model: ModelOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Windows at once, whatever the number of expressions. Default: suits the device.",
            rich_help_panel="Model",
        ),
    ] = None,
    overlap: OverlapOption = 128,
    threshold: Annotated[
        float,
        typer.Option(help="Probability above which a pixel counts.", rich_help_panel="Result"),
    ] = 0.5,
    min_area: Annotated[
        float,
        typer.Option(
            metavar="M2",
            help="Drop objects smaller than this, in square metres.",
            rich_help_panel="Result",
        ),
    ] = 0.0,
    simplify: Annotated[
        float,
        typer.Option(
            metavar="METRES", help="Straighten outlines by up to this.", rich_help_panel="Result"
        ),
    ] = 0.0,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    no_resample: NoResampleOption = False,
    mask: MaskOption = None,
    probability: ProbabilityOption = None,
    preview: PreviewOption = None,
    report: ReportOption = None,
    stac_item: StacItemOption = None,
    windows_layer: WindowsLayerOption = False,
    from_probability: FromProbabilityOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing output.", rich_help_panel="Result")
    ] = False,
    allow_no_crs: AllowNoCrsOption = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Processor threads for the network.", rich_help_panel="Model"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a run that was not finished.", rich_help_panel="Run"
        ),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Remove such a run and start over.", rich_help_panel="Run"),
    ] = False,
    keep_job: KeepJobOption = False,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes: one a GPU, or some that share the cores.", rich_help_panel="Run"
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a Dask cluster compute: tcp://host:8786.",
            rich_help_panel="Run",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Compute only part K of N, 1/N to N/N, for `merge` to join; for array jobs.",
            rich_help_panel="Run",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find what EXPRESSION says in SCENE and write its polygons.

    Several expressions get a layer each in a GeoPackage. In other formats, and
    of rasters and pictures, each gets a file of its own, with the name of its
    layer appended.

    Several scenes get files of their own in folders (-o results/ --mask masks/),
    or one file for the polygons of all (-o all.gpkg), whose rows name their
    scene.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.segment.batch.scenes import default_place, find_several
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs, default_output

    if from_probability is not None:
        refuse_what_needs_network(context)
        out = out or Path(f"{Path(from_probability).stem}.gpkg")
    refuse_files(expressions or ())
    wanted = [*(expressions or ()), *read_expressions(expressions_file)]
    if from_probability is None and (scene is None or not wanted):
        raise ConfigError(
            'give a SCENE and an EXPRESSION, as in segment scene.tif "the truck on the road"'
        )
    if resume and restart:
        raise ConfigError("--resume and --restart contradict each other; give one of them")
    if shard is not None and (restart or keep_job or scheduler is not None):
        raise ConfigError(
            "--shard goes on with the job that is there and keeps it, on this machine; "
            "give it without --restart, --keep-job and --scheduler"
        )
    scenes = None if scene is None else find_several(scene)
    if scene is not None and scenes is not None:
        about_one = {"--shard": shard, "--scheduler": scheduler}
        refuse_for_several(scenes, {**about_one, "--from-probability": from_probability})
        out = out or default_place(scene, wanted)
    options = SegmentOptions(
        model=model,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        threads=threads,
        overlap_px=overlap,
        threshold=threshold,
        min_area_m2=min_area,
        simplify_m=simplify,
        scene=scene_options(
            bbox=bbox,
            aoi=aoi,
            bands=bands,
            nodata=nodata,
            gsd=gsd,
            no_resample=no_resample,
            allow_no_crs=allow_no_crs,
        ),
    )
    outputs = Outputs(
        vector=out or default_output(str(scene), wanted),
        mask=mask,
        probability=probability,
        preview=preview,
        report=report,
        stac_item=stac_item,
        overwrite=overwrite,
        windows_layer=windows_layer,
    )
    if from_probability is not None:
        from rrsis_geo.segment.from_probability import polygonize

        with console.progress(quiet=quiet or as_json) as on_progress:
            polygons = polygonize(
                from_probability,
                outputs,
                options,
                expression=one_expression(wanted),
                scene=scene,
                command=command_line(context),
                progress=on_progress,
            )
        print_polygons(polygons, as_json=as_json)
        return
    assert scene is not None  # asked for above
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.jobs.job import job_path
    from rrsis_geo.segment.scene import segment_part, segment_scene

    run = RunOptions(
        existing="resume" if resume else "restart" if restart else "refuse",
        keep_job=keep_job,
        workers=workers,
        scheduler=scheduler,
        command=command_line(context),
    )
    if scenes is not None:
        segment_several(
            *(context, scenes, wanted, outputs, options, run), quiet=quiet, as_json=as_json
        )
        return
    part = _parse_shard(shard)
    flag = "--resume" if part is None else None
    with (
        resumable(context, job_path(outputs.vector), flag=flag) as stop,
        console.progress(quiet=quiet or as_json) as on_progress,
    ):
        how: dict[str, Any] = {"run": run, "progress": on_progress, "stop": stop}
        if part is None:
            done = segment_scene(scene, wanted, outputs, options, **how)
        else:
            part_report = segment_part(scene, wanted, outputs, part, options, **how)
    if part is None:
        print_report(done, as_json=as_json)
    else:
        _print_part(part_report, as_json=as_json)


def _parse_shard(text: str | None) -> tuple[int, int] | None:
    """Which part of how many."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f'--shard takes K/N from 1/N to N/N, such as 3/16; got "{text}"')
    return int(found[1]), int(found[2])


def print_report(report: "SegmentReport", *, as_json: bool) -> None:
    """The result, and the error that it has gaps.

    Raises:
        IncompleteError: windows failed.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_facts(report)
    _fail_if_any(report.failed)


def _print_part(report: "PartReport", *, as_json: bool) -> None:
    """What was done of a job, and the error that it has gaps."""
    if as_json:
        console.print_json(report.to_dict())
    else:
        what = "shards {}-{}".format(*report.shards) if report.shards else "no shards"
        left = f"{report.missing} are missing" if report.missing else "all are done"
        merge = shlex.join(["rrsis-geo", "merge", str(report.job)])
        console.print_facts(
            f"{what} done in {report.job}", [("of the job", left), ("when all are", merge)]
        )
    _fail_if_any(report.failed)


def _fail_if_any(failed: "tuple[FailedWindow, ...]") -> None:
    from rrsis_geo.segment.shards.failures import count_of

    if failed:
        raise IncompleteError(
            f"{count_of(failed)} failed, without data in the result now, such as rows "
            f"{failed[0].row_start}-{failed[0].row_stop}, columns "
            f"{failed[0].col_start}-{failed[0].col_stop} ({failed[0].reason}); "
            "segment with --resume tries them again"
        )


def _print_facts(report: "SegmentReport") -> None:
    """The result as people read it."""
    objects = "object" if report.n_objects == 1 else "objects"
    failed = f", and {len(report.failed)} that failed" if report.failed else ""
    skipped = f", and {report.skipped} skipped that hold no data" if report.skipped else ""
    several = len(report.results) > 1
    if several:
        console.print_table(
            ("expression", "objects", "area", "surest window"), _result_rows(report.results)
        )
    what = f"{len(report.results)} expressions" if several else f'"{report.expressions[0]}"'
    console.print_facts(
        f"{report.n_objects} {objects} for {what} in {report.scene}",
        [
            *([] if several else [("area", format_area(report.area_m2))]),
            ("windows", f"{report.windows}{skipped}{failed}"),
            (
                "time",
                f"{format_duration(report.seconds)}: "
                f"{format_duration(report.load_seconds)} to load the model, "
                f"{format_duration(report.network_seconds)} in the network",
            ),
            *((name, str(path)) for name, path in report.outputs.items()),
        ],
    )


def _result_rows(results: "Sequence[ExpressionResult]") -> list[tuple[str, ...]]:
    """A row an expression: what was found of it, and how sure the model is that it is there."""
    return [
        (
            result.expression,
            f"{result.n_objects}",
            format_area(result.area_m2),
            "unknown" if result.presence_max is None else f"{result.presence_max:.0%}",
        )
        for result in results
    ]
