"""Several processes that train one network, a GPU each, as torchrun starts them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=12)
"""How long processes wait for the first, which alone validates, before they take it for lost."""


class World(NamedTuple):
    """Which of how many processes this is.

    Attributes:
        rank: from 0; the first one writes and validates.
        size: processes in all.
        local_rank: among those of this machine, which have a GPU each.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


@contextmanager
def joined(kind: str) -> Iterator[World]:
    """The processes of this run; a process of its own where torchrun started none.

    Args:
        kind: "cuda" for GPUs (NCCL), else the CPU (Gloo).
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield World()
        return
    local_rank = dist.get_node_local_rank()
    if kind == "cuda":
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), local_rank)
    finally:
        dist.destroy_process_group()


def shared(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with its gradients averaged over the processes, where there are several.

    Every parameter that learns takes part in every loss (``tests/nets/test_contract.py``), so no
    unused ones are looked for.
    """
    if not dist.is_initialized():
        return model
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of each process's values, of any shape."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)  # Gloo sums only
    return total / dist.get_world_size()
