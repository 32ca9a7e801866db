"""One optimizer step."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from rrsis_geo.data.sample import Batch
from rrsis_geo.errors import InputError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.inputs import to_input
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.train.distributed import average_over_processes


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Mixed precision with matrix products in ``dtype``; float32 disables it."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def float32_depthwise(net: nn.Module) -> None:
    """Run depthwise convolutions in float32 under autocast, in place.

    On a CPU their backward pass is much slower in bfloat16.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _in_float32(module.forward)  # type: ignore[method-assign,assignment]


def _in_float32(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return forward(pixels.float())

    return run


@contextlib.contextmanager
def deterministic_operations(enabled: bool) -> Iterator[None]:
    """Use only operations that give the same bits in every run, for the length of the block.

    An operation that has no such version raises RuntimeError. Settings of the process are put back.
    """
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(enabled or before[0])
        cudnn.deterministic = enabled or before[1]
        cudnn.benchmark = not enabled  # all images have one size
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


class NetWithLoss(nn.Module):
    """A network and its loss in one module, as ``DistributedDataParallel`` needs it."""

    def __init__(self, net: ReferringNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, images: Tensor, tokens: TextBatch, masks: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Parts of the loss and their sum, "total"."""
        return self.net.loss(self.net(images, tokens), masks, ignored)


class LossError(InputError):
    """The loss or its gradient is not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What all steps of a run share.

    Attributes:
        optimizer: optimizer of the network's parameters.
        scaler: scales the loss of fp16; a step whose gradients overflow changes no weights.
        image: mean and std of the network's images.
        clip_norm: largest norm of the gradient; 0 does not limit it.
        dtype: data type of matrix products.
    """

    optimizer: Optimizer
    scaler: GradScaler
    image: ImageSpec
    clip_norm: float
    dtype: torch.dtype


def train_step(
    model: nn.Module, batches: Sequence[Batch], settings: StepSettings
) -> dict[str, float]:
    """Take one optimizer step on the mean loss of some batches, and return the parts of the loss.

    Args:
        model: a ``NetWithLoss``, or one wrapped by ``average_gradients``.
        batches: run one after the other; their gradients are summed.
        settings: what all steps of the run share.

    Raises:
        LossError: the loss or its gradient is not finite. The weights are unchanged, and the
            message names the samples.
    """
    optimizer, scaler = settings.optimizer, settings.scaler
    device = next(model.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    rows, names = [], list[str]()
    for number, batch in enumerate(batches, start=1):
        images = to_input(batch.images, settings.image, device)
        masks = batch.masks.to(device, non_blocking=True)
        ignored = None
        if batch.ignored is not None:
            ignored = batch.ignored.to(device, non_blocking=True)
        with _synchronized(model, number == len(batches)):
            with autocast(device, settings.dtype):
                parts = model(images, batch.tokens.to(device), masks, ignored)
            scaler.scale(parts["total"] / len(batches)).backward()
        names = list(parts)
        rows.append(torch.stack(list(parts.values())).detach().float())
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm or math.inf)
    means = average_over_processes(torch.stack(rows).mean(0))
    *losses, gradient_norm = torch.cat([means, norm[None]]).tolist()
    is_finite = math.isfinite(sum(losses)) and (scaler.is_enabled() or math.isfinite(gradient_norm))
    if not is_finite:
        raise LossError(_describe_loss_error(batches, rows, gradient_norm))
    scaler.step(optimizer)
    scaler.update()
    return dict(zip(names, losses, strict=True))


def _synchronized(
    model: nn.Module, is_last_batch: bool
) -> contextlib.AbstractContextManager[object]:
    """Exchange gradients with the other processes only after the last batch of a step."""
    if is_last_batch or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()


def _describe_loss_error(
    batches: Sequence[Batch], rows: Sequence[Tensor], gradient_norm: float
) -> str:
    bad = [b for b, row in zip(batches, rows, strict=True) if not row.isfinite().all()]
    ids = ", ".join(id_ for batch in bad or batches for id_ in batch.ids)
    if bad:
        return f"the loss is not finite on the samples {ids}"
    return f"the gradient is not finite (its norm is {gradient_norm}) on the samples {ids}"
