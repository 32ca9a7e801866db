"""Scores of referring segmentation, by the protocol of the published tables.

The protocol is that of LAVT, RMSIN and FIANet:

- the IoU of a sample is that of the foreground, 0 if both masks are empty;
- mIoU is the mean IoU over samples;
- oIoU (cIoU in some papers) is the sum of intersections divided by the sum of unions;
- Pr@t is the share of samples with an IoU of at least t.

This protocol gives 0 to a sample without a target even if the answer is right. Such samples have
scores of their own:

- N-acc is the share of them that are answered with an empty mask, and T-acc the share of the other
  samples that are answered with some pixels;
- gIoU (generalized referring segmentation, arXiv 2306.00968) is the mean IoU in which a sample
  without a target counts 1 if it is answered with an empty mask, else 0;
- the false area is the area of their predicted masks.

Scores are from 0 to 1. Papers print them in percent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_DRAWN_AT_ONCE = 2**22
"""Most pictures drawn at once by the bootstrap; limits the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of a set of samples.

    Attributes:
        n: number of samples.
        n_absent: number of samples whose target is absent.
        oiou: sum of intersections divided by sum of unions; 0 if all masks are empty.
        miou: mean IoU over all samples. An absent target always counts 0.
        miou_present: mean IoU over samples with a target, None if there are none.
        precision: threshold -> share of all samples with at least this IoU.
        giou: mean IoU, in which an absent target counts 1 if answered with an empty mask.
        n_acc: share of absent targets answered with an empty mask, None if there are none.
        false_area_ppm: predicted pixels per million in samples without a target, None if there are
            none.
        t_acc: share of samples with a target that are answered with some pixels, None if there are
            none.
        intervals: name of a score -> its 95 % interval (low, high) by bootstrap, see
            :meth:`ScoreMeter.intervals`; {} if not requested.
        by_kind: kind of expression -> scores of its samples.
        by_category: category -> scores of its samples. A sample may be in several categories.
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
    t_acc: float | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    by_kind: Mapping[str, "Scores"] = field(default_factory=dict)
    by_category: Mapping[str, "Scores"] = field(default_factory=dict)

    @property
    def category_miou(self) -> float | None:
        """Mean of the mIoU of the categories, unweighted; None without categories."""
        values = [scores.miou for scores in self.by_category.values()]
        return float(np.mean(values)) if values else None

    def values(self) -> dict[str, float]:
        """The scores that are known, by name; those at thresholds are "pr50" to "pr90"."""
        found = {
            "oiou": self.oiou,
            "miou": self.miou,
            **{precision_name(at): share for at, share in self.precision.items()},
            "miou_present": self.miou_present,
            "giou": self.giou,
            "n_acc": self.n_acc,
            "t_acc": self.t_acc,
            "false_area_ppm": self.false_area_ppm,
        }
        return {name: value for name, value in found.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """The fields, JSON-able. Thresholds become strings such as "0.5"."""
        values = asdict(self)
        values["precision"] = {str(at): share for at, share in self.precision.items()}
        for name, groups in (("by_kind", self.by_kind), ("by_category", self.by_category)):
            values[name] = {group: scores.to_dict() for group, scores in groups.items()}
        return values


def scores_from_dict(values: Mapping[str, Any]) -> Scores:
    """The scores that ``Scores.to_dict`` wrote."""
    groups = {
        name: {group: scores_from_dict(scores) for group, scores in values[name].items()}
        for name in ("by_kind", "by_category")
    }
    intervals = {name: tuple(ends) for name, ends in values.get("intervals", {}).items()}
    precision = {float(at): share for at, share in values["precision"].items()}
    return Scores(**{**values, **groups, "precision": precision, "intervals": intervals})


class PixelCounts(NamedTuple):
    """Numbers of pixels of one sample, from which all scores are computed.

    Attributes:
        intersection: pixels in both masks.
        union: pixels in either mask.
        predicted: pixels in the predicted mask.
        target: pixels in the target mask.
        total: pixels in the image that are not ignored.
    """

    intersection: int
    union: int
    predicted: int
    target: int
    total: int

    @property
    def iou(self) -> float:
        """Intersection over union, 0 if both masks are empty."""
        return self.intersection / self.union if self.union else 0.0


def count_pixels(
    predicted: NDArray[np.bool_],
    target: NDArray[np.bool_],
    ignored: NDArray[np.bool_] | None = None,
) -> PixelCounts:
    """Count the pixels of two masks, bool [H, W], that are not ignored, bool [H, W] too."""
    if predicted.dtype != np.bool_ or target.dtype != np.bool_:
        raise ValueError(f"masks must be bool, got {predicted.dtype} and {target.dtype}")
    if predicted.shape != target.shape:
        raise ValueError(f"masks differ in size: {predicted.shape} and {target.shape}")
    total = target.size
    if ignored is not None:
        predicted, target = predicted & ~ignored, target & ~ignored
        total -= int(ignored.sum())
    n_predicted, n_target = int(predicted.sum()), int(target.sum())
    intersection = int((predicted & target).sum())
    union = n_predicted + n_target - intersection
    return PixelCounts(intersection, union, n_predicted, n_target, total)


class ScoreMeter:
    """Collects samples and computes their scores."""

    def __init__(self) -> None:
        self._counts: list[PixelCounts] = []
        self._absent: list[bool] = []
        self._kinds: list[str] = []
        self._categories: list[tuple[str, ...]] = []
        self._pictures: list[str] = []

    def __len__(self) -> int:
        return len(self._counts)

    def add(
        self,
        predicted: NDArray[np.bool_],
        target: NDArray[np.bool_],
        *,
        ignored: NDArray[np.bool_] | None = None,
        kind: str = "",
        category: str | Sequence[str] = "",
    ) -> float:
        """Add a sample and return its IoU.

        Args:
            predicted: bool [H, W].
            target: bool [H, W]; all False if the target is absent.
            ignored: bool [H, W], pixels that are not scored; None scores all.
            kind: see :meth:`add_counts`.
            category: see :meth:`add_counts`.
        """
        counts = count_pixels(predicted, target, ignored)
        self.add_counts(counts, kind=kind, category=category)
        return counts.iou

    def add_counts(
        self,
        counts: PixelCounts,
        *,
        absent: bool | None = None,
        kind: str = "",
        category: str | Sequence[str] = "",
        picture: str = "",
    ) -> None:
        """Add a sample by its pixel counts.

        Args:
            counts: from :func:`count_pixels`.
            absent: whether the target is absent. None means that it is absent if its mask is empty,
                which is wrong if a small target was lost when the mask was resized.
            kind: kind of the expression; "" leaves the sample out of ``by_kind``.
            category: category or categories of the target; "" leaves it out of ``by_category``.
            picture: name of the picture, which samples may share; "" if it is the only one of it.
        """
        self._counts.append(counts)
        self._absent.append(counts.target == 0 if absent is None else absent)
        self._kinds.append(kind)
        names = (category,) if isinstance(category, str) else tuple(category)
        self._categories.append(tuple(name for name in names if name))
        self._pictures.append(picture or f"sample {len(self)}")

    def scores(self) -> Scores:
        """Compute the scores of all samples so far, in total and by kind and category."""
        if not self._counts:
            raise ValueError("there are no samples to score")
        by_kind = _group_samples([(kind,) if kind else () for kind in self._kinds])
        by_category = _group_samples(self._categories)
        counts, absent = np.array(self._counts, np.int64), np.array(self._absent)
        return replace(
            _score(counts, absent),
            by_kind={name: _score(counts[rows], absent[rows]) for name, rows in by_kind.items()},
            by_category={
                name: _score(counts[rows], absent[rows]) for name, rows in by_category.items()
            },
        )

    def intervals(self, *, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % intervals of the scores by the percentile bootstrap.

        Pictures are drawn with replacement, each with all its samples, because samples of one
        picture are not independent.

        Args:
            draws: number of draws.
            seed: random seed of the draws.

        Returns:
            name of a score, as in ``Scores`` ("pr50" to "pr90" for the precision) -> (low, high).
            Scores without samples are left out.
        """
        counts, absent = np.array(self._counts, np.int64), np.array(self._absent)
        _, rows = np.unique(self._pictures, return_inverse=True)
        parts = _ratios(counts, absent)
        terms = np.stack([term for ratio in parts.values() for term in ratio], 1)  # [n, 2 scores]
        sums = np.zeros((rows.max() + 1, terms.shape[1]))
        np.add.at(sums, rows, terms)
        totals = np.concatenate(list(_draw_totals(sums, draws, np.random.default_rng(seed))))
        found = {}
        for position, name in enumerate(parts):
            above, below = totals[:, 2 * position], totals[:, 2 * position + 1]
            if below.any():
                values = above[below > 0] / below[below > 0]
                low, high = np.quantile(values, (0.025, 0.975))
                found[name] = (float(low), float(high))
        return found


def _draw_totals(
    sums: NDArray[np.float64], draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Sums over bootstrap samples of the rows, float64 [draws, k] in parts.

    Args:
        sums: [n, k].
        draws: number of bootstrap samples.
        rng: source of randomness.
    """
    n = len(sums)
    at_once = max(1, _DRAWN_AT_ONCE // n)
    for first in range(0, draws, at_once):
        size = min(at_once, draws - first)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        yield times @ sums


def _group_samples(names: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    """Name -> indices of its samples, sorted by name."""
    rows: dict[str, list[int]] = {}
    for row, sample_names in enumerate(names):
        for name in dict.fromkeys(sample_names):
            rows.setdefault(name, []).append(row)
    return dict(sorted(rows.items()))


def _ratios(
    counts: NDArray[np.int64], absent: NDArray[np.bool_]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Each score as a sum over samples divided by another: name -> the terms of both, [n].

    Args:
        counts: the fields of ``PixelCounts``, [n, 5].
        absent: bool [n].
    """
    intersection, union, predicted, _, total = counts.T
    iou = intersection / np.maximum(union, 1)  # 0 if both masks are empty
    one, is_empty = np.ones(len(counts)), predicted == 0
    return {
        "oiou": (intersection, union),
        "miou": (iou, one),
        "miou_present": (iou * ~absent, ~absent),
        **{precision_name(at): (iou >= at, one) for at in THRESHOLDS},
        "giou": (np.where(absent, is_empty, iou), one),
        "n_acc": (is_empty & absent, absent),
        "t_acc": (~is_empty & ~absent, ~absent),
        "false_area_ppm": (1e6 * predicted * absent, total * absent),
    }


def precision_name(at: float) -> str:
    """Name of Pr@X in tables: "pr50" for 0.5."""
    return f"pr{round(100 * at)}"


def _score(counts: NDArray[np.int64], absent: NDArray[np.bool_]) -> Scores:
    """Scores of samples, from the fields of ``PixelCounts`` [n, 5] and bool [n]."""
    ratios = {
        name: float(above.sum() / below.sum()) if below.any() else None
        for name, (above, below) in _ratios(counts, absent).items()
    }
    return Scores(
        n=len(counts),
        n_absent=int(absent.sum()),
        oiou=ratios["oiou"] or 0.0,
        miou=ratios["miou"] or 0.0,
        miou_present=ratios["miou_present"],
        precision={at: ratios[precision_name(at)] or 0.0 for at in THRESHOLDS},
        giou=ratios["giou"] or 0.0,
        n_acc=ratios["n_acc"],
        false_area_ppm=ratios["false_area_ppm"],
        t_acc=ratios["t_acc"],
    )
