"""Prints the reports of the `dataset` commands."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rrsis_geo import console
from rrsis_geo.errors import InputError
from rrsis_geo.units import format_count, format_length

if TYPE_CHECKING:
    from rrsis_geo.dataset.check import CheckReport, SplitFacts
    from rrsis_geo.dataset.from_coco import CocoReport
    from rrsis_geo.dataset.from_vectors import LabelReport

MAX_NAMED_PROBLEMS = 20
"""Damaged files that the error message names."""


def print_check(report: "CheckReport", *, sheet: Path | None, as_json: bool) -> None:
    """Print the report of `dataset check`.

    Args:
        report: the report.
        sheet: the contact sheet, if one was written.
        as_json: print JSON.

    Raises:
        InputError: a file is damaged or missing.
    """
    if as_json:
        console.print_json(report.to_dict())
    else:
        _print_check_table(report)
        if sheet is not None:
            console.print_facts("contact sheet", [("wrote", str(sheet))])
    if report.n_problems:
        raise InputError(_list_problems(report))


def print_labels(report: "LabelReport", *, as_json: bool) -> None:
    """Print the report of `dataset from-vectors`."""
    if as_json:
        console.print_json(report.to_dict())
        return
    size = f"{report.chip_px} x {report.chip_px} pixels of {format_length(report.gsd_m)}"
    labels = ("labels", *map(str, report.shown.values()))
    _print_splits(f"{report.root}: images of {size}", report, labels)
    console.print_facts("labels", [("in the scene", _join_counts(report.categories))])


def print_instances(report: "CocoReport", *, size_px: int, as_json: bool) -> None:
    """Print the report of `dataset from-coco`."""
    if as_json:
        console.print_json(report.to_dict())
        return
    size = f"{size_px} x {size_px} pixels"
    _print_splits(f"{report.root}: images of {size}", report)
    console.print_facts(
        "instances", [(format_count(report.images, "image"), _join_counts(report.categories))]
    )


def _print_splits(
    title: str, report: "LabelReport | CocoReport", *more_rows: tuple[str, ...]
) -> None:
    """Print one column per split: images, samples, kinds and categories."""
    console.print_facts(title, [])
    counts = report.splits.values()
    rows: list[tuple[str, ...]] = [
        ("images", *(str(split.images) for split in counts)),
        ("samples", *(str(split.samples) for split in counts)),
        *more_rows,
        *_count_rows("kind", [split.kinds for split in counts]),
        *_count_rows("category", [split.categories for split in counts]),
    ]
    console.print_table(("", *report.splits), rows)


def _print_check_table(report: "CheckReport") -> None:
    console.print_facts(f"{report.root}: {report.layout}", [])
    splits = report.splits.values()
    lines = {
        "samples": [_samples_cell(split) for split in splits],
        "images": [str(split.images) for split in splits],
        "absent targets": [str(split.absent) for split in splits],
        "tokens": [_token_cell(split.tokens) for split in splits],
        f"cut after {report.max_tokens}": [_share(split.cut, split.samples) for split in splits],
        "empty masks": [str(len(split.empty)) for split in splits],
        "mask and image differ in size": [str(len(split.other_size)) for split in splits],
        "damaged or missing": [str(len(split.problems)) for split in splits],
    }
    rows: list[tuple[str, ...]] = [(name, *cells) for name, cells in lines.items()]
    rows += _count_rows("image", [split.image_sizes for split in splits])
    rows += _count_rows("kind", [split.kinds for split in splits])
    rows += _count_rows("category", [split.categories for split in splits])
    console.print_table(("", *report.splits), rows)


def _count_rows(title: str, counts: Sequence[Mapping[str, int]]) -> Iterator[tuple[str, ...]]:
    """One row per name, the most frequent first, and one column per split."""
    totals = Counter[str]()
    for split in counts:
        totals.update(split)
    for name, _ in totals.most_common():
        yield f"{title} {name}", *(str(split.get(name, 0)) for split in counts)


def _join_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"


def _samples_cell(split: "SplitFacts") -> str:
    if split.published is None:
        return str(split.samples)
    is_same = split.published == split.samples
    return f"{split.samples} ({'as' if is_same else split.published} published)"


def _token_cell(tokens: Mapping[int, int]) -> str:
    """Shortest, longest and median length of the expressions."""
    if not tokens:
        return ""
    lengths = [length for length, n in tokens.items() for _ in range(n)]
    return f"{lengths[0]} to {lengths[-1]}, median {lengths[len(lengths) // 2]}"


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if part else "0"


def _list_problems(report: "CheckReport") -> str:
    lines = [line for split in report.splits.values() for line in split.problems]
    n_more = len(lines) - MAX_NAMED_PROBLEMS
    more = [f"and {n_more} more"] if n_more > 0 else []
    count = "1 file or sample" if len(lines) == 1 else f"{len(lines)} files or samples"
    title = f"{report.root}: {count} cannot be read:"
    return "\n  ".join([title, *lines[:MAX_NAMED_PROBLEMS], *more])
