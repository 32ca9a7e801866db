"""Closed objects of a mask as arrays, and tracing them from edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from rrsis_geo.geo.objects.outlines import Int32, Int64, Outlines, trace_outlines
from rrsis_geo.geo.objects.runs import EMPTY, PROBABILITY_STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """N closed objects.

    Attributes:
        outlines: polygons in whole pixel coordinates.
        n_pixels: int64 [N], number of pixels.
        probability_sum: int64 [N], sum of probabilities in steps of 1 / PROBABILITY_STEPS.
        probability_max: float32 [N], maximum probability.
        last_pixel: int32 [N, 2], (row, column) of the last pixel in reading order.
        split_from: int64 [N], number of the object that this is a part of, 0 for whole objects; see
            `split_objects`.
    """

    outlines: Outlines
    n_pixels: Int64
    probability_sum: Int64
    probability_max: NDArray[np.float32]
    last_pixel: Int32
    split_from: Int64

    def __len__(self) -> int:
        return len(self.n_pixels)

    def mean_probability(self) -> NDArray[np.float64]:
        """Mean probability of the pixels of each object, float64 [N]."""
        return self.probability_sum / (self.n_pixels * float(PROBABILITY_STEPS))

    def polygons(self, transform: Affine | None = None) -> NDArray[Any]:
        """Shapely polygons [N]; see `Outlines.polygons`."""
        return self.outlines.polygons(transform)

    def take(self, index: NDArray[np.integer[Any]]) -> "Objects":
        """The objects at the given indices, in that order."""
        return Objects(
            outlines=self.outlines.take(index),
            n_pixels=self.n_pixels[index],
            probability_sum=self.probability_sum[index],
            probability_max=self.probability_max[index],
            last_pixel=self.last_pixel[index],
            split_from=self.split_from[index],
        )

    def in_reading_order(self) -> "Objects":
        """The objects sorted by last pixel."""
        order = np.lexsort((self.last_pixel[:, 1], self.last_pixel[:, 0]))
        return self if np.array_equal(order, np.arange(len(self))) else self.take(order)

    @staticmethod
    def concat(parts: "Sequence[Objects]") -> "Objects":
        """The objects of all parts, in order."""
        empty = NO_OBJECTS
        return Objects(
            outlines=Outlines.concat([part.outlines for part in parts]),
            n_pixels=np.concatenate([p.n_pixels for p in (empty, *parts)]),
            probability_sum=np.concatenate([p.probability_sum for p in (empty, *parts)]),
            probability_max=np.concatenate([p.probability_max for p in (empty, *parts)]),
            last_pixel=np.concatenate([p.last_pixel for p in (empty, *parts)]),
            split_from=np.concatenate([p.split_from for p in (empty, *parts)]),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays of whole objects, for `numpy.savez`."""
        return {
            "vertices": self.outlines.vertices,
            "ring_offsets": self.outlines.ring_offsets,
            "object_offsets": self.outlines.object_offsets,
            "n_pixels": self.n_pixels,
            "probability_sum": self.probability_sum,
            "probability_max": self.probability_max,
            "last_pixel": self.last_pixel,
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> "Objects":
        """The inverse of `to_arrays`; other arrays are ignored."""
        return Objects(
            outlines=Outlines(
                vertices=arrays["vertices"],
                ring_offsets=arrays["ring_offsets"],
                object_offsets=arrays["object_offsets"],
            ),
            n_pixels=arrays["n_pixels"],
            probability_sum=arrays["probability_sum"],
            probability_max=arrays["probability_max"],
            last_pixel=arrays["last_pixel"],
            split_from=np.zeros_like(arrays["n_pixels"]),
        )


class Components(NamedTuple):
    """N objects before tracing: edges [E, 4], index of the object of each edge [E], sums [N]."""

    edges: Int32
    owner: Int64
    n_pixels: Int64
    probability_sum: Int64
    probability_max: NDArray[np.float32]


def select_components(components: Components, selection: NDArray[np.bool_]) -> Components:
    """The selected components, renumbered; `selection` is bool [N]."""
    is_kept = selection[components.owner]
    return Components(
        components.edges[is_kept],
        (np.cumsum(selection) - 1)[components.owner[is_kept]],
        components.n_pixels[selection],
        components.probability_sum[selection],
        components.probability_max[selection],
    )


def trace_objects(parts: Sequence[Components]) -> Objects:
    """Trace complete components; the objects are sorted by last pixel."""
    counts = [len(part.n_pixels) for part in parts]
    if not any(counts):
        return NO_OBJECTS
    firsts = np.cumsum(counts) - counts
    outlines, last_pixel = trace_outlines(
        np.concatenate([part.edges for part in parts]),
        np.concatenate([p.owner + first for p, first in zip(parts, firsts, strict=True)]),
        sum(counts),
    )
    return Objects(
        outlines=outlines,
        n_pixels=np.concatenate([part.n_pixels for part in parts]),
        probability_sum=np.concatenate([part.probability_sum for part in parts]),
        probability_max=np.concatenate([part.probability_max for part in parts]),
        last_pixel=last_pixel,
        split_from=np.zeros(sum(counts), np.int64),
    ).in_reading_order()


NO_OBJECTS = Objects(
    outlines=Outlines.concat([]),
    n_pixels=EMPTY,
    probability_sum=EMPTY,
    probability_max=np.empty(0, np.float32),
    last_pixel=np.empty((0, 2), np.int32),
    split_from=EMPTY,
)
