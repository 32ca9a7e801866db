"""Train one network in several processes, one per GPU, started by torchrun."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(hours=12)
"""How long processes wait for each other. Rank 0 validates alone while the others wait."""


class World(NamedTuple):
    """The rank of this process, and the number of processes.

    Attributes:
        rank: from 0; rank 0 validates and writes files.
        size: number of processes.
        local_rank: rank among the processes of this machine, which is the index of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0


@contextmanager
def init_processes(device_type: str) -> Iterator[World]:
    """Connect the processes that torchrun started; without torchrun there is one process.

    A block inside another uses its connections: torch cannot connect the same processes twice.

    Args:
        device_type: "cuda" uses NCCL, all others use Gloo.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield World()
        return
    local_rank = dist.get_node_local_rank()
    if dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size(), local_rank)
        return
    if device_type == "cuda":
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), local_rank)
    finally:
        dist.destroy_process_group()


def synchronize_batch_norms(net: nn.Module, world: World, device: torch.device) -> None:
    """Let batch norms use the samples of all processes, in place. Frozen ones stay as they are.

    Nothing changes in a single process, or on a CPU, where torch has no such layer.
    """
    if world.size > 1 and device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)


def average_gradients(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a model so that its gradients are averaged over the processes, if there are several.

    Every trained parameter must take part in every loss; ``tests/nets/test_contract.py`` checks it.
    """
    if not dist.is_initialized():
        return model
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )


def average_over_processes(values: Tensor) -> Tensor:
    """Mean of the values of all processes, of any shape."""
    if not dist.is_initialized():
        return values
    total = values.clone()
    dist.all_reduce(total)  # sum, because Gloo has no mean
    return total / dist.get_world_size()
