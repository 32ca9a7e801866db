"""The command line: each command parses, calls one function of the pipeline, and reports.

Pipelines are imported inside the commands, so that ``--help`` loads no network and no raster code.
"""

import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rrsis_geo import __version__, console
from rrsis_geo.errors import ConfigError, ModelError, RrsisError

if TYPE_CHECKING:
    from rrsis_geo.pipeline.info import SceneFacts
    from rrsis_geo.pipeline.segment import SegmentReport

INTERRUPTED = 130
DEFAULT_MODEL = "btdnet-lite"


class ErrorBoundary(TyperGroup):
    """Turns our errors into a line on stderr and an exit code, in a shell and under test alike."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RrsisError as err:
            console.print_error(err)
            raise typer.Exit(err.exit_code) from err
        except KeyboardInterrupt as err:
            console.print_interrupted()
            raise typer.Exit(INTERRUPTED) from err


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say what you are looking for in an overhead scene; get georeferenced polygons.",
)

SceneArgument = Annotated[  # no Path, which would make "https:/" of "https://"
    str, typer.Argument(metavar="SCENE", help="A georeferenced raster that GDAL reads.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="Name or folder of a model bundle; see `models`.", rich_help_panel="Model"
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="Bands to use, from 1. Default: what the file says of its colours.",
        rich_help_panel="Scene",
    ),
]
NodataOption = Annotated[
    float | None,
    typer.Option(
        help="Value of pixels without data, where the file does not say it.",
        rich_help_panel="Scene",
    ),
]
GsdOption = Annotated[
    float | None,
    typer.Option(
        "--gsd",
        metavar="METRES",
        help="Ground pixel to work at. Default: within what the model knows.",
        rich_help_panel="Scene",
    ),
]
NoResampleOption = Annotated[
    bool,
    typer.Option(
        "--no-resample",
        help="Work on the scene's own pixels, whatever their size.",
        rich_help_panel="Scene",
    ),
]
OverlapOption = Annotated[
    int, typer.Option(metavar="PIXELS", help="Overlap of windows.", rich_help_panel="Scene")
]
BboxOption = Annotated[
    str | None,
    typer.Option(
        metavar="L,B,R,T",
        help="Only this rectangle: left,bottom,right,top in the scene's CRS, "
        "or in another one that follows: L,B,R,T,EPSG:4326.",
        rich_help_panel="Scene",
    ),
]
AoiOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Only inside the polygons of this vector file.",
        rich_help_panel="Scene",
    ),
]
AllowNoCrsOption = Annotated[
    bool,
    typer.Option(
        "--allow-no-crs",
        help="Accept a scene without CRS; results in pixels.",
        rich_help_panel="Scene",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Everything on stderr.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Polygons, by suffix: .gpkg .shp .geojson .fgb .parquet. "
        "Default: SCENE_EXPRESSION.gpkg in the current folder.",
        rich_help_panel="Result",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write the mask before --min-area: a GeoTIFF of 0 and 1.",
        rich_help_panel="Result",
    ),
]
ProbabilityOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Also write the probability, a GeoTIFF.", rich_help_panel="Result"
    ),
]
PreviewOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Also draw the result over the scene, a PNG.", rich_help_panel="Result"
    ),
]


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"rrsis-geo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show version and exit."),
    ] = False,
) -> None:
    """Say what you are looking for in an overhead scene; get georeferenced polygons."""


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

    box, box_crs = _bbox(bbox)
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
        bands=_bands(bands),
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


@app.command()
def info(
    scene: SceneArgument,
    model: ModelOption = DEFAULT_MODEL,
    overlap: OverlapOption = 128,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    no_resample: NoResampleOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what the tool sees in SCENE, and what segmenting it would take."""
    console.setup_logging(verbose=verbose)
    from rrsis_geo.pipeline.info import describe_scene
    from rrsis_geo.pipeline.plan import SegmentOptions

    box, box_crs = _bbox(bbox)
    options = SegmentOptions(
        model=model,
        overlap_px=overlap,
        bbox=box,
        bbox_crs=box_crs,
        aoi=aoi,
        bands=_bands(bands),
        nodata=nodata,
        gsd_m=gsd,
        resample=not no_resample,
        allow_no_crs=allow_no_crs,
    )
    facts = describe_scene(scene, options)
    if as_json:
        console.print_json(asdict(facts))
    else:
        console.print_facts(scene, _scene_lines(facts))


