"""Where blending computes: with NumPy, or with the arrays of a device.

Blending is written once. It uses what NumPy and torch have in common (operators, slices, assignment
through a boolean mask), and `Arrays` for the few operations that they name differently. On a
device, calls only queue work. Nothing waits for the device but a `Download`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rrsis_geo import log_odds

Array = Any
"""A NumPy array, or a tensor on a device."""

Download = Callable[[], NDArray[Any]]
"""Waits for the copy of an array, and returns it as a NumPy array."""

Upload = Callable[[], Array]
"""Returns an uploaded array, ready for the work that the calling thread queues next."""


class Arrays(Protocol):
    """Operations on arrays of one kind, in one place."""

    @property
    def is_host(self) -> bool:
        """Whether these are NumPy arrays: uploads and downloads cost nothing."""

    def upload(self, values: NDArray[Any]) -> Array:
        """Copy an array to the device."""

    def start_upload(self, values: NDArray[Any]) -> Upload:
        """Start to copy an array, in any thread, beside the work that is queued already."""

    def download(self, values: Array) -> Download:
        """Start to copy an array from the device, after the work that is queued already."""

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Zeros, float32."""

    def copy(self, values: Array) -> Array:
        """A copy of an array."""

    def stack(self, parts: Sequence[Array]) -> Array:
        """Stack arrays of one shape along a new first axis."""

    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Join arrays along the first axis."""

    def take(self, values: Array, index: NDArray[np.int64], axis: int) -> Array:
        """The rows (axis 0) or columns (axis 1) of an index, as float32."""

    def sigmoid(self, logits: Array) -> Array:
        """Probabilities of log-odds, float32."""

    def round_to_uint8(self, values: Array) -> Array:
        """Round to the nearest integer, halves to even."""

    def max_where(self, values: Array, where: Array | None) -> Array:
        """The highest value, as an array without axes; only of pixels that are True in `where`."""

    def describe_windows(self, logits: Array) -> tuple[Array, Array]:
        """Whether all values of each window [B, S, S] are finite, bool [B], and the highest one."""


class HostArrays:
    """NumPy arrays."""

    is_host = True

    def upload(self, values: NDArray[Any]) -> Array:
        return values

    def start_upload(self, values: NDArray[Any]) -> Upload:
        return lambda: values

    def download(self, values: Array) -> Download:
        return lambda: values

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.float32)

    def copy(self, values: Array) -> Array:
        return values.copy()

    def stack(self, parts: Sequence[Array]) -> Array:
        return np.stack(parts)

    def concatenate(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts)

    def take(self, values: Array, index: NDArray[np.int64], axis: int) -> Array:
        return np.take(values, index, axis, mode="clip").astype(np.float32, copy=False)

    def sigmoid(self, logits: Array) -> Array:
        return log_odds.sigmoid(logits)

    def round_to_uint8(self, values: Array) -> Array:
        return np.rint(values).astype(np.uint8)

    def max_where(self, values: Array, where: Array | None) -> Array:
        if where is None:
            return values.max()
        return values.max(where=where, initial=-np.inf)

    def describe_windows(self, logits: Array) -> tuple[Array, Array]:
        return np.isfinite(logits).all(axis=(1, 2)), logits.max(axis=(1, 2))


HOST: Arrays = HostArrays()
