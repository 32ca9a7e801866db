"""``rrsis-geo dataset``: check a dataset, or make one from labels."""

from pathlib import Path
from typing import Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.dataset_report import print_check, print_instances, print_labels
from rrsis_geo.cli.options import (
    AoiLayerOption,
    AoiOption,
    BandsOption,
    BboxOption,
    GsdOption,
    JsonOption,
    ModelOption,
    NodataOption,
    QuietOption,
    SceneArgument,
    VerboseOption,
    scene_options,
)
from rrsis_geo.model.names import DEFAULT_BUNDLE

dataset = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Check a dataset, or make one from your own labels.",
)
app.add_typer(dataset, name="dataset")

RootOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="ROOT", help="Folder to write the dataset to.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")]
SeedOption = Annotated[int, typer.Option(help="Random seed.")]


@dataset.command(
    epilog="Example: rrsis-geo dataset check RRSIS-D --layout rrsisd --sheet samples.png"
)
def check(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of the dataset.")],
    layout: Annotated[
        str,
        typer.Option(
            help="Layout of the dataset: refsegrs, rrsisd, risbench, nwpu_refer, grefcoco or "
            "triplets."
        ),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw random samples with their masks into this PNG."),
    ] = None,
    model: ModelOption = DEFAULT_BUNDLE,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=3, help="Maximum number of tokens per expression. Default: that of the model."
        ),
    ] = None,
    seed: SeedOption = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing PNG.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read every sample of the dataset in ROOT and report counts and damaged files.

    The exit code is 3 if a file is damaged or missing.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.check import CheckOptions, check_dataset

    options = CheckOptions(
        model=model, max_tokens=max_tokens, sheet=sheet, seed=seed, overwrite=overwrite
    )
    with console.progress(quiet=quiet) as progress:
        report = check_dataset(root, layout, options, progress=progress)
    print_check(report, sheet=sheet, as_json=as_json)


@dataset.command(
    epilog="Example: rrsis-geo dataset from-vectors scene.tif trucks.gpkg --category truck "
    "--complete -o trucks"
)
def from_vectors(
    scene: SceneArgument,
    labels: Annotated[
        str,
        typer.Argument(
            metavar="LABELS", help="Vector file in any format that GDAL reads and in any CRS."
        ),
    ],
    out: RootOption,
    category_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column with the category of each label.", rich_help_panel="Labels"
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="Category of all labels, instead of a column.", rich_help_panel="Labels"),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Layer of LABELS, if it has several.", rich_help_panel="Labels"),
    ] = None,
    attribute_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help='Columns with attributes: "colour", and "on" (what the object stands on).',
            rich_help_panel="Labels",
        ),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Width of labels that are points or lines, in metres.",
            rich_help_panel="Labels",
        ),
    ] = None,
    size_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column with this width, in metres.",
            rich_help_panel="Labels",
        ),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete/--partial",
            help="Every object of these categories in the scene (or in --bbox, --aoi) is labelled. "
            "Only then are expressions about absent objects written.",
            rich_help_panel="Labels",
        ),
    ] = False,
    model: ModelOption = DEFAULT_BUNDLE,
    gsd: GsdOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    aoi_layer: AoiLayerOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    false_colour: Annotated[
        bool,
        typer.Option(
            "--false-colour",
            help="The image has false colours, so write no colours into expressions.",
            rich_help_panel="Scene",
        ),
    ] = False,
    chip: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="Side of the images. Use the same value for benchmark.size_px in training.",
        ),
    ] = 256,
    per_chip: Annotated[int, typer.Option(min=1, help="Expressions per image.")] = 4,
    val_share: Annotated[
        float, typer.Option(help="Share of the ground used for validation.")
    ] = 0.2,
    test_share: Annotated[
        float, typer.Option(help="Share of the ground used for a final test.")
    ] = 0.0,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a dataset from SCENE and the LABELS digitized on it, to fine-tune a model.

    Images, masks and expressions are written as triplets. The splits do not
    overlap on the ground.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.chip_labeller import LabelOptions
    from rrsis_geo.dataset.from_vectors import from_vectors as make

    options = LabelOptions(
        category_column=category_column,
        category=category,
        layer=layer,
        attribute_columns=_split_names(attribute_columns),
        size_column=size_column,
        size_m=size,
        model=model,
        scene=scene_options(
            bbox=bbox, aoi=aoi, aoi_layer=aoi_layer, bands=bands, nodata=nodata, gsd=gsd
        ),
        chip_px=chip,
        per_chip=per_chip,
        val_share=val_share,
        test_share=test_share,
        complete=complete,
        false_colour=false_colour,
        seed=seed,
    )
    with console.progress(quiet=quiet) as progress:
        report = make(scene, labels, out, options, overwrite=overwrite, progress=progress)
    print_labels(report, as_json=as_json)


@dataset.command(epilog="Example: rrsis-geo dataset from-coco instances.json --images jpg -o coco")
def from_coco(
    instances: Annotated[
        Path, typer.Argument(metavar="INSTANCES", help="COCO file with polygons or RLE masks.")
    ],
    out: RootOption,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help='Folder of the images. Default: "images" beside INSTANCES.'
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of samples to write.")] = 2000,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Side of the images.")] = 512,
    val_share: Annotated[
        float, typer.Option(help="Share of the images used for validation.")
    ] = 0.1,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a dataset from COCO instances: crops of their images with expressions."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.from_coco import CocoOptions
    from rrsis_geo.dataset.from_coco import from_coco as make

    options = CocoOptions(samples=samples, size_px=size, val_share=val_share, seed=seed)
    with console.progress(quiet=quiet) as progress:
        report = make(
            instances, out, options, images=images, overwrite=overwrite, progress=progress
        )
    print_instances(report, size_px=size, as_json=as_json)


def _split_names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
