"""Less memory for more time: activations are computed again in the backward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rrsis_geo.nets.base import ReferringNet


def recompute_activations(net: ReferringNet) -> None:
    """Keep only the inputs of the parts that ``net.recomputed`` names, in place.

    Gradients are the same, dropout included. Batch normalisation that is not frozen moves its
    running statistics twice a step.
    """
    for name in net.recomputed:
        for part in net.get_submodule(name).children():
            part.forward = _recomputed(part, part.forward)


def _recomputed(part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        if part.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False)
        return forward(*args)

    return run
