"""Tensors that stay on a device: outputs of a network, and the operations of blending on them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.log_odds import to_log_odds
from rrsis_geo.model.presence import ABSENT_LOG_ODDS
from rrsis_geo.nets.base import SegOutput

WINDOW_BYTES = 256 * 2**20
"""Memory of a GPU to expect for a window of 512 px: the paper's network takes 206 MiB."""
MIRROR_AXES: Final = ((), (-1,), (-2,), (-2, -1))
"""The views of a window whose log-odds are averaged: as it is, mirrored left to right, top to
bottom, and both, which is a half turn."""
BATCH_RANGE = 16, 64
"""Smallest and largest default batch on a GPU."""


def batch_for_memory(free_bytes: int, size_px: int) -> int:
    """Windows of ``size_px`` that half of the free memory of a GPU is enough for, 16 to 64.

    A batch that is too large all the same is halved when it is predicted.
    """
    n_windows = free_bytes / 2 / (WINDOW_BYTES * (size_px / 512) ** 2)
    return min(max(int(n_windows), BATCH_RANGE[0]), BATCH_RANGE[1])


class WindowTensors(NamedTuple):
    """Output of a model for B windows, on its device.

    Attributes:
        logits: float32 [B, S, S], log-odds that a pixel is the target.
        presence: float32 [B], log-odds that the target is in the window, or None.
    """

    logits: Tensor
    presence: Tensor | None


def to_window_tensors(output: SegOutput) -> WindowTensors:
    """The output of a network in float32."""
    presence_B = None if output.presence is None else output.presence.float()
    return WindowTensors(output.logits.float(), presence_B)


def average(views: Sequence[WindowTensors]) -> WindowTensors:
    """The mean log-odds of several predictions of the same windows."""
    if len(views) == 1:
        return views[0]
    presences = [view.presence for view in views if view.presence is not None]
    return WindowTensors(
        torch.stack([view.logits for view in views]).mean(0),
        torch.stack(presences).mean(0) if presences else None,
    )


def concatenate(parts: Sequence[WindowTensors]) -> WindowTensors:
    """Join the outputs of several batches."""
    presences = [part.presence for part in parts if part.presence is not None]
    return WindowTensors(
        torch.cat([part.logits for part in parts]), torch.cat(presences) if presences else None
    )


def drop_absent(output: WindowTensors, threshold: float) -> WindowTensors:
    """The output with its presence, and no target where the presence is below a threshold.

    Args:
        output: of a network. Without a presence, the highest log-odds of a pixel takes its place.
        threshold: probability between 0 and 1.
    """
    presence_B = output.logits.amax((1, 2)) if output.presence is None else output.presence
    is_absent = (presence_B < to_log_odds(threshold))[:, None, None]
    absent = output.logits.clamp(max=float(ABSENT_LOG_ODDS))
    return WindowTensors(torch.where(is_absent, absent, output.logits), presence_B)


class DeviceArrays:
    """The operations of blending on tensors of a device, see `rrsis_geo.geo.grid.arrays`.

    On CUDA, uploads and downloads go through pinned memory, on streams of their own, so that they
    run beside the network. PyTorch reuses pinned memory when its copies are done. On other devices
    the same calls copy at once.
    """

    is_host = False

    def __init__(self, device: torch.device) -> None:
        """Create the streams of copies, if the device has streams."""
        self.device = device
        self._has_streams = device.type == "cuda"
        if self._has_streams:
            self._uploads = torch.cuda.Stream(device)
            self._downloads = torch.cuda.Stream(device)

    def default_batch(self, size_px: int) -> int | None:
        """Default number of windows in a batch; None if the device does not tell its memory."""
        if not self._has_streams:
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        return batch_for_memory(free, size_px)

    def upload(self, values: NDArray[Any]) -> Tensor:
        """Copy an array to the device."""
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self._has_streams:
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device, copy=True)

    def start_upload(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        """Start to copy an array, in any thread, beside the work that is queued already."""
        if not self._has_streams:
            tensor = self.upload(values)
            return lambda: tensor
        with torch.cuda.stream(self._uploads):
            tensor = self.upload(values)
            copied = self._uploads.record_event()

        def wait() -> Tensor:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(copied)
            tensor.record_stream(stream)  # its memory is not reused before this stream is done
            return tensor

        return wait

    def download(self, values: Tensor) -> Callable[[], NDArray[Any]]:
        """Start to copy an array from the device, after the work that is queued already."""
        if not self._has_streams:
            copy = values.cpu()
            return lambda: copy.numpy()
        self._downloads.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._downloads):
            target = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            target.copy_(values, non_blocking=True)
            copied = self._downloads.record_event()
        values.record_stream(self._downloads)

        def wait() -> NDArray[Any]:
            copied.synchronize()
            array: NDArray[Any] = target.numpy()
            return array

        return wait

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        """Zeros, float32."""
        return torch.zeros(shape, device=self.device)

    def copy(self, values: Tensor) -> Tensor:
        """A copy of an array."""
        return values.clone(memory_format=torch.contiguous_format)

    def stack(self, parts: Sequence[Tensor]) -> Tensor:
        """Stack arrays of one shape along a new first axis."""
        return torch.stack(list(parts))

    def concatenate(self, parts: Sequence[Tensor]) -> Tensor:
        """Join arrays along the first axis."""
        return torch.cat(list(parts))

    def take(self, values: Tensor, index: NDArray[np.int64], axis: int) -> Tensor:
        """The rows (axis 0) or columns (axis 1) of an index, as float32."""
        return torch.index_select(values, axis, self.upload(index)).float()

    def sigmoid(self, logits: Tensor) -> Tensor:
        """Probabilities of log-odds, float32."""
        return torch.sigmoid(logits)

    def round_to_uint8(self, values: Tensor) -> Tensor:
        """Round to the nearest integer, halves to even."""
        return values.round().to(torch.uint8)

    def max_where(self, values: Tensor, where: Tensor | None) -> Tensor:
        """The highest value, as an array without axes; only of pixels that are True in `where`."""
        return (values if where is None else values.masked_fill(~where, -torch.inf)).amax()

    def describe_windows(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Whether all values of each window [B, S, S] are finite, bool [B], and the highest one."""
        return logits.isfinite().all(-1).all(-1), logits.amax((1, 2))
