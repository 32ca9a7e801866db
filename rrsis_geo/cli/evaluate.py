"""``rrsis-geo evaluate``: a model and a data set in, scores out."""

from enum import StrEnum
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    QuietOption,
    VerboseOption,
)
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.units import format_duration

if TYPE_CHECKING:
    from rrsis_geo.evaluate.evaluation import EvaluationReport


class CategoryBy(StrEnum):
    """How samples are told apart into categories."""

    label = "label"
    text = "text"


@app.command(
    epilog="Example: rrsis-geo evaluate --data RRSIS-D --layout rrsisd --split test --compare"
)
def evaluate(
    data: Annotated[
        Path, typer.Option(metavar="ROOT", help="Folder of the data set.", rich_help_panel="Data")
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="How its files lie: refsegrs, rrsisd, risbench, triplets; or instances: a COCO "
            "file, ROOT/instances_SPLIT.json, about which expressions are written, the same every "
            "time.",
            rich_help_panel="Data",
        ),
    ],
    split: Annotated[str, typer.Option(help="Which part of it.", rich_help_panel="Data")] = "test",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Only the first N samples. Of instances: how many, 600 unless given.",
            rich_help_panel="Data",
        ),
    ] = None,
    model: ModelOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Samples at once. Default: suits the device.", rich_help_panel="Model"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that read samples. Default: suits the device.",
            rich_help_panel="Model",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Processor threads for the network.", rich_help_panel="Model"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Side of the squares that images and masks are resized to and compared at. "
            "Default: the model's own.",
            rich_help_panel="Scores",
        ),
    ] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--native", help="Score at the masks' own sizes too.", rich_help_panel="Scores"
        ),
    ] = False,
    category_by: Annotated[
        CategoryBy | None,
        typer.Option(
            help="Tell categories by label, or by the names in the text, as papers do that have no "
            "labels. Default: label where there are labels.",
            rich_help_panel="Scores",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Put the scores beside published ones.", rich_help_panel="Scores"
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write scores.json, scores.csv and samples.csv here.",
            rich_help_panel="Result",
        ),
    ] = None,
    save_masks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the predicted masks here, PNG of one bit; of the masks' own sizes with "
            "--native.",
            rich_help_panel="Result",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page (.html) with the worst, the median and the best samples.",
            rich_help_panel="Result",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing output.", rich_help_panel="Result")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score a model on a referring data set, as the papers do."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.evaluate.evaluation import evaluate_bundle
    from rrsis_geo.evaluate.options import EvaluateOptions
    from rrsis_geo.evaluate.score_files import ScoreOutputs

    options = EvaluateOptions(
        model=model,
        size_px=size,
        native=native,
        category_by=None if category_by is None else category_by.value,
        compare=compare,
        limit=limit,
        batch_size=batch_size,
        workers=workers,
        device=device,
        dtype=dtype,
        threads=threads,
    )
    outputs = ScoreOutputs(folder=out, masks=save_masks, gallery=gallery, overwrite=overwrite)
    with console.progress(quiet=quiet or as_json) as on_progress:
        evaluation = evaluate_bundle(data, layout, split, options, outputs, progress=on_progress)
    if as_json:
        console.print_json(evaluation.to_dict())
    else:
        _print_evaluation(evaluation)


def _print_evaluation(evaluation: "EvaluationReport") -> None:
    """The result as people read it; shares in percent, as papers print them."""
    console.print_facts(
        f"{evaluation.model} on {evaluation.layout} {evaluation.split}", _facts(evaluation)
    )
    console.print_facts("scores in percent", [])
    console.print_table(
        ("", *(f"Pr@{at}" for at in evaluation.scores.precision), "oIoU", "mIoU"),
        [
            (
                name,
                *(_percent(share) for share in part.precision.values()),
                _percent(part.oiou),
                _percent(part.miou),
            )
            for name, part in evaluation.by_size().items()
        ],
    )
    if evaluation.scores.n_absent:
        _print_absent(evaluation)
    _print_groups(evaluation)
    if evaluation.published:
        _print_comparison(evaluation)


