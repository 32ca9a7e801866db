"""Options of `segment` that no other command has, and how their values are parsed."""

import re
from pathlib import Path
from typing import Annotated

import typer

from rrsis_geo.errors import ConfigError
from rrsis_geo.segment.plan.output_kinds import (
    APPEND_HELP,
    CANDIDATES_HELP,
    CREATION_OPTIONS_HELP,
    LANDMARKS_HELP,
    OUTPUT_KINDS,
    WINDOWS_LAYER_HELP,
)

SceneOrScenesArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SCENE",
        help="Raster: a file, URL, s3:// path, VRT or STAC item. For many scenes: a folder, a "
        'quoted pattern ("tiles/*.tif") or a text file (.txt) with one path per line.',
    ),
]
ExpressionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EXPRESSION",
        help='What to find: "the truck on the road". Several expressions share one pass.',
    ),
]
ExpressionsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--expressions",
        metavar="FILE",
        help="Text file with more expressions, one per line. Lines that start with # are ignored.",
    ),
]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Print how each expression is understood, and stop. SCENE is not opened.",
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Windows per batch. Default: chosen for the device.",
        rich_help_panel="Model",
    ),
]
ThresholdOption = Annotated[
    float,
    typer.Option(
        help="Probability above which a pixel belongs to an object.", rich_help_panel="Result"
    ),
]
MinAreaOption = Annotated[
    float | None,
    typer.Option(
        metavar="M2",
        help="Drop objects smaller than this area, in square metres; 0 keeps all. Default: that of "
        "3 x 3 pixels that the model sees.",
        rich_help_panel="Result",
    ),
]
SimplifyOption = Annotated[
    float,
    typer.Option(
        metavar="METRES",
        help="Tolerance for simplifying outlines; 0 does not simplify.",
        rich_help_panel="Result",
    ),
]
SmoothOption = Annotated[
    bool,
    typer.Option(
        "--smooth",
        help="Draw outlines as curves, with fewer vertices. Very small objects keep the outlines "
        "of their pixels.",
        rich_help_panel="Result",
    ),
]
RegularizeOption = Annotated[
    bool,
    typer.Option(
        "--regularize",
        help="Draw straight walls and right angles, for buildings and other man-made objects. "
        "Outlines without right angles become curves.",
        rich_help_panel="Result",
    ),
]
SplitOption = Annotated[
    bool | None,
    typer.Option(
        "--split/--no-split",
        help="Split objects that touch at a narrow neck. Default: only those that an expression "
        "ranks, counts or measures.",
        show_default=False,
        rich_help_panel="Result",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "--output",
        "-o",
        metavar="FILE",
        help=OUTPUT_KINDS["vector"].help,
        rich_help_panel="Result",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=OUTPUT_KINDS["mask"].help, rich_help_panel="Result"),
]
ProbabilityOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=OUTPUT_KINDS["probability"].help, rich_help_panel="Result"),
]
PreviewOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=OUTPUT_KINDS["preview"].help, rich_help_panel="Result"),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=OUTPUT_KINDS["report"].help, rich_help_panel="Result"),
]
QgisProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--qgis-project",
        metavar="FILE",
        help=OUTPUT_KINDS["qgis_project"].help,
        rich_help_panel="Result",
    ),
]
StacItemOption = Annotated[
    Path | None,
    typer.Option(
        "--stac-item", metavar="FILE", help=OUTPUT_KINDS["stac_item"].help, rich_help_panel="Result"
    ),
]
WindowsLayerOption = Annotated[
    bool, typer.Option("--windows-layer", help=WINDOWS_LAYER_HELP, rich_help_panel="Result")
]
LandmarkOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help='Your own layer for a landmark of an expression: "the pier=piers.gpkg". '
        "FILE:LAYER chooses one of several layers. Repeatable.",
        rich_help_panel="Scene",
    ),
]
LandmarksOption = Annotated[
    bool, typer.Option("--landmarks", help=LANDMARKS_HELP, rich_help_panel="Result")
]
AppendOption = Annotated[bool, typer.Option("--append", help=APPEND_HELP, rich_help_panel="Result")]
CreationOption = Annotated[
    list[str] | None,
    typer.Option(
        "--co", metavar="NAME=VALUE", help=CREATION_OPTIONS_HELP, rich_help_panel="Result"
    ),
]
KeepCandidatesOption = Annotated[
    bool, typer.Option("--keep-candidates", help=CANDIDATES_HELP, rich_help_panel="Result")
]
FromProbabilityOption = Annotated[
    str | None,
    typer.Option(
        "--from-probability",
        metavar="FILE",
        help="Make polygons from a raster written by --probability, without running the model. "
        "SCENE (shown in pictures) and EXPRESSION are optional then.",
        rich_help_panel="Result",
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Continue an unfinished run.", rich_help_panel="Run"),
]
RestartOption = Annotated[
    bool,
    typer.Option(
        "--restart", help="Delete an unfinished run and start over.", rich_help_panel="Run"
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of processes. They use one GPU each, or share the CPU cores.",
        rich_help_panel="Run",
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute on a Dask cluster, for example tcp://host:8786.",
        rich_help_panel="Run",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Compute only part K of N, for array jobs. `merge` joins the parts.",
        rich_help_panel="Run",
    ),
]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Parse ``K/N``.

    Raises:
        ConfigError: the text is not K/N with 1 <= K <= N.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f'--shard takes K/N from 1/N to N/N, such as 3/16; got "{text}"')
    return int(match[1]), int(match[2])


def read_expressions(path: Path | None) -> list[str]:
    """Read expressions from a text file, one per line. Blank lines and comments are skipped.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or has no expressions.
    """
    if path is None:
        return []
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: is not UTF-8 text ({err.reason}); save it as UTF-8") from err
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read ({err.strerror or err})") from err
    expressions = [line for line in lines if line and not line.startswith("#")]
    if not expressions:
        raise ConfigError(f"{path}: has no expressions; write one per line")
    return expressions
