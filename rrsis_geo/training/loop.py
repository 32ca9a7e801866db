"""Steps of training and passes of scoring over batches."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rrsis_geo.data.sample import Batch, Sample, collate
from rrsis_geo.errors import InputError
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


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


def train_step(
    net: ReferringNet,
    batch: Batch,
    optimizer: Optimizer,
    schedule: LRScheduler,
    *,
    clip_norm: float,
    dtype: torch.dtype,
) -> dict[str, float]:
    """One step of gradient descent -> the loss parts.

    Raises:
        InputError: the loss is no number; the message names the samples.
    """
    device = next(net.parameters()).device
    images = batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)
    masks = batch.masks.to(device, non_blocking=True)
    with autocast(device, dtype):
        parts = net.loss(net(images, batch.tokens.to(device)), masks)
    values = dict(zip(parts, torch.stack(list(parts.values())).detach().tolist(), strict=True))
    if not math.isfinite(values["total"]):
        raise InputError(f"the loss is {values} on the samples {', '.join(batch.ids)}")
    optimizer.zero_grad(set_to_none=True)
    parts["total"].backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
    optimizer.step()
    schedule.step()
    return values


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
    meter, run = ScoreMeter(), list[Sample]()
    was_training = net.training
    net.eval()
    for sample in samples:
        if run and (len(run) == batch_size or run[0].mask.shape != sample.mask.shape):
            _score_run(net, run, tokenizer, spec, dtype, meter)
            run = []
        run.append(sample)
    if run:
        _score_run(net, run, tokenizer, spec, dtype, meter)
    net.train(was_training)
    return meter.scores()


def _score_run(
    net: ReferringNet,
    samples: Sequence[Sample],
    tokenizer: Tokenizer,
    spec: ImageSpec,
    dtype: torch.dtype,
    meter: ScoreMeter,
) -> None:
    device = next(net.parameters()).device
    batch = collate(samples, tokenizer, spec)
    images = batch.images.to(device, memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device, dtype):
        logits: Tensor = net(images, batch.tokens.to(device)).logits
    for sample, found in zip(samples, (logits > 0).cpu().numpy(), strict=True):
        meter.add(found, sample.mask, kind=sample.kind, category=sample.category)
