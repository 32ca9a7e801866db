"""Files of an evaluation: check the paths before the run, write the files after it."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from rrsis_geo.errors import OutputError
from rrsis_geo.evaluate.scoring import RuleScore, SampleScore
from rrsis_geo.files import atomic_file, check_writable
from rrsis_geo.metrics import PixelCounts, Scores, precision_name

SCORES_JSON: Final = "scores.json"
SCORES_CSV: Final = "scores.csv"
SAMPLES_CSV: Final = "samples.csv"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a formula of a spreadsheet can begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOutputs:
    """Files to write; all are optional.

    Attributes:
        folder: folder for scores.json, scores.csv and samples.csv; created if missing.
        masks: folder for the predicted masks, 1-bit PNG; created if missing.
        gallery: HTML page with the worst, the median and the best samples.
        overwrite: replace existing files.
    """

    folder: Path | None = None
    masks: Path | None = None
    gallery: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Check that every file can be written, and create the folders.

        Raises:
            OutputError: a path is not writable, or a file exists already.
        """
        if self.gallery is not None:
            if self.gallery.suffix.lower() not in (".html", ".htm"):
                raise OutputError(f"{self.gallery}: the gallery is an HTML page; name it .html")
            check_writable(self.gallery, overwrite=self.overwrite)
        for folder in (self.folder, self.masks):
            if folder is not None:
                _create_folder(folder)
        if self.folder is not None:
            for name in (SCORES_JSON, SCORES_CSV, SAMPLES_CSV):
                check_writable(self.folder / name, overwrite=self.overwrite)
        if self.masks is not None and not self.overwrite and any(self.masks.glob("*.png")):
            raise OutputError(
                f"{self.masks}: contains PNG files; choose another folder, or use --overwrite"
            )


class ScoreTable(NamedTuple):
    """Scores of the answers that the network alone or rules gave.

    Attributes:
        answer: "network" or "rules".
        resized: scores at the size of the evaluation.
        native: scores at the original sizes of the masks, None if not requested.
    """

    answer: str
    resized: Scores
    native: Scores | None


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"{folder}: the folder cannot be created ({err.strerror})") from err
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: the folder is not writable")


def write_scores(
    outputs: ScoreOutputs,
    report: Mapping[str, Any],
    tables: Sequence[ScoreTable],
    samples: Sequence[SampleScore],
) -> None:
    """Write the files in ``outputs.folder``, which must be set.

    Args:
        outputs: folder, and whether to replace existing files.
        report: the whole report, for scores.json.
        tables: scores of the answers by the network alone, and of those with rules, if these were
            requested, for scores.csv.
        samples: for samples.csv.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = outputs.folder
    assert folder is not None
    files = {
        SCORES_JSON: json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        SCORES_CSV: _format_csv(_make_score_rows(tables)),
        SAMPLES_CSV: _format_csv(_make_sample_rows(samples)),
    }
    with atomic_file(folder / SCORES_JSON, overwrite=outputs.overwrite) as part:
        for name, text in files.items():
            try:
                part.with_name(name).write_text(text, encoding="utf-8", newline="")
            except OSError as err:
                raise OutputError(f"{folder / name}: cannot be written ({err.strerror})") from err


def _format_csv(rows: Iterator[dict[str, object]]) -> str:
    table = list(rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, table[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _escape(value) for name, value in row.items()} for row in table)
    return file.getvalue()


def _escape(value: object) -> object:
    """Mark a text that a spreadsheet would run as a formula as text, with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _make_score_rows(tables: Sequence[ScoreTable]) -> Iterator[dict[str, object]]:
    for table in tables:
        answer = {"answer": table.answer} if len(tables) > 1 else {}
        for size, total in (("resized", table.resized), ("native", table.native)):
            if total is None:
                continue
            first = {**answer, "size": size}
            yield {**first, "group": "all", "name": "", **_score_columns(total)}
            for group, parts in (("kind", total.by_kind), ("category", total.by_category)):
                for name, part in parts.items():
                    yield {**first, "group": group, "name": name, **_score_columns(part)}


def _score_columns(scores: Scores) -> dict[str, object]:
    return {
        "samples": scores.n,
        "absent": scores.n_absent,
        "oiou": scores.oiou,
        "miou": scores.miou,
        **{precision_name(at): share for at, share in scores.precision.items()},
        "miou_present": scores.miou_present,
        "giou": scores.giou,
        "n_acc": scores.n_acc,
        "t_acc": scores.t_acc,
        "false_area_ppm": scores.false_area_ppm,
    }


def _make_sample_rows(samples: Sequence[SampleScore]) -> Iterator[dict[str, object]]:
    has_native = any(sample.native is not None for sample in samples)
    for sample in samples:
        yield {
            "id": sample.id,
            "expression": sample.expression,
            "kind": sample.kind,
            "category": ";".join(sample.categories),
            "absent": int(sample.absent),
            **_pixel_columns(sample.counts, ""),
            **(_pixel_columns(sample.native, "native_") if has_native else {}),
            **({} if sample.rules is None else _rule_columns(sample.rules)),
            "presence": "" if sample.presence is None else f"{sample.presence:.4f}",
            "mask": sample.mask,
        }


def _rule_columns(rules: RuleScore) -> dict[str, object]:
    return {
        "answered_by": rules.by,
        "reading": rules.reading,
        **_pixel_columns(rules.counts, "rules_"),
        **({} if rules.native is None else _pixel_columns(rules.native, "rules_native_")),
    }


def _pixel_columns(counts: PixelCounts | None, prefix: str) -> dict[str, object]:
    assert counts is not None
    return {
        f"{prefix}iou": counts.iou,
        f"{prefix}intersection_px": counts.intersection,
        f"{prefix}union_px": counts.union,
        f"{prefix}predicted_px": counts.predicted,
        f"{prefix}target_px": counts.target,
    }
