"""Steps of training and passes of scoring over batches."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from rrsis_geo.data.sample import Batch, Sample, collate
from rrsis_geo.errors import InputError
from rrsis_geo.images import ImageSpec, to_input
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.distributed import mean_over_processes


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Mixed precision in ``dtype``; float32 is no mixture."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def float32_depthwise(net: nn.Module) -> None:
    """Let depthwise convolutions run in float32 under autocast, in place.

    On processors without a GPU their bfloat16 backward pass is much the slower.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _in_float32(module.forward)  # type: ignore[method-assign,assignment]


def _in_float32(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return forward(pixels.float())

    return run


class WithLoss(nn.Module):
    """A network and its loss as one module: what several processes share is called as one."""

    def __init__(self, net: ReferringNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, tokens: TextBatch, masks: Tensor) -> dict[str, Tensor]:
        """Loss parts and their sum, "total", of a batch on the network's device."""
        return self.net.loss(self.net(images, tokens), masks)


class LossError(InputError):
    """A loss or a gradient that is no number."""


def train_step(
    model: nn.Module,
    batches: Sequence[Batch],
    optimizer: Optimizer,
    scaler: GradScaler,
    spec: ImageSpec,
    *,
    clip_norm: float,
    dtype: torch.dtype,
) -> dict[str, float]:
    """One step of gradient descent on the mean loss of some batches -> the loss parts.

    Args:
        model: a ``WithLoss``, or one that several processes share.
        batches: run one after the other, their gradients summed.
        optimizer: not stepped where an error is raised.
        scaler: keeps fp16's gradients in range; where they were not, the step changes nothing.
        spec: what the network expects of its images.
        clip_norm: of the gradient.
        dtype: of the matrix products.

    Raises:
        LossError: the loss or its gradient is no number; the message names the samples.
    """
    device = next(model.parameters()).device
    optimizer.zero_grad(set_to_none=True)
    rows, names = [], list[str]()
    for number, batch in enumerate(batches, start=1):
        images = to_input(batch.images, spec, device)
        masks = batch.masks.to(device, non_blocking=True)
        with _sharing(model, number == len(batches)):
            with autocast(device, dtype):
                parts = model(images, batch.tokens.to(device), masks)
            scaler.scale(parts["total"] / len(batches)).backward()
        names = list(parts)
        rows.append(torch.stack(list(parts.values())).detach().float())
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    means = mean_over_processes(torch.stack(rows).mean(0))
    *values, length = torch.cat([means, norm[None]]).tolist()
    if not (math.isfinite(sum(values)) and (scaler.is_enabled() or math.isfinite(length))):
        raise LossError(_what_is_wrong(batches, rows, length))
    scaler.step(optimizer)
    scaler.update()
    return dict(zip(names, values, strict=True))


def _sharing(model: nn.Module, share: bool) -> contextlib.AbstractContextManager[object]:
    """Gradients go to the other processes with the last batch of a step only."""
    if share or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()


def _what_is_wrong(batches: Sequence[Batch], rows: Sequence[Tensor], length: float) -> str:
    bad = [b for b, row in zip(batches, rows, strict=True) if not row.isfinite().all()]
    ids = ", ".join(id_ for batch in bad or batches for id_ in batch.ids)
    if bad:
        return f"the loss is no number on the samples {ids}"
    return f"the gradient is no number (its norm is {length}) after the samples {ids}"


def score_net(
    net: ReferringNet,
    samples: Iterable[Sample],
    tokenizer: Tokenizer,
    spec: ImageSpec,
    *,
    dtype: torch.dtype,
    batch_size: int = 8,
) -> Scores:
    """Scores of a network, in eval mode, on samples at their own size; a pixel is target at > 0.

    Runs of samples of one size are predicted together.
    """
    meter = ScoreMeter()
    for run in _runs(samples, batch_size):
        masks = find_masks(net, run, tokenizer, spec, dtype=dtype)
        for sample, found in zip(run, masks, strict=True):
            meter.add(found, sample.mask, kind=sample.kind, category=sample.category)
    return meter.scores()


def _runs(samples: Iterable[Sample], longest: int) -> Iterator[list[Sample]]:
    """Neighbours of one size together."""
    run: list[Sample] = []
    for sample in samples:
        if run and (len(run) == longest or run[0].mask.shape != sample.mask.shape):
            yield run
            run = []
        run.append(sample)
    if run:
        yield run


def find_masks(
    net: ReferringNet,
    samples: Sequence[Sample],
    tokenizer: Tokenizer,
    spec: ImageSpec,
    *,
    dtype: torch.dtype,
) -> NDArray[np.bool_]:
    """What a network, in eval mode, finds in samples of one size, bool [B, H, W]."""
    device = next(net.parameters()).device
    batch = collate(samples, tokenizer)
    images = to_input(batch.images, spec, device)
    was_training = net.training
    net.eval()
    with torch.inference_mode(), autocast(device, dtype):
        logits: Tensor = net(images, batch.tokens.to(device)).logits
    net.train(was_training)
    found: NDArray[np.bool_] = (logits > 0).cpu().numpy()
    return found
