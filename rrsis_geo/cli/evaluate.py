"""``rrsis-geo evaluate``: score a model on a dataset."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.evaluate_report import print_evaluation
from rrsis_geo.cli.options import (
    DataOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    LayoutOption,
    ModelOption,
    OutputOverwriteOption,
    PresenceOption,
    QuietOption,
    ThreadsOption,
    TtaOption,
    VerboseOption,
)
from rrsis_geo.model.names import DEFAULT_BUNDLE


class Language(StrEnum):
    """What resolves words of position, size and order."""

    network = "network"
    resolved = "resolved"


class CategoryBy(StrEnum):
    """Where the categories of samples come from."""

    label = "label"
    text = "text"


@app.command(
    epilog="Example: rrsis-geo evaluate --data RRSIS-D --layout rrsisd --split test --compare"
)
def evaluate(
    data: DataOption,
    layout: LayoutOption,
    split: Annotated[str, typer.Option(help="Split to score.", rich_help_panel="Data")] = "test",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Score only the first N samples. With --layout instances: number of samples, "
            "600 by default.",
            rich_help_panel="Data",
        ),
    ] = None,
    model: ModelOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "fp32",
    presence: PresenceOption = None,
    tta: TtaOption = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Samples per batch. Default: chosen for the device.",
            rich_help_panel="Model",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that read samples. Default: chosen for the device.",
            rich_help_panel="Model",
        ),
    ] = None,
    threads: ThreadsOption = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the squares that images and masks are resized to for scoring. "
            "Default: that of the model.",
            rich_help_panel="Scores",
        ),
    ] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--native",
            help="Also score at the original sizes of the masks.",
            rich_help_panel="Scores",
        ),
    ] = False,
    language: Annotated[
        Language | None,
        typer.Option(
            help="network asks the network for whole expressions, the published protocol. "
            "resolved also answers with rules over the objects of each picture, and reports "
            "both. Default: what the model says.",
            rich_help_panel="Scores",
        ),
    ] = None,
    category_by: Annotated[
        CategoryBy | None,
        typer.Option(
            help="Group samples by category label, or by category names in the text, as papers "
            "without labels do. Default: label, if there are labels.",
            rich_help_panel="Scores",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Compare the scores with published ones. Refused if they are not comparable.",
            rich_help_panel="Scores",
        ),
    ] = False,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="REPORT",
            help="Compare with the scores.json of another evaluation by the same protocol. "
            "Repeatable.",
            rich_help_panel="Scores",
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="DRAWS",
            help="Add 95 % intervals of the scores by this many bootstrap draws (1000 is usual) "
            "over the images.",
            rich_help_panel="Scores",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for scores.json, scores.csv and samples.csv.",
            rich_help_panel="Result",
        ),
    ] = None,
    save_masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the predicted masks as one-bit PNG files. With --native they have "
            "the original sizes.",
            rich_help_panel="Result",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write an HTML page with the worst, the median and the best samples.",
            rich_help_panel="Result",
        ),
    ] = None,
    overwrite: OutputOverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score a model on a referring segmentation dataset with the published protocol."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.evaluate.evaluation import evaluate_bundle
    from rrsis_geo.evaluate.options import EvaluateOptions
    from rrsis_geo.evaluate.score_files import ScoreOutputs

    options = EvaluateOptions(
        model=model,
        size_px=size,
        native=native,
        language=None if language is None else language.value,
        category_by=None if category_by is None else category_by.value,
        compare=compare,
        against=tuple(against or ()),
        bootstrap=bootstrap,
        limit=limit,
        batch_size=batch_size,
        workers=workers,
        device=device,
        dtype=dtype,
        threads=threads,
        presence=presence,
        tta=tta,
    )
    outputs = ScoreOutputs(folder=out, masks=save_masks, gallery=gallery, overwrite=overwrite)
    with console.progress(quiet=quiet) as progress:
        evaluation = evaluate_bundle(data, layout, split, options, outputs, progress=progress)
    print_evaluation(evaluation, as_json=as_json)
