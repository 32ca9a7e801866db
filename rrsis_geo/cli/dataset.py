"""``rrsis-geo dataset``: look a data set over, or make one of labels."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
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
from rrsis_geo.errors import InputError
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.units import format_length

if TYPE_CHECKING:
    from rrsis_geo.dataset.check import CheckReport, SplitFacts

NAMED = 20
"""Damaged files that are named one by one."""

dataset = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look a data set over, or make one of your own labels.",
)
app.add_typer(dataset, name="dataset")

RootOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="ROOT", help="Folder of the data set, to be made.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a data set that was made so before.")
]
SeedOption = Annotated[int, typer.Option(help="Of all chance.")]


@dataset.command(epilog="Example: rrsis-geo dataset check RRSIS-D --layout rrsisd --sheet look.png")
def check(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of the data set.")],
    layout: Annotated[
        str, typer.Option(help="How its files lie: refsegrs, rrsisd, risbench, triplets.")
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw random samples with their masks, a PNG."),
    ] = None,
    model: ModelOption = DEFAULT_BUNDLE,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=3, help="Word pieces that a network reads. Default: the model's own number."
        ),
    ] = None,
    seed: SeedOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the PNG.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read every sample of ROOT; tell what there is, and what is damaged or missing.

    Fails (exit code 3) where a file is.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.check import check_dataset

    with console.progress(quiet=quiet or as_json) as on_progress:
        report = check_dataset(
            root,
            layout,
            model=model,
            max_tokens=max_tokens,
            sheet=sheet,
            seed=seed,
            overwrite=overwrite,
            progress=on_progress,
        )
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_check(report)
        if sheet is not None:
            console.print_facts("contact sheet", [("wrote", str(sheet))])
    if report.n_problems:
        raise InputError(_problems(root, report))


@dataset.command(
    epilog="Example: rrsis-geo dataset from-vectors scene.tif trucks.gpkg --category truck "
    "--complete -o trucks"
)
def from_vectors(
    scene: SceneArgument,
    labels: Annotated[
        str, typer.Argument(metavar="LABELS", help="A vector file that GDAL reads, in any CRS.")
    ],
    out: RootOption,
    category_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column that tells what a label is.", rich_help_panel="Labels"
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="What all labels are, where no column tells.", rich_help_panel="Labels"),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of LABELS, where it has several.", rich_help_panel="Labels")
    ] = None,
    attribute_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help='Columns that tell more: "colour" of an object, and what it is "on".',
            rich_help_panel="Labels",
        ),
    ] = None,
    size: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Width of labels that are points or lines.",
            rich_help_panel="Labels",
        ),
    ] = None,
    size_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column that tells that width, in metres.",
            rich_help_panel="Labels",
        ),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete/--partial",
            help="Everything of these categories is labelled in the scene (or in --bbox, --aoi), "
            "so that it may be said to be absent elsewhere.",
            rich_help_panel="Labels",
        ),
    ] = False,
    model: ModelOption = DEFAULT_BUNDLE,
    gsd: GsdOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    false_colour: Annotated[
        bool,
        typer.Option(
            "--false-colour",
            help="Colours are not those the eye sees: name none.",
            rich_help_panel="Scene",
        ),
    ] = False,
    chip: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            help="Side of the images; training squashes them to its benchmark.size_px.",
        ),
    ] = 256,
    per_chip: Annotated[int, typer.Option(min=1, help="Expressions about an image.")] = 4,
    val_share: Annotated[float, typer.Option(help="Of the ground, for validation.")] = 0.2,
    test_share: Annotated[float, typer.Option(help="Of the ground, for a last test.")] = 0.0,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a data set of SCENE and the LABELS digitized on it, to fine-tune a model with.

    Images, masks and expressions are written as triplets; no ground is in two splits.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.cutter import LabelOptions
    from rrsis_geo.dataset.from_vectors import from_vectors as make

    options = LabelOptions(
        category_column=category_column,
        category=category,
        layer=layer,
        attribute_columns=_names(attribute_columns),
        size_column=size_column,
        size_m=size,
        model=model,
        scene=scene_options(bbox=bbox, aoi=aoi, bands=bands, nodata=nodata, gsd=gsd),
        chip_px=chip,
        per_chip=per_chip,
        val_share=val_share,
        test_share=test_share,
        complete=complete,
        false_colour=false_colour,
        seed=seed,
    )
    with console.progress(quiet=quiet or as_json) as on_progress:
        report = make(scene, labels, out, options, overwrite=overwrite, progress=on_progress)
    if as_json:
        console.print_json(report.to_dict())
        return
    sides = f"{report.chip_px} x {report.chip_px} pixels of {format_length(report.gsd_m)}"
    shown = ("labels", *map(str, report.shown.values()))
    _print_written(f"{out}: images of {sides}", report.to_dict()["splits"], shown)
    console.print_facts("labels", [("on the scene", _most(report.categories))])


@dataset.command(epilog="Example: rrsis-geo dataset from-coco instances.json --images jpg -o coco")
def from_coco(
    instances: Annotated[
        Path, typer.Argument(metavar="INSTANCES", help="A COCO file: polygons or RLE.")
    ],
    out: RootOption,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help='Folder of its images. Default: "images" beside it.'),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many to write.")] = 2000,
    size: Annotated[int, typer.Option(metavar="PIXELS", help="Side of the images.")] = 512,
    val_share: Annotated[float, typer.Option(help="Of the images, for validation.")] = 0.1,
    seed: SeedOption = 0,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a data set of COCO instances: crops of their images, and expressions about them."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.dataset.from_coco import CocoOptions
    from rrsis_geo.dataset.from_coco import from_coco as make

    options = CocoOptions(samples=samples, size_px=size, val_share=val_share, seed=seed)
    with console.progress(quiet=quiet or as_json) as on_progress:
        report = make(
            instances, out, options, images=images, overwrite=overwrite, progress=on_progress
        )
    if as_json:
        console.print_json(report.to_dict())
        return
    _print_written(f"{out}: images of {size} x {size} pixels", report.to_dict()["splits"])
    console.print_facts("instances", [(f"{report.images} images", _most(report.categories))])


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _most(counts: Mapping[str, int]) -> str:
    """Names and numbers in one line."""
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"


def _print_written(title: str, splits: Mapping[str, Any], *more: tuple[str, ...]) -> None:
    """What each split holds, in all and by kind and category of expressions; and more rows."""
    console.print_facts(title, [])
    facts = splits.values()
    rows: list[tuple[str, ...]] = [
        ("images", *(str(one["images"]) for one in facts)),
        ("samples", *(str(one["samples"]) for one in facts)),
        *more,
        *_rows("kind", [one["kinds"] for one in facts]),
        *_rows("category", [one["categories"] for one in facts]),
    ]
    console.print_table(("", *splits), rows)


def _rows(title: str, counts: Sequence[Mapping[str, int]]) -> Iterator[tuple[str, ...]]:
    """A row a name, what is most first."""
    totals = Counter[str]()
    for part in counts:
        totals.update(part)
    for name, _ in totals.most_common():
        yield f"{title} {name}", *(str(part.get(name, 0)) for part in counts)


def _print_check(report: "CheckReport") -> None:
    """What a data set holds, as people read it."""
    console.print_facts(f"{report.root}: {report.layout}", [])
    facts = report.splits.values()
    lines = {
        "samples": [_beside(one) for one in facts],
        "images": [str(one.images) for one in facts],
        "absent targets": [str(one.absent) for one in facts],
        "word pieces": [_lengths(one.tokens) for one in facts],
        f"cut after {report.max_tokens}": [_share(one.cut, one.samples) for one in facts],
        "empty masks": [str(len(one.empty)) for one in facts],
        "mask not of the image's size": [str(len(one.other_size)) for one in facts],
        "damaged or missing": [str(len(one.problems)) for one in facts],
    }
    rows: list[tuple[str, ...]] = [(name, *cells) for name, cells in lines.items()]
    rows += _rows("image", [one.image_sizes for one in facts])
    rows += _rows("kind", [one.kinds for one in facts])
    rows += _rows("category", [one.categories for one in facts])
    console.print_table(("", *report.splits), rows)


def _beside(facts: "SplitFacts") -> str:
    if facts.published is None:
        return str(facts.samples)
    same = facts.published == facts.samples
    return f"{facts.samples} ({'as' if same else f'{facts.published}'} published)"


def _lengths(tokens: Mapping[int, int]) -> str:
    """Shortest, median and longest."""
    if not tokens:
        return ""
    lengths = [length for length, n in tokens.items() for _ in range(n)]
    return f"{lengths[0]} to {lengths[-1]}, median {lengths[len(lengths) // 2]}"


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if part else "0"


def _problems(root: Path, report: "CheckReport") -> str:
    """All that cannot be read, up to a limit, a line each."""
    lines = [line for facts in report.splits.values() for line in facts.problems]
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    count = "1 file or sample" if len(lines) == 1 else f"{len(lines)} files or samples"
    return "\n  ".join([f"{root}: {count} cannot be read:", *lines[:NAMED], *more])
