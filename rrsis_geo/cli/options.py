"""Options that several commands share, and how their values are parsed."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rrsis_geo.console import ProgressFormat
from rrsis_geo.errors import ConfigError

if TYPE_CHECKING:
    from rrsis_geo.geo.scene.options import SceneOptions

SceneArgument = Annotated[  # str, because Path turns "https://" into "https:/"
    str, typer.Argument(metavar="SCENE", help="Raster: a file, URL, s3:// path, VRT or STAC item.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Model bundle: a name (see `rrsis-geo models`), a folder or "
        "hf://owner/name\\[@revision].",
        rich_help_panel="Model",
    ),
]
DataOption = Annotated[
    Path, typer.Option(metavar="ROOT", help="Folder of the dataset.", rich_help_panel="Data")
]
LayoutOption = Annotated[
    str,
    typer.Option(
        help="Layout of the dataset: refsegrs, rrsisd, risbench, nwpu_refer, grefcoco, "
        "triplets or instances. "
        "instances is a COCO file, ROOT/instances_SPLIT.json, for which the same expressions "
        "are generated every time.",
        rich_help_panel="Data",
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="Band numbers, counted from 1. Default: from the colour information of the file.",
        rich_help_panel="Scene",
    ),
]
NodataOption = Annotated[
    float | None,
    typer.Option(
        help="Value of pixels without data, if the file does not state it.",
        rich_help_panel="Scene",
    ),
]
GsdOption = Annotated[
    float | None,
    typer.Option(
        "--gsd",
        metavar="METRES",
        help="Ground size of the pixels that the model sees. Default: that of the scene, or the "
        "nearest one that the model supports.",
        rich_help_panel="Scene",
    ),
]
NoResampleOption = Annotated[
    bool,
    typer.Option(
        "--no-resample",
        help="Do not resample the scene for the model.",
        rich_help_panel="Scene",
    ),
]
OverlapOption = Annotated[
    int,
    typer.Option(
        metavar="PIXELS", help="Overlap of neighbouring windows.", rich_help_panel="Scene"
    ),
]
BboxOption = Annotated[
    str | None,
    typer.Option(
        metavar="L,B,R,T",
        help="Process only this rectangle: left,bottom,right,top in the CRS of the scene, or with "
        "another CRS appended: L,B,R,T,EPSG:4326. Four numbers with spaces between them work too.",
        rich_help_panel="Scene",
    ),
]
AoiOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Process only the area inside the polygons of this vector file.",
        rich_help_panel="Scene",
    ),
]
AoiLayerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Layer of the file of --aoi, if it has several.",
        rich_help_panel="Scene",
    ),
]
AllowNoCrsOption = Annotated[
    bool,
    typer.Option(
        "--allow-no-crs",
        help="Accept a scene without a CRS. Coordinates are pixels then.",
        rich_help_panel="Scene",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel="Model")
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto, fp32, bf16 or fp16.", rich_help_panel="Model")
]
PresenceOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Windows in which the probability of the target is below X give nothing. "
        "Default: that of the model, if one was fitted.",
        rich_help_panel="Model",
    ),
]
TtaOption = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Predict windows mirrored too and average: four times the time of the network.",
        rich_help_panel="Model",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show only errors on stderr.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show all messages on stderr.")
]
ProgressOption = Annotated[
    ProgressFormat,
    typer.Option(
        "--progress",
        help="json: write messages and progress to stderr as JSON, one object per line.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads for the network.", rich_help_panel="Model"),
]
OutputOverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel="Result")
]
KeepJobOption = Annotated[
    bool,
    typer.Option(
        "--keep-job",
        help="Keep the folder with the completed shards after the run.",
        rich_help_panel="Run",
    ),
]


def scene_options(
    *,
    bbox: str | None,
    aoi: Path | None,
    aoi_layer: str | None,
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
        aoi_layer=aoi_layer,
        bands=parse_bands(bands),
        nodata=nodata,
        gsd_m=gsd,
        resample=not no_resample,
        allow_no_crs=allow_no_crs,
    )


def parse_bbox(text: str | None) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Parse ``left,bottom,right,top[,CRS]`` into the box and the CRS, None for the scene's CRS.

    Raises:
        ConfigError: the text has another form.
    """
    if text is None:
        return None, None
    parts = [part.strip() for part in text.split(",", maxsplit=4)]
    if len(parts) == 1:
        parts = text.split()
    try:
        left, bottom, right, top = (float(part) for part in parts[:4])
    except ValueError:
        raise ConfigError(
            f'--bbox takes left,bottom,right,top[,CRS], such as 10,46,11,47,EPSG:4326; got "{text}"'
        ) from None
    return (left, bottom, right, top), parts[4] if len(parts) == 5 else None


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """Parse band numbers: three, or one for a greyscale scene.

    Raises:
        ConfigError: the text has another form.
    """
    if text is None:
        return None
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    if len(parts) not in (1, 3) or not all(part.isdigit() for part in parts):
        raise ConfigError(f'--bands takes one or three band numbers such as 3,2,1, got "{text}"')
    return tuple(int(part) for part in parts)