@app.command()
def models(as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List the model bundles that can be used."""
    console.setup_logging(verbose=verbose)
    from rrsis_geo.pipeline.info import bundle_places, list_models

    found = list_models()
    if as_json:
        console.print_json([asdict(model) for model in found])
    elif not found:
        raise ModelError(f"no model bundle in any of: {', '.join(bundle_places())}")
    else:
        console.print_table(
            ("model", "network", "size", "what", "folder"),
            [
                (model.name, model.net, console.size(model.size_bytes), what, model.path)
                for model in found
                for what in [model.problem or model.about]
            ],
        )


@app.command()
def train(
    config: Annotated[Path, typer.Option("--config", "-c", help="A TOML file, see configs/.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set one value over the file; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a network as a configuration file says, and save it as a model bundle."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.config import load
    from rrsis_geo.pipeline.train import TrainConfig, train_model

    with console.progress(quiet=quiet) as on_progress:
        scores = train_model(
            load(config, TrainConfig, settings or []),
            out,
            resume=resume,
            progress=on_progress and (lambda done, total, _: on_progress("steps", done, total)),
        )
    console.print_facts(
        f"best scores of {out / 'model'}",
        [
            (name, f"{value:.4f}")
            for name, value in scores.to_dict().items()
            if isinstance(value, float)
        ],
    )


def main() -> None:
    """Entry point: like `app`, and a termination request cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)
    app()


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _bbox(text: str | None) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Four numbers with commas between, and a CRS after them if it is not the scene's."""
    if text is None:
        return None, None
    parts = [part.strip() for part in text.split(",", maxsplit=4)]
    try:
        left, bottom, right, top = (float(part) for part in parts[:4])
    except ValueError:
        raise ConfigError(
            f'--bbox takes left,bottom,right,top and maybe a CRS, such as EPSG:4326; got "{text}"'
        ) from None
    return (left, bottom, right, top), parts[4] if len(parts) == 5 else None


def _bands(text: str | None) -> tuple[int, ...] | None:
    """Band numbers: three, or one for a scene in grey."""
    if text is None:
        return None
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if len(parts) not in (1, 3) or not all(part.isdigit() for part in parts):
        raise ConfigError(f'--bands takes one or three band numbers such as 3,2,1, got "{text}"')
    return tuple(int(part) for part in parts)


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


def _scene_lines(facts: "SceneFacts") -> list[tuple[str, str]]:
    """What is known of a scene as people read it."""
    stretch = facts.stretch
    ends = ", ".join(f"{lo:g}-{hi:g}" for lo, hi in zip(stretch["lo"], stretch["hi"], strict=True))
    seen = f"{facts.model_height} x {facts.model_width} pixels of {_metres(facts.model_gsd_m)}"
    resampled = (facts.model_height, facts.model_width) != (facts.height, facts.width)
    return [
        ("size", f"{facts.height} rows x {facts.width} columns, {facts.dtype}"),
        ("CRS", facts.crs or "none"),
        ("ground pixel", _metres(facts.gsd_m)),
        ("bands", f"{','.join(map(str, facts.bands))} ({facts.bands_by})"),
        ("validity", facts.validity + (f" {facts.nodata}" if facts.nodata else "")),
        ("stretch", f"{stretch['kind']} {ends}".strip()),
        ("model", f"{facts.model}, sees {seen}" + (" (resampled)" if resampled else "")),
        ("windows", f"at most {facts.windows}, in {facts.shards} shard(s)"),
        ("memory", f"about {console.size(facts.memory_bytes)} beside program and network"),
        ("time", f"about {console.duration(facts.seconds)} on two processor cores"),
    ]


def _metres(length_m: float | None) -> str:
    if length_m is None:
        return "unknown size"
    return f"{100 * length_m:.3g} cm" if length_m < 1 else f"{length_m:.3g} m"
