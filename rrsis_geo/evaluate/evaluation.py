"""Scores of a model on a data set, as the papers compute them, and at the masks' own size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.evaluate.comparison import cautions, rows_to_compare
from rrsis_geo.evaluate.gallery import Picture, write_gallery
from rrsis_geo.evaluate.score_files import ScoreOutputs, write_scores
from rrsis_geo.evaluate.scoring import SampleScore, ask, score_samples
from rrsis_geo.evaluate.scoring_data import Question, ScoringData, check_labels, open_data
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.model.bundle import Bundle, load_bundle
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.progress import Progress
from rrsis_geo.published import PublishedRow
from rrsis_geo.version import __version__

GALLERY_SAMPLES: Final = 8
"""The most of the worst, of the median and of the best samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How a model is scored.

    Attributes:
        model: name or folder of a bundle.
        size_px: side of the squares that images and targets are resized to; None is what the
            model was made for.
        native: score at the masks' own sizes too.
        category_by: how samples are told apart into categories: by their "label", or by the names
            in their "text"; None takes labels where there are some.
        compare: put the scores beside what papers report.
        limit: score the first so many samples only.
        batch_size: samples at once; None suits the device.
        workers: processes that read samples; None is none on a CPU, and some beside a GPU.
        device: see ``Predictor``.
        dtype: see ``Predictor``.
        threads: see ``Predictor``.
    """

    model: str = DEFAULT_BUNDLE
    size_px: int | None = None
    native: bool = False
    category_by: Literal["label", "text"] | None = None
    compare: bool = False
    limit: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.size_px is not None and (self.size_px < 32 or self.size_px % 32):
            raise ConfigError(f"the size must be a positive multiple of 32, got {self.size_px}")
        for name in ("limit", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be at least 0, got {self.workers}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """The result of a run.

    Attributes:
        model: name of the bundle.
        model_sha256: of its weights.
        data: folder of the data set.
        layout: its layout.
        split: the split that was scored.
        split_size: samples in the split.
        size_px: side of the squares that ``scores`` are computed on.
        category_by: how categories were told: "label", "text", or "" where they were not.
        scores: by the published protocol.
        native: at the masks' own sizes, None where that was not asked for.
        lost_targets: targets that have no pixel left at ``size_px``; they score 0.
        cut_expressions: expressions longer than the model reads.
        published: what papers report of the split, the best mIoU first; () if not asked for.
        cautions: what stands against comparing with it.
        seconds: that reading, predicting and scoring took.
        device: where the network ran.
        dtype: what its matrix products ran in.
        version: of rrsis-geo.
        files: that were written.
    """

    model: str
    model_sha256: str
    data: str
    layout: str
    split: str
    split_size: int
    size_px: int
    category_by: str
    scores: Scores
    native: Scores | None
    lost_targets: int
    cut_expressions: int
    published: tuple[PublishedRow, ...] = ()
    cautions: tuple[str, ...] = ()
    seconds: float
    device: str
    dtype: str
    version: str = __version__
    files: tuple[str, ...] = ()

    def by_size(self) -> dict[str, Scores]:
        """What the scores are computed at, in words -> scores."""
        sizes = {f"at {self.size_px} px": self.scores}
        return sizes if self.native is None else {**sizes, "at the masks' own sizes": self.native}

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON; published figures are in percent, scores are shares."""
        return asdict(self) | {
            "scores": self.scores.to_dict(),
            "native": None if self.native is None else self.native.to_dict(),
        }


