"""Score a bundle on a split of a dataset: the front door of ``evaluate``."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from rrsis_geo.evaluate.answers import WHY, AnsweredBy
from rrsis_geo.evaluate.comparison import find_published_rows, list_cautions
from rrsis_geo.evaluate.data import EvaluationData, choose_category_source, open_data
from rrsis_geo.evaluate.examples import choose_pictures
from rrsis_geo.evaluate.gallery import write_gallery
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.evaluate.protocol import OtherReport, Protocol, check_published, read_report
from rrsis_geo.evaluate.score_files import ScoreOutputs, ScoreTable, write_scores
from rrsis_geo.evaluate.scoring import SampleScore, score_data
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.model.bundle import Bundle, load_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.published import PublishedRow
from rrsis_geo.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleScores:
    """Scores of the answers with rules.

    Attributes:
        scores: at the size of the evaluation.
        native: scores at the original sizes of the masks, None if not requested.
        answered_by: what gave the answers -> number of samples, see
            `rrsis_geo.evaluate.answers.WHY`.
    """

    scores: Scores
    native: Scores | None
    answered_by: Mapping[AnsweredBy, int]

    def reasons(self) -> list[tuple[str, int]]:
        """What gave the answers, in words, and the number of samples."""
        return [(WHY[by], count) for by, count in self.answered_by.items()]

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {
            "scores": self.scores.to_dict(),
            "native": None if self.native is None else self.native.to_dict(),
            "answered_by": dict(self.answered_by),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """Result of an evaluation.

    Attributes:
        model: name of the bundle.
        model_sha256: SHA-256 of the weights.
        data: folder of the dataset.
        layout: layout of the dataset.
        split: the split that was scored.
        split_size: number of samples in the split.
        size_px: side of the squares that ``scores`` are computed on.
        category_by: source of the categories: "label", "text", or "" for none.
        scores: by the published protocol, of the network alone.
        native: scores at the original sizes of the masks, None if not requested.
        with_rules: scores of the answers with rules; None if the language is "network".
        lost_targets: number of targets without a pixel at ``size_px``; their IoU is 0.
        cut_expressions: number of expressions that are longer than the model reads.
        published: results that papers report, best mIoU first; () if not requested.
        cautions: reasons why the scores may not be comparable to ``published``.
        others: reports of other evaluations by the same protocol.
        protocol: how the samples were scored.
        bootstrap: number of draws of the intervals in the scores, None if not requested.
        seconds: time to read, predict and score.
        presence: threshold of presence of the model, None if it has none.
        tta: whether images were also predicted mirrored.
        device: where the network ran.
        dtype: data type of the matrix products.
        version: version of rrsis-geo.
        files: written files and folders.
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
    with_rules: RuleScores | None = None
    lost_targets: int
    cut_expressions: int
    published: tuple[PublishedRow, ...] = ()
    cautions: tuple[str, ...] = ()
    others: tuple[OtherReport, ...] = ()
    protocol: Protocol
    bootstrap: int | None = None
    seconds: float
    presence: float | None = None
    tta: bool = False
    device: str
    dtype: str
    version: str = __version__
    files: tuple[str, ...] = ()

    def answers(self, *, native: bool = False) -> dict[str, Scores]:
        """Scores by what gave the answers, in words; "" where only the network was asked."""
        alone = self.native if native else self.scores
        if self.with_rules is None:
            found = {"": alone}
        else:
            rules = self.with_rules.native if native else self.with_rules.scores
            found = {"network alone": alone, "with rules": rules}
        return {name: scores for name, scores in found.items() if scores is not None}

    def rows(self) -> dict[str, Scores]:
        """Scores by what gave the answers and the size they are computed at, in words."""
        sizes = ((f"at {self.size_px} px", False), ("at the masks' own sizes", True))
        return {
            ", ".join(filter(None, (name, size))): scores
            for size, native in sizes
            for name, scores in self.answers(native=native).items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON. Published scores are in percent, all others from 0 to 1."""
        return asdict(self) | {
            "scores": self.scores.to_dict(),
            "native": None if self.native is None else self.native.to_dict(),
            "with_rules": None if self.with_rules is None else self.with_rules.to_dict(),
            "others": [other.to_dict() for other in self.others],
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
    """Score a bundle on a split of a dataset.

    Image and target are both resized to a square and compared there. This is the protocol of the
    papers, see ``rrsis_geo.metrics``. Bundles whose language is "resolved" also answer with rules
    over the objects of each picture. Only a few batches are in memory at a time.

    Args:
        data: folder of the dataset.
        layout: its layout, see ``evaluate.data.open_data``.
        split: name of the split.
        options: how to score; None for the defaults.
        outputs: files to write; None for none.
        progress: called after each batch with the stage "samples", the number of samples that are
            done, and their total.

    Raises:
        ConfigError: an option is invalid or does not fit the data, or the scores would not be
            comparable with those requested.
        InputError: a file of the dataset is missing or damaged.
        ModelError: the bundle is missing or damaged.
        OutputError: a file cannot be written.
        DeviceError: the device does not exist or has too little memory.
    """
    options, outputs = options or EvaluateOptions(), outputs or ScoreOutputs()
    published = find_published_rows(layout, split) if options.compare else ()
    outputs.check()
    bundle = load_bundle(options.model)
    size_px = options.size_px or bundle.image.size_px
    samples = open_data(data, layout, split, size_px=size_px, limit=options.limit)
    category_by = choose_category_source(samples.info, options.category_by)
    protocol = Protocol(
        layout=layout,
        split=split,
        samples=len(samples),
        size_px=size_px,
        language=options.language or bundle.language,
    )
    if options.compare:
        check_published(protocol, split_size=samples.info.size)
    others = tuple(read_report(path, protocol) for path in options.against)
    predictor = Predictor(
        bundle,
        options.device,
        options.dtype,
        threads=options.threads,
        presence=options.presence,
        tta=options.tta,
    )
    start = time.monotonic()
    scores = score_data(
        samples,
        predictor,
        options,
        with_rules=protocol.language == "resolved",
        category_by=category_by,
        masks=outputs.masks,
        progress=progress or no_progress,
    )
    run = _Run(
        request=_Request(data, layout, split, options, outputs),
        published=published,
        others=others,
        protocol=protocol,
        samples=samples,
        category_by=category_by,
        predictor=predictor,
        scores=scores,
        seconds=time.monotonic() - start,
    )
    report = _make_report(run)
    _write_files(run, report)
    return report


class _Request(NamedTuple):
    """Arguments of ``evaluate_bundle``."""

    data: Path
    layout: str
    split: str
    options: EvaluateOptions
    outputs: ScoreOutputs


class _Run(NamedTuple):
    """An evaluation whose samples are scored."""

    request: _Request
    published: tuple[PublishedRow, ...]
    others: tuple[OtherReport, ...]
    protocol: Protocol
    samples: EvaluationData
    category_by: str
    predictor: Predictor
    scores: Sequence[SampleScore]
    seconds: float


def _make_report(run: _Run) -> EvaluationReport:
    request, info, bundle = run.request, run.samples.info, run.predictor.bundle
    native, draws = request.options.native, request.options.bootstrap
    outputs = (request.outputs.folder, request.outputs.masks, request.outputs.gallery)
    return EvaluationReport(
        model=bundle.name,
        model_sha256=bundle.sha256,
        data=str(request.data),
        layout=request.layout,
        split=request.split,
        split_size=info.size,
        size_px=run.protocol.size_px,
        category_by=run.category_by,
        scores=_summarize(run.scores, native=False, draws=draws),
        native=_summarize(run.scores, native=True, draws=draws) if native else None,
        with_rules=_summarize_rules(run.scores, native=native, draws=draws),
        lost_targets=sum(not score.absent and not score.counts.target for score in run.scores),
        cut_expressions=_count_cut_expressions(bundle, run.scores),
        published=run.published,
        cautions=tuple(
            list_cautions(run.published, split_size=info.size, published_size=info.published_size)
        ),
        others=run.others,
        protocol=run.protocol,
        bootstrap=draws,
        seconds=run.seconds,
        presence=run.predictor.presence,
        tta=run.predictor.tta,
        device=str(run.predictor.device),
        dtype=str(run.predictor.dtype).removeprefix("torch."),
        files=tuple(str(path) for path in outputs if path is not None),
    )


def _summarize(scores: Sequence[SampleScore], *, native: bool, draws: int | None) -> Scores:
    meter = ScoreMeter()
    for score in scores:
        counts = score.native if native else score.counts
        assert counts is not None
        meter.add_counts(
            counts,
            absent=score.absent,
            kind=score.kind,
            category=score.categories,
            picture=score.picture,
        )
    intervals = {} if draws is None else meter.intervals(draws=draws)
    return replace(meter.scores(), intervals=intervals)


def _summarize_rules(
    scores: Sequence[SampleScore], *, native: bool, draws: int | None
) -> RuleScores | None:
    answered = [
        score._replace(counts=score.rules.counts, native=score.rules.native)
        for score in scores
        if score.rules is not None
    ]
    if not answered:
        return None
    counts = Counter(score.rules.by for score in scores if score.rules is not None)
    return RuleScores(
        scores=_summarize(answered, native=False, draws=draws),
        native=_summarize(answered, native=True, draws=draws) if native else None,
        answered_by={by: counts[by] for by in WHY if counts[by]},
    )


def _count_cut_expressions(bundle: Bundle, scores: Sequence[SampleScore]) -> int:
    return sum(bool(bundle.tokenizer.cut_words(score.expression)) for score in scores)


def _write_files(run: _Run, report: EvaluationReport) -> None:
    outputs = run.request.outputs
    if outputs.folder is not None:
        tables = [ScoreTable(answer="network", resized=report.scores, native=report.native)]
        if report.with_rules is not None:
            rules = report.with_rules
            tables.append(ScoreTable(answer="rules", resized=rules.scores, native=rules.native))
        write_scores(outputs, report.to_dict(), tables, run.scores)
    if outputs.gallery is not None:
        sections = choose_pictures(run.samples, run.scores, run.predictor)
        write_gallery(
            outputs.gallery,
            f"{report.model} on {run.samples.info.name}",
            _gallery_facts(report),
            sections,
            overwrite=outputs.overwrite,
        )


def _gallery_facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """Lines below the title of the gallery. Scores are in percent, as in papers."""
    scores = report.scores if report.with_rules is None else report.with_rules.scores
    values = {"mIoU": scores.miou, "oIoU": scores.oiou}
    values |= {f"Pr@{at}": share for at, share in scores.precision.items()}
    if scores.n_acc is not None:
        values |= {"gIoU": scores.giou, "N-acc": scores.n_acc, "T-acc": scores.t_acc or 0.0}
    if report.with_rules is not None:
        values["mIoU of the network alone"] = report.scores.miou
    absent = f", {scores.n_absent} with an absent target" if scores.n_absent else ""
    return [
        ("samples", f"{scores.n}{absent}"),
        *((name, f"{100 * value:.2f} %") for name, value in values.items()),
        ("scored at", f"{report.size_px} px"),
    ]
