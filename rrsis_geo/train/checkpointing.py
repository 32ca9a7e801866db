"""The heavy parts of a network, computed twice to save memory, or compiled to save time."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rrsis_geo.nets.base import ReferringNet


def recompute_activations(net: ReferringNet) -> None:
    """Keep only the inputs of the heavy parts for the backward pass, in place.

    Gradients are the same, dropout included. Batch normalisation that is not frozen moves its
    running statistics twice a step.
    """
    for part in _heavy_parts(net):
        part.forward = _recomputed(part, part.forward)


def compile_parts(net: ReferringNet, backend: str = "inductor") -> None:
    """Let torch.compile fuse the heavy parts, in place; weights keep their names.

    Part by part: layers that are alike share their code, and what reads a length from the data
    stays outside.

    Args:
        net: the network.
        backend: of torch.compile; "aot_eager" traces like the usual one and generates no code.
    """
    for part in _heavy_parts(net):
        part.compile(backend=backend)


def _heavy_parts(net: ReferringNet) -> Iterator[nn.Module]:
    for name in net.heavy:
        yield from net.get_submodule(name).children()


def _recomputed(part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        if part.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False)
        return forward(*args)

    return run
