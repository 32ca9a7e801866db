"""The files that ``evaluate`` writes: checked before the work, put in their place when whole."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rrsis_geo.errors import OutputError
from rrsis_geo.evaluate.scoring import SampleScore
from rrsis_geo.files import atomic_file, check_writable
from rrsis_geo.metrics import PixelCounts, Scores

SCORES_JSON: Final = "scores.json"
SCORES_CSV: Final = "scores.csv"
SAMPLES_CSV: Final = "samples.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOutputs:
    """The files that a run writes; all are optional.

    Attributes:
        folder: gets scores.json, scores.csv and samples.csv; made if need be.
        masks: folder for the predicted masks, PNG of one bit; made if need be.
        gallery: HTML page with the worst, the median and the best samples.
        overwrite: replace files that exist.
    """

    folder: Path | None = None
    masks: Path | None = None
    gallery: Path | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what could not be written in the end, and make the folders.

        Raises:
            OutputError: a place cannot be written to, or something is there already.
        """
        if self.gallery is not None:
            if self.gallery.suffix.lower() not in (".html", ".htm"):
                raise OutputError(f"{self.gallery}: the gallery is a page; name it .html")
            check_writable(self.gallery, overwrite=self.overwrite)
        for folder in (self.folder, self.masks):
            if folder is not None:
                _make_folder(folder)
        if self.folder is not None:
            for name in (SCORES_JSON, SCORES_CSV, SAMPLES_CSV):
                check_writable(self.folder / name, overwrite=self.overwrite)
        if self.masks is not None and not self.overwrite and any(self.masks.glob("*.png")):
            raise OutputError(
                f"{self.masks}: holds PNG files already; choose another folder, or --overwrite"
            )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"{folder}: the folder cannot be made ({err.strerror})") from err
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: the folder is not writable")


def write_scores(
    outputs: ScoreOutputs,
    told: Mapping[str, Any],
    scores: Mapping[str, Scores],
    samples: Sequence[SampleScore],
) -> list[Path]:
    """Write the files of ``outputs.folder``.

    Args:
        outputs: whose folder there is.
        told: the whole result, for scores.json.
        scores: "resized" and maybe "native" -> scores, for scores.csv.
        samples: for samples.csv.

    Raises:
        OutputError: they cannot be written.
    """
    folder = outputs.folder
    assert folder is not None
    files = {
        SCORES_JSON: json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        SCORES_CSV: _csv(_score_rows(scores)),
        SAMPLES_CSV: _csv(_sample_rows(samples)),
    }
    with atomic_file(folder / SCORES_JSON, overwrite=outputs.overwrite) as place:
        for name, text in files.items():
            try:
                place.with_name(name).write_text(text, encoding="utf-8", newline="")
            except OSError as err:
                raise OutputError(f"{folder / name}: cannot be written ({err.strerror})") from err
    return [folder / name for name in files]


def _csv(rows: Iterator[dict[str, object]]) -> str:
    table = list(rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, table[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return file.getvalue()


def _score_rows(scores: Mapping[str, Scores]) -> Iterator[dict[str, object]]:
    for size, whole in scores.items():
        yield {"size": size, "group": "all", "name": "", **_figures(whole)}
        for group, parts in (("kind", whole.by_kind), ("category", whole.by_category)):
            for name, part in parts.items():
                yield {"size": size, "group": group, "name": name, **_figures(part)}


def _figures(scores: Scores) -> dict[str, object]:
    return {
        "samples": scores.n,
        "absent": scores.n_absent,
        "oiou": scores.oiou,
        "miou": scores.miou,
        **{f"pr{round(100 * at)}": share for at, share in scores.precision.items()},
        "miou_present": scores.miou_present,
        "giou": scores.giou,
        "n_acc": scores.n_acc,
        "false_area_ppm": scores.false_area_ppm,
    }


def _sample_rows(samples: Sequence[SampleScore]) -> Iterator[dict[str, object]]:
    has_native = any(sample.native is not None for sample in samples)
    for sample in samples:
        yield {
            "id": sample.id,
            "expression": sample.expression,
            "kind": sample.kind,
            "category": ";".join(sample.categories),
            "absent": int(sample.absent),
            **_pixels(sample.counts, ""),
            **(_pixels(sample.native, "native_") if has_native else {}),
            "presence": "" if sample.presence is None else f"{sample.presence:.4f}",
            "mask": sample.mask,
        }


def _pixels(counts: PixelCounts | None, prefix: str) -> dict[str, object]:
    assert counts is not None
    return {
        f"{prefix}iou": counts.iou,
        f"{prefix}intersection_px": counts.intersection,
        f"{prefix}union_px": counts.union,
        f"{prefix}predicted_px": counts.predicted,
        f"{prefix}target_px": counts.target,
    }
