"""Prints the report of `evaluate`."""

from string import ascii_lowercase
from typing import TYPE_CHECKING

from rrsis_geo import console
from rrsis_geo.units import format_duration

if TYPE_CHECKING:
    from rrsis_geo.evaluate.evaluation import EvaluationReport


def print_evaluation(evaluation: "EvaluationReport", *, as_json: bool) -> None:
    """Print the scores in percent, as papers do, or as JSON."""
    if as_json:
        console.print_json(evaluation.to_dict())
        return
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
            for name, part in evaluation.rows().items()
        ],
    )
    if evaluation.scores.n_absent:
        _print_absent(evaluation)
    if evaluation.bootstrap is not None:
        _print_intervals(evaluation)
    _print_groups(evaluation)
    if evaluation.others:
        _print_others(evaluation)
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
            f"{format_duration(evaluation.seconds)}, {rate:.1f} samples per second on "
            f"{evaluation.device} in {evaluation.dtype}",
        ),
    ]
    if evaluation.presence is not None:
        facts.append(("presence", f"masks below {evaluation.presence:.6g} are empty"))
    if evaluation.tta:
        facts.append(("tta", "mean log-odds of each image as it is and mirrored"))
    if evaluation.cut_expressions:
        facts.append(
            ("cut", f"{evaluation.cut_expressions} expressions are longer than the model reads")
        )
    if evaluation.lost_targets:
        lost = f"{evaluation.lost_targets} have no pixel at {evaluation.size_px} px; their IoU is 0"
        facts.append(("lost targets", lost))
    if evaluation.with_rules is not None:
        facts += [
            ("answered", f"{count} by {reason}")
            for reason, count in evaluation.with_rules.reasons()
        ]
    return facts + [("wrote", path) for path in evaluation.files]


def _print_absent(evaluation: "EvaluationReport") -> None:
    console.print_facts("absent targets scored separately", [])
    console.print_table(
        ("", "gIoU", "N-acc", "T-acc", "false area", "mIoU of present"),
        [
            (
                name,
                _percent(part.giou),
                _percent(part.n_acc),
                _percent(part.t_acc),
                "" if part.false_area_ppm is None else f"{part.false_area_ppm / 1e4:.2f}",
                _percent(part.miou_present),
            )
            for name, part in evaluation.rows().items()
        ],
    )


def _print_intervals(evaluation: "EvaluationReport") -> None:
    """Print the 95 % intervals of the main scores."""
    columns = {"pr50": "Pr@0.5", "pr70": "Pr@0.7", "pr90": "Pr@0.9", "oiou": "oIoU", "miou": "mIoU"}
    if evaluation.scores.n_absent:
        columns |= {"giou": "gIoU", "n_acc": "N-acc", "t_acc": "T-acc"}
    heading = f"95 % intervals of {evaluation.bootstrap} bootstrap draws over the images"
    console.print_facts(heading, [])
    console.print_table(
        ("", *columns.values()),
        [
            (name, *(_interval(part.intervals.get(score)) for score in columns))
            for name, part in evaluation.rows().items()
        ],
    )


def _print_others(evaluation: "EvaluationReport") -> None:
    """Print our scores and those of other reports, best mIoU first."""
    rows = [
        (f"> {evaluation.model}{f', {answers}' if answers else ''}", scores, "this run")
        for answers, scores in evaluation.answers().items()
    ]
    for other in evaluation.others:
        alone = "" if other.rules is None else ", network alone"
        rows.append((f"{other.model}{alone}", other.scores, other.path))
        if other.rules is not None:
            rows.append((f"{other.model}, with rules", other.rules, other.path))
    console.print_facts("comparison with other reports", [])
    console.print_table(
        ("model", *(f"Pr@{at}" for at in evaluation.scores.precision), "oIoU", "mIoU", "report"),
        [
            (
                name,
                *(_percent(share) for share in scores.precision.values()),
                _percent(scores.oiou),
                _percent(scores.miou),
                path,
            )
            for name, scores, path in sorted(rows, key=lambda row: -row[1].miou)
        ],
    )


def _print_groups(evaluation: "EvaluationReport") -> None:
    """Print scores by kind and by category, if these are known: with rules, if these were asked."""
    alone, rules = evaluation.scores, evaluation.with_rules
    whole = alone if rules is None else rules.scores
    columns = ["", "samples", "Pr@0.5", "oIoU", "mIoU"]
    columns += ["gIoU", "N-acc"] if whole.n_absent else []
    columns += [] if rules is None else ["mIoU, network alone"]
    for heading, groups, groups_alone in (
        ("by kind", whole.by_kind, alone.by_kind),
        (f"by category (from {evaluation.category_by})", whole.by_category, alone.by_category),
    ):
        rows = [
            [
                name,
                str(part.n),
                _percent(part.precision[0.5]),
                _percent(part.oiou),
                _percent(part.miou),
                *((_percent(part.giou), _percent(part.n_acc)) if whole.n_absent else ()),
                *(() if rules is None else (_percent(groups_alone[name].miou),)),
            ]
            for name, part in groups.items()
        ]
        if groups is whole.by_category:
            average = [f"average of {len(groups)}", "", "", "", _percent(whole.category_miou)]
            average += ["", ""] if whole.n_absent else []
            average += [] if rules is None else [_percent(alone.category_miou)]
            rows.append(average)
        if groups:
            console.print_facts(f"{heading}{'' if rules is None else ', with rules'}", [])
            console.print_table(columns, rows)


def _print_comparison(evaluation: "EvaluationReport") -> None:
    """Print our scores among published ones, best mIoU first. Equal published rows are merged."""
    published = evaluation.published
    sources = list(dict.fromkeys(row.source for row in published))
    notes = list(dict.fromkeys(row.note for row in published if row.note))
    marks = dict(zip(notes, ascii_lowercase, strict=False))
    lines: dict[tuple[str, tuple[float | None, ...]], tuple[str, str]] = {}
    for answers, scores in evaluation.answers().items():
        name = f"> {evaluation.model}{f', {answers}' if answers else ''}"
        shares = (*scores.precision.values(), scores.oiou, scores.miou)
        lines[name, tuple(100 * share for share in shares)] = ("this run", "")
    thresholds = (f"Pr{100 * at:.0f}" for at in evaluation.scores.precision)
    for row in published:
        line = (row.method, tuple(row.metrics.values()))
        encoders, cited = lines.get(line, ("", ""))
        mark = f"[{sources.index(row.source) + 1}]{marks.get(row.note, '')}"
        lines[line] = (encoders or row.encoders, f"{cited} {mark}".strip())
    console.print_facts(f"comparison with published scores on the {evaluation.split} split", [])
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
    console.print_facts("limits of the comparison", [("-", text) for text in evaluation.cautions])


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{_percent(ends[0])} to {_percent(ends[1])}"


def _percent(share: float | None) -> str:
    return "" if share is None else _figure(100 * share)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
