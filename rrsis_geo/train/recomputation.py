"""Activation checkpointing: recompute activations in the backward pass to save memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rrsis_geo.nets.base import ReferringNet


def recompute_activations(net: ReferringNet) -> None:
    """Save only the inputs of ``net.checkpoint_layers`` for the backward pass, in place.

    Gradients stay the same, with dropout too. Batch normalisation that is not frozen updates its
    running statistics twice per step.
    """
    for name in net.checkpoint_layers:
        for layer in net.get_submodule(name).children():
            layer.forward = _with_recomputation(layer, layer.forward)


def _with_recomputation(layer: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        if layer.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False)
        return forward(*args)

    return run
