"""``rrsis-geo segment``: a scene and an expression in, polygons out."""

from typing import TYPE_CHECKING, Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    DEFAULT_MODEL,
    AllowNoCrsOption,
    AoiOption,
    BandsOption,
    BboxOption,
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
    SceneArgument,
    VerboseOption,
    parse_bands,
    parse_bbox,
)

if TYPE_CHECKING:
    from rrsis_geo.pipeline.segment import SegmentReport


@app.command(
    epilog='Example: rrsis-geo segment scene.tif "the truck on the road" --preview trucks.png'
)
def segment(
    scene: SceneArgument,
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION", help='What to find: "the truck on the road".')
    ],
    out: OutOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel="Model")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="auto, fp32, bf16, fp16.", rich_help_panel="Model")
    ] = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Windows at once. Default: suits the device.", rich_help_panel="Model"
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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing output.", rich_help_panel="Result")
    ] = False,
    allow_no_crs: AllowNoCrsOption = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Processor threads for the network.", rich_help_panel="Model"),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find what EXPRESSION says in SCENE and write its polygons."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.pipeline.outputs import Outputs, default_output
    from rrsis_geo.pipeline.plan import SegmentOptions
    from rrsis_geo.pipeline.segment import segment_scene

    box, box_crs = parse_bbox(bbox)
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
        bbox=box,
        bbox_crs=box_crs,
        aoi=aoi,
        bands=parse_bands(bands),
        nodata=nodata,
        gsd_m=gsd,
        resample=not no_resample,
        allow_no_crs=allow_no_crs,
    )
    outputs = Outputs(
        vector=out or default_output(scene, expression),
        mask=mask,
        probability=probability,
        preview=preview,
        overwrite=overwrite,
    )
    with console.progress(quiet=quiet or as_json) as on_progress:
        report = segment_scene(scene, expression, outputs, options, progress=on_progress)
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_report(report)


def _print_report(report: "SegmentReport") -> None:
    """The result as people read it."""
    objects = "object" if report.n_objects == 1 else "objects"
    skipped = f", and {report.skipped} skipped that hold no data" if report.skipped else ""
    console.print_facts(
        f'{report.n_objects} {objects} for "{report.expression}" in {report.scene}',
        [
            ("area", console.area(report.area_m2)),
            ("windows", f"{report.windows}{skipped}"),
            (
                "time",
                f"{console.duration(report.seconds)}: "
                f"{console.duration(report.load_seconds)} to load the model, "
                f"{console.duration(report.network_seconds)} in the network",
            ),
            *((name, str(path)) for name, path in report.outputs.items()),
        ],
    )
