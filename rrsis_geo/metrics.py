"""Scores of referring segmentation, by the protocol of the published tables.

Shares run from 0 to 1; papers print them times 100. The protocol is that of LAVT, RMSIN and FIANet:
the IoU of a sample is that of the foreground, 0 where neither mask has a pixel; mIoU is its mean
over samples, oIoU (cIoU in some papers) the summed intersections over the summed unions, and Pr@t
the share of samples whose IoU is at least t.

Samples whose target is absent have their own numbers, since the protocol gives 0 even to the right
answer there: N-acc, the share of them answered with an empty mask; gIoU as in generalized referring
segmentation (arXiv 2306.00968), the mean IoU where an absent target counts 1 when answered with an
empty mask and 0 otherwise; and the area that they were answered with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a set of samples.

    Attributes:
        n: samples.
        n_absent: those among them whose target is absent.
        oiou: summed intersections over summed unions, all samples; 0 where no mask has a pixel.
        miou: mean IoU over all samples, 0 for an absent target whatever the answer.
        miou_present: mean IoU over the samples whose target is present; None where there are none.
        precision: threshold -> share of all samples whose IoU is at least that.
        giou: mean IoU, an absent target counting 1 when answered with an empty mask.
        n_acc: share of the absent targets answered with an empty mask; None where there are none.
        false_area_ppm: predicted pixels per million in the images of absent targets; None as above.
        by_kind: kind of expression -> scores of its samples.
        by_category: category -> scores of its samples; a sample may count in several.
    """

    n: int
    n_absent: int
    oiou: float
    miou: float
    miou_present: float | None
    precision: Mapping[float, float]
    giou: float
    n_acc: float | None
    false_area_ppm: float | None
    by_kind: Mapping[str, "Scores"] = field(default_factory=dict)
    by_category: Mapping[str, "Scores"] = field(default_factory=dict)

    @property
    def category_miou(self) -> float | None:
        """Unweighted mean of the categories' mIoU, None without categories."""
        values = [scores.miou for scores in self.by_category.values()]
        return float(np.mean(values)) if values else None

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON; thresholds become text such as "0.5"."""
        values = asdict(self)
        values["precision"] = {str(at): share for at, share in self.precision.items()}
        for name, groups in (("by_kind", self.by_kind), ("by_category", self.by_category)):
            values[name] = {group: scores.to_dict() for group, scores in groups.items()}
        return values


class PixelCounts(NamedTuple):
    """What scores need to know of one sample: numbers of pixels.

    Attributes:
        intersection: in both masks.
        union: in either mask.
        predicted: in the predicted mask.
        target: in the target's mask.
        total: of the image.
    """

    intersection: int
    union: int
    predicted: int
    target: int
    total: int

    @property
    def iou(self) -> float:
        """Intersection over union; 0 where neither mask has a pixel."""
        return self.intersection / self.union if self.union else 0.0


def count_pixels(predicted: NDArray[np.bool_], target: NDArray[np.bool_]) -> PixelCounts:
    """Compare two masks, bool [H, W]."""
    if predicted.dtype != np.bool_ or target.dtype != np.bool_:
        raise ValueError(f"masks must be bool, got {predicted.dtype} and {target.dtype}")
    if predicted.shape != target.shape:
        raise ValueError(f"masks differ in size: {predicted.shape} and {target.shape}")
    n_predicted, n_target = int(predicted.sum()), int(target.sum())
    intersection = int((predicted & target).sum())
    union = n_predicted + n_target - intersection
    return PixelCounts(intersection, union, n_predicted, n_target, target.size)


class ScoreMeter:
    """Gathers samples one by one and scores them together."""

    def __init__(self) -> None:
        self._counts: list[PixelCounts] = []
        self._absent: list[bool] = []
        self._kinds: list[str] = []
        self._categories: list[tuple[str, ...]] = []

    def __len__(self) -> int:
        return len(self._counts)

    def add(
        self,
        predicted: NDArray[np.bool_],
        target: NDArray[np.bool_],
        *,
        kind: str = "",
        category: str | Sequence[str] = "",
    ) -> float:
        """Add a sample and give back its IoU.

        Args:
            predicted: bool [H, W].
            target: bool [H, W]; all False where the target is absent.
            kind: see :meth:`add_counts`.
            category: see :meth:`add_counts`.
        """
        counts = count_pixels(predicted, target)
        self.add_counts(counts, kind=kind, category=category)
        return counts.iou

    def add_counts(
        self,
        counts: PixelCounts,
        *,
        absent: bool | None = None,
        kind: str = "",
        category: str | Sequence[str] = "",
    ) -> None:
        """Add a sample whose pixels are counted.

        Args:
            counts: from :func:`count_pixels`.
            absent: whether the target is absent. None takes a target without pixels for an absent
                one, which is wrong for one that was lost when its mask was made smaller.
            kind: kind of the expression; "" leaves the sample out of the breakdown by kind.
            category: the target's category or categories; "" or none as above.
        """
        self._counts.append(counts)
        self._absent.append(counts.target == 0 if absent is None else absent)
        self._kinds.append(kind)
        names = (category,) if isinstance(category, str) else tuple(category)
        self._categories.append(tuple(name for name in names if name))

    def scores(self) -> Scores:
        """Scores of all samples so far, and of each kind and category among them."""
        if not self._counts:
            raise ValueError("no sample was added, so there is nothing to score")
        by_kind = _groups([(kind,) if kind else () for kind in self._kinds])
        by_category = _groups(self._categories)
        counts, absent = np.array(self._counts, np.int64), np.array(self._absent)
        return replace(
            _score(counts, absent),
            by_kind={name: _score(counts[rows], absent[rows]) for name, rows in by_kind.items()},
            by_category={
                name: _score(counts[rows], absent[rows]) for name, rows in by_category.items()
            },
        )


def _groups(names: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    """Name -> the samples that bear it, names in alphabetical order."""
    rows: dict[str, list[int]] = {}
    for row, own in enumerate(names):
        for name in dict.fromkeys(own):
            rows.setdefault(name, []).append(row)
    return dict(sorted(rows.items()))


def _score(counts: NDArray[np.int64], absent: NDArray[np.bool_]) -> Scores:
    """Scores of samples: the fields of ``PixelCounts``, int64 [n, 5], and bool [n]."""
    intersection, union, predicted, _, total = counts.T
    iou = intersection / np.maximum(union, 1)  # an empty union has an empty intersection: 0
    n_absent = int(absent.sum())
    answered_empty = predicted == 0
    return Scores(
        n=len(counts),
        n_absent=n_absent,
        oiou=float(intersection.sum() / max(union.sum(), 1)),
        miou=float(iou.mean()),
        miou_present=float(iou[~absent].mean()) if n_absent < len(counts) else None,
        precision={at: float((iou >= at).mean()) for at in THRESHOLDS},
        giou=float(np.where(absent, answered_empty, iou).mean()),
        n_acc=float(answered_empty[absent].mean()) if n_absent else None,
        false_area_ppm=(
            float(1e6 * predicted[absent].sum() / total[absent].sum()) if n_absent else None
        ),
    )