def _facts(evaluation: "EvaluationReport") -> list[tuple[str, str]]:
    scores = evaluation.scores
    absent = f", {scores.n_absent} with an absent target" if scores.n_absent else ""
    of = f" of {evaluation.split_size}" if scores.n < evaluation.split_size else ""
    rate = scores.n / evaluation.seconds
    facts = [
        ("samples", f"{scores.n}{of}{absent}"),
        (
            "time",
            f"{format_duration(evaluation.seconds)}, {rate:.1f} samples a second on "
            f"{evaluation.device} in {evaluation.dtype}",
        ),
    ]
    if evaluation.cut_expressions:
        facts.append(("cut", f"{evaluation.cut_expressions} expressions are longer than is read"))
    if evaluation.lost_targets:
        lost = f"{evaluation.lost_targets} have no pixel left at {evaluation.size_px} px; IoU 0"
        facts.append(("lost targets", lost))
    return facts + [("wrote", path) for path in evaluation.files]


def _print_absent(evaluation: "EvaluationReport") -> None:
    console.print_facts("absent targets counted for themselves", [])
    console.print_table(
        ("", "gIoU", "N-acc", "false area", "mIoU of present"),
        [
            (
                name,
                _percent(part.giou),
                _percent(part.n_acc),
                "" if part.false_area_ppm is None else f"{part.false_area_ppm / 1e4:.2f}",
                _percent(part.miou_present),
            )
            for name, part in evaluation.by_size().items()
        ],
    )


def _print_groups(evaluation: "EvaluationReport") -> None:
    """By kind and by category, whichever is known; what absent targets score only if there are."""
    whole = evaluation.scores
    columns = ["", "samples", "Pr@0.5", "oIoU", "mIoU"]
    columns += ["gIoU", "N-acc"] if whole.n_absent else []
    for heading, groups in (
        ("by kind", whole.by_kind),
        (f"by category, told by {evaluation.category_by}", whole.by_category),
    ):
        rows = [
            [
                name,
                str(part.n),
                _percent(part.precision[0.5]),
                _percent(part.oiou),
                _percent(part.miou),
                _percent(part.giou),
                _percent(part.n_acc),
            ]
            for name, part in groups.items()
        ]
        if groups is whole.by_category:
            average = _percent(whole.category_miou)
            rows.append([f"average of {len(groups)}", "", "", "", average, "", ""])
        if groups:
            console.print_facts(heading, [])
            console.print_table(columns, [row[: len(columns)] for row in rows])


def _print_comparison(evaluation: "EvaluationReport") -> None:
    """Our row among the published ones, the best mIoU first; what papers agree on is one row."""
    published = evaluation.published
    sources = list(dict.fromkeys(row.source for row in published))
    notes = list(dict.fromkeys(row.note for row in published if row.note))
    marks = dict(zip(notes, ascii_lowercase, strict=False))
    scores = evaluation.scores
    shares = (*scores.precision.values(), scores.oiou, scores.miou)
    ours: tuple[float | None, ...] = tuple(100 * share for share in shares)
    lines = {(f"> {evaluation.model}", ours): ("this run", "")}
    for row in published:
        line = (row.method, tuple(row.metrics.values()))
        encoders, cited = lines.get(line, ("", ""))
        mark = f"[{sources.index(row.source) + 1}]{marks.get(row.note, '')}"
        lines[line] = (encoders or row.encoders, f"{cited} {mark}".strip())
    thresholds = (f"Pr{100 * at:.0f}" for at in scores.precision)
    console.print_facts(f"beside published figures of the {evaluation.split} split", [])
    console.print_table(
        ("method", "encoders", *thresholds, "oIoU", "mIoU", "source"),
        [
            (method, encoders, *map(_figure, figures), cited)
            for (method, figures), (encoders, cited) in sorted(
                lines.items(), key=lambda item: -(item[0][1][-1] or 0.0)
            )
        ],
    )
    numbered = [(f"[{number}]", source) for number, source in enumerate(sources, start=1)]
    console.print_facts("sources", numbered + [(mark, note) for note, mark in marks.items()])
    console.print_facts("before you compare", [("-", text) for text in evaluation.cautions])


def _percent(share: float | None) -> str:
    return "" if share is None else _figure(100 * share)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
