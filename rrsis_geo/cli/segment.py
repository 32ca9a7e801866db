"""``rrsis-geo segment``: find objects in scenes and write their polygons."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app, command_line, start_time
from rrsis_geo.cli.options import (
    AllowNoCrsOption,
    AoiLayerOption,
    AoiOption,
    BandsOption,
    BboxOption,
    DeviceOption,
    DtypeOption,
    GsdOption,
    JsonOption,
    KeepJobOption,
    ModelOption,
    NodataOption,
    NoResampleOption,
    OutputOverwriteOption,
    OverlapOption,
    PresenceOption,
    ProgressOption,
    QuietOption,
    ThreadsOption,
    TtaOption,
    VerboseOption,
    scene_options,
)
from rrsis_geo.cli.segment_options import (
    AppendOption,
    BatchSizeOption,
    CreationOption,
    ExplainOption,
    ExpressionsArgument,
    ExpressionsFileOption,
    FromProbabilityOption,
    KeepCandidatesOption,
    LandmarkOption,
    LandmarksOption,
    MaskOption,
    MinAreaOption,
    OutOption,
    PreviewOption,
    ProbabilityOption,
    QgisProjectOption,
    RegularizeOption,
    ReportOption,
    RestartOption,
    ResumeOption,
    SceneOrScenesArgument,
    SchedulerOption,
    ShardOption,
    SimplifyOption,
    SmoothOption,
    SplitOption,
    StacItemOption,
    ThresholdOption,
    WindowsLayerOption,
    WorkersOption,
    parse_shard,
    read_expressions,
)
from rrsis_geo.cli.segment_report import print_readings
from rrsis_geo.cli.segment_runs import (
    STDOUT,
    SegmentCall,
    check_expressions,
    check_options_for_many_scenes,
    check_options_without_model,
    run_from_probability,
    run_part,
    run_scene,
    run_scenes,
    run_to_stdout,
)
from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.creation_options import parse_creation_options
from rrsis_geo.model.names import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Sequence


@app.command(
    epilog='Example: rrsis-geo segment scene.tif "the truck on the road" --preview trucks.png'
)
def segment(
    context: typer.Context,
    scene: SceneOrScenesArgument = None,
    expressions: ExpressionsArgument = None,
    expressions_file: ExpressionsFileOption = None,
    explain: ExplainOption = False,
    out: OutOption = None,
    model: ModelOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    batch_size: BatchSizeOption = None,
    presence: PresenceOption = None,
    tta: TtaOption = False,
    overlap: OverlapOption = 128,
    threshold: ThresholdOption = 0.5,
    min_area: MinAreaOption = None,
    simplify: SimplifyOption = 0.0,
    smooth: SmoothOption = False,
    regularize: RegularizeOption = False,
    split: SplitOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    aoi_layer: AoiLayerOption = None,
    landmark: LandmarkOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    no_resample: NoResampleOption = False,
    mask: MaskOption = None,
    probability: ProbabilityOption = None,
    preview: PreviewOption = None,
    report: ReportOption = None,
    qgis_project: QgisProjectOption = None,
    stac_item: StacItemOption = None,
    windows_layer: WindowsLayerOption = False,
    keep_candidates: KeepCandidatesOption = False,
    landmarks: LandmarksOption = False,
    from_probability: FromProbabilityOption = None,
    append: AppendOption = False,
    co: CreationOption = None,
    overwrite: OutputOverwriteOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    threads: ThreadsOption = None,
    resume: ResumeOption = False,
    restart: RestartOption = False,
    keep_job: KeepJobOption = False,
    workers: WorkersOption = 1,
    scheduler: SchedulerOption = None,
    shard: ShardOption = None,
    as_json: JsonOption = False,
    progress: ProgressOption = console.ProgressFormat.AUTO,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find the objects that EXPRESSION describes in SCENE and write their polygons.

    With several expressions, a GeoPackage gets one layer per expression. Other
    outputs get one file per expression, with the layer name appended.

    With many scenes, give folders (-o results/ --mask masks/) for one file per
    scene, or a file (-o all.gpkg) for all polygons, with a "scene" column.
    """
    console.setup_logging(quiet=quiet, verbose=verbose, progress_format=progress)
    from rrsis_geo.segment.plan.landmarks import GivenLandmark

    check_expressions(expressions or ())
    given_landmarks = tuple(map(GivenLandmark.parse, landmark or ()))
    if explain:
        given = [*(expressions or ()), *read_expressions(expressions_file)]
        print_readings(given, given_landmarks, model, as_json=as_json)
        return
    from rrsis_geo.segment.batch.scenes import list_scenes
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs

    if from_probability is not None:
        check_options_without_model(context)
    all_expressions = [*(expressions or ()), *read_expressions(expressions_file)]
    if from_probability is None and (scene is None or not all_expressions):
        raise ConfigError(
            'give a SCENE and an EXPRESSION, for example: segment scene.tif "the truck on the road"'
        )
    if resume and restart:
        raise ConfigError("--resume and --restart contradict each other; give one of them")
    if smooth and regularize:
        raise ConfigError(
            "--smooth and --regularize contradict each other; --regularize draws curves where an "
            "object has no right angles"
        )
    if shard is not None and (restart or keep_job or scheduler is not None):
        raise ConfigError(
            "--shard continues an existing job and keeps it, on this machine; "
            "remove --restart, --keep-job and --scheduler"
        )
    scenes = None if scene is None else list_scenes(scene)
    if scenes is not None:
        check_options_for_many_scenes(
            scenes,
            {
                "--shard": shard,
                "--scheduler": scheduler,
                "--from-probability": from_probability,
                "--append": append or None,
            },
        )
    call = SegmentCall(
        context=context,
        expressions=all_expressions,
        outputs=Outputs(
            vector=out or _default_out(scene, scenes, all_expressions, from_probability),
            mask=mask,
            probability=probability,
            preview=preview,
            report=report,
            qgis_project=qgis_project,
            stac_item=stac_item,
            overwrite=overwrite,
            windows_layer=windows_layer,
            keep_candidates=keep_candidates,
            landmarks=landmarks,
            append=append,
            creation_options=parse_creation_options(co or ()),
        ),
        options=SegmentOptions(
            model=model,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            threads=threads,
            overlap_px=overlap,
            threshold=threshold,
            presence=presence,
            tta=tta,
            min_area_m2=min_area,
            simplify_m=simplify,
            outline="regular" if regularize else "smooth" if smooth else "pixels",
            split=split,
            landmarks=given_landmarks,
            scene=scene_options(
                bbox=bbox,
                aoi=aoi,
                aoi_layer=aoi_layer,
                bands=bands,
                nodata=nodata,
                gsd=gsd,
                no_resample=no_resample,
                allow_no_crs=allow_no_crs,
            ),
        ),
        run=RunOptions(
            existing="resume" if resume else "restart" if restart else "refuse",
            keep_job=keep_job,
            workers=workers,
            scheduler=scheduler,
            command=command_line(context),
            started=start_time(context),
        ),
        quiet=quiet,
        as_json=as_json,
    )
    part = parse_shard(shard)
    if out == STDOUT:
        refused = {
            "--resume": resume,
            "--restart": restart,
            "--keep-job": keep_job,
            "--shard": shard,
            "--append": append,
        }
        needless = [name for name, value in refused.items() if value]
        if scenes is not None or needless:
            what = f"{len(scenes)} scenes" if scenes is not None else " and ".join(needless)
            raise ConfigError(f"-o -: prints the polygons of one run on one scene, got {what}")
        run_to_stdout(call, scene, from_probability)
    elif from_probability is not None:
        run_from_probability(call, from_probability, scene)
    elif scenes is not None:
        run_scenes(call, scenes)
    elif part is not None:
        run_part(call, str(scene), part)
    else:
        run_scene(call, str(scene))


def _default_out(
    scene: str | None,
    scenes: "Sequence[str] | None",
    expressions: "Sequence[str]",
    from_probability: str | None,
) -> Path:
    """The vector file if --out is not given: in the current folder, named after the input."""
    from rrsis_geo.segment.batch.scenes import default_joined_output
    from rrsis_geo.segment.plan.outputs import default_output

    if from_probability is not None:
        return Path(f"{Path(from_probability).stem}.gpkg")
    if scenes is not None:
        return default_joined_output(str(scene), expressions)
    return default_output(str(scene), expressions)