def evaluate_bundle(
    data: Path,
    layout: str,
    split: str,
    options: EvaluateOptions | None = None,
    outputs: ScoreOutputs | None = None,
    *,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Score a model on a split of a data set.

    Image and target are each resized to a square, and compared there: the protocol of the papers
    (see ``rrsis_geo.metrics``). No more than a few batches are in memory at a time.

    Args:
        data: folder of the data set.
        layout: see ``scoring_data.open_data``.
        split: name of the split.
        options: how to score; None for the defaults.
        outputs: what to write; None for nothing.
        progress: told the stage, how many samples are done, and how many there are.

    Raises:
        ConfigError: options that do not make sense, or do not fit the data.
        InputError: data is missing or damaged.
        ModelError: the model is.
        OutputError: a result cannot be written.
        DeviceError: there is no such device, or too little memory in it.
    """
    options, outputs = options or EvaluateOptions(), outputs or ScoreOutputs()
    rows = rows_to_compare(layout, split) if options.compare else ()
    outputs.check()
    bundle = load_bundle(options.model)
    size_px = options.size_px or bundle.image.size_px
    source = open_data(data, layout, split, size_px=size_px, limit=options.limit)
    category_by = check_labels(source, options.category_by)
    predictor = Predictor(bundle, options.device, options.dtype, threads=options.threads)
    started = time.monotonic()
    samples = score_samples(
        source,
        predictor,
        category_by=category_by,
        native=options.native,
        masks=outputs.masks,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=progress,
    )
    seconds = time.monotonic() - started
    scores = _scores(samples, native=False)
    native = _scores(samples, native=True) if options.native else None
    evaluation = EvaluationReport(
        model=bundle.name,
        model_sha256=bundle.sha256,
        data=str(data),
        layout=layout,
        split=split,
        split_size=source.split_size,
        size_px=size_px,
        category_by=category_by,
        scores=scores,
        native=native,
        lost_targets=sum(not sample.absent and not sample.counts.target for sample in samples),
        cut_expressions=_count_cut(bundle, samples),
        published=rows,
        cautions=tuple(
            cautions(
                rows,
                size_px=size_px,
                n=len(samples),
                split_size=source.split_size,
                published_size=source.published_size,
            )
        ),
        seconds=seconds,
        device=str(predictor.device),
        dtype=str(predictor.dtype).removeprefix("torch."),
        files=tuple(str(path) for path in _wanted(outputs)),
    )
    if outputs.folder is not None:
        by_size = {"resized": scores} | ({"native": native} if native is not None else {})
        write_scores(outputs, evaluation.to_dict(), by_size, samples)
    if outputs.gallery is not None:
        _write_pictures(outputs, evaluation, source, samples, predictor)
    return evaluation


def _scores(samples: Sequence[SampleScore], *, native: bool) -> Scores:
    meter = ScoreMeter()
    for sample in samples:
        counts = sample.native if native else sample.counts
        assert counts is not None
        meter.add_counts(counts, absent=sample.absent, kind=sample.kind, category=sample.categories)
    return meter.scores()


def _count_cut(bundle: Bundle, samples: Sequence[SampleScore]) -> int:
    return sum(bool(bundle.tokenizer.cut_words(sample.expression)) for sample in samples)


def _wanted(outputs: ScoreOutputs) -> list[Path]:
    places = (outputs.folder, outputs.masks, outputs.gallery)
    return [place for place in places if place is not None]


# --- the gallery


def choose_samples(samples: Sequence[SampleScore]) -> Mapping[str, list[int]]:
    """Numbers of the worst, the median and the best samples, no sample twice.

    Among equals, those with the greater area in doubt are the worse.
    """
    ranked = sorted(
        range(len(samples)), key=lambda i: (samples[i].quality, -samples[i].counts.union)
    )
    count = max(1, min(GALLERY_SAMPLES, len(ranked) // 3))
    worst, rest = ranked[:count], ranked[count:]
    best, rest = rest[-count:][::-1], rest[:-count]
    start = max(0, (len(rest) - count) // 2)
    return {"Worst": worst, "Median": rest[start : start + count], "Best": best}


def _write_pictures(
    outputs: ScoreOutputs,
    evaluation: EvaluationReport,
    source: ScoringData,
    samples: Sequence[SampleScore],
    predictor: Predictor,
) -> None:
    """Ask the chosen questions once more: their masks were not kept."""
    assert outputs.gallery is not None
    sections = {
        heading: [_picture(source[index], samples[index], predictor) for index in numbers]
        for heading, numbers in choose_samples(samples).items()
    }
    write_gallery(
        outputs.gallery,
        f"{evaluation.model} on {source.name}",
        _facts(evaluation),
        sections,
        overwrite=outputs.overwrite,
    )


def _picture(question: Question, sample: SampleScore, predictor: Predictor) -> Picture:
    logits_BSS, _ = ask(predictor, [question])
    facts = [f"IoU {sample.counts.iou:.3f}"]
    if sample.absent:
        facts = ["target absent", "answered with nothing" if sample.quality else "found something"]
    if sample.presence is not None:
        facts.append(f"presence {sample.presence:.0%}")
    facts += [", ".join(filter(None, (sample.kind, *sample.categories)))]
    return Picture(
        image=question.image,
        truth=question.target,
        predicted=logits_BSS[0] > 0,
        expression=question.expression,
        facts=tuple(filter(None, facts)),
        id=question.id,
        aspect=question.mask.shape[1] / question.mask.shape[0],
    )


def _facts(evaluation: EvaluationReport) -> list[tuple[str, str]]:
    """What stands below the title of the page; scores in percent, as papers print them."""
    scores = evaluation.scores
    shares = {"mIoU": scores.miou, "oIoU": scores.oiou}
    shares |= {f"Pr@{at}": share for at, share in scores.precision.items()}
    if scores.n_acc is not None:
        shares |= {"gIoU": scores.giou, "N-acc": scores.n_acc}
    absent = f", {scores.n_absent} with an absent target" if scores.n_absent else ""
    return [
        ("samples", f"{scores.n}{absent}"),
        *((name, f"{100 * share:.2f} %") for name, share in shares.items()),
        ("scored at", f"{evaluation.size_px} px"),
    ]
