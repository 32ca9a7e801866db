"""Options that several commands share, and how their values are read."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rrsis_geo.errors import ConfigError
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS, WINDOWS_LAYER_HELP

if TYPE_CHECKING:
    from rrsis_geo.geo.scene.options import SceneOptions

SceneArgument = Annotated[  # no Path, which would make "https:/" of "https://"
    str, typer.Argument(metavar="SCENE", help="A raster: file, URL, s3://, VRT or STAC item.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="A model bundle: its name (see `models`), its folder, or hf://owner/name[@revision].",
        rich_help_panel="Model",
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
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel="Model")
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto, fp32, bf16, fp16.", rich_help_panel="Model")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors on stderr.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Everything on stderr.")]
ExpressionsOption = Annotated[
    Path | None,
    typer.Option(
        "--expressions",
        metavar="FILE",
        help="Also find what this text file says: an expression a line; # begins a comment line.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help=OUTPUT_KINDS["vector"].help, rich_help_panel="Result"
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
StacItemOption = Annotated[
    Path | None,
    typer.Option(
        "--stac-item", metavar="FILE", help=OUTPUT_KINDS["stac_item"].help, rich_help_panel="Result"
    ),
]
WindowsLayerOption = Annotated[
    bool, typer.Option("--windows-layer", help=WINDOWS_LAYER_HELP, rich_help_panel="Result")
]
FromProbabilityOption = Annotated[
    str | None,
    typer.Option(
        "--from-probability",
        metavar="FILE",
        help="Make polygons of a raster that --probability wrote, without the network. "
        "SCENE, for pictures, and EXPRESSION may be left out then.",
        rich_help_panel="Result",
    ),
]


def scene_options(
    *,
    bbox: str | None,
    aoi: Path | None,
    bands: str | None,
    nodata: float | None,
    gsd: float | None,
    no_resample: bool = False,
    allow_no_crs: bool = False,
) -> "SceneOptions":
    """The options of the scene from their values on the command line.

    Raises:
        ConfigError: a value cannot be parsed, or options contradict each other.
    """
    from rrsis_geo.geo.scene.options import SceneOptions

    box, box_crs = parse_bbox(bbox)
    return SceneOptions(
        bbox=box,
        bbox_crs=box_crs,
        aoi=aoi,
        bands=parse_bands(bands),
        nodata=nodata,
        gsd_m=gsd,
        resample=not no_resample,
        allow_no_crs=allow_no_crs,
    )


def parse_bbox(text: str | None) -> tuple[tuple[float, float, float, float] | None, str | None]:
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


def read_expressions(path: Path | None) -> list[str]:
    """The lines of a text file but for blank ones and comments; [] of none.

    Raises:
        ConfigError: it cannot be read, is no UTF-8, or says nothing.
    """
    if path is None:
        return []
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path}: is not UTF-8 text ({err.reason}); save it as that") from err
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read ({err.strerror or err})") from err
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise ConfigError(f"{path}: holds no expression; write one a line")
    return found


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """Band numbers: three, or one for a scene in grey."""
    if text is None:
        return None
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if len(parts) not in (1, 3) or not all(part.isdigit() for part in parts):
        raise ConfigError(f'--bands takes one or three band numbers such as 3,2,1, got "{text}"')
    return tuple(int(part) for part in parts)
