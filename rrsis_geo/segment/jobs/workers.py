"""Compute the shards of a job in several processes: one per GPU, or some that share the cores."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

from rrsis_geo.errors import DeviceError
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.compute import WorkerSetup, split_shards, worker_context
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.supervisor import Supervisor, TaskKind
from rrsis_geo.segment.plan.options import SegmentOptions

RUNS_PER_WORKER = 4
"""Runs of shards per worker, about. More runs share the work better, because shards differ; but
each run computes one row of windows twice."""


def run_workers(
    job: Job,
    shards: Sequence[Shard],
    setup: WorkerSetup,
    n_workers: int,
    *,
    on_progress: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute shards in processes of this machine.

    A shard in which a process dies is tried once more.

    Args:
        job: that the shards belong to.
        shards: to be computed.
        setup: of the processes; each gets its own device or its share of the cores.
        n_workers: maximum number of processes.
        on_progress: called several times a second.
        stop: polled as often. Return True to stop after the current shards.

    Raises:
        Stopped: `stop` returned True.
        DeviceError: two processes died in the same shard.
        RrsisError: an error of a process.
    """

    def make_setup(number: int) -> WorkerSetup:
        return replace(setup, options=options_of_worker(setup.options, number, n_workers))

    def unfinished(indexes: list[int]) -> list[int] | None:
        missing = job.missing_shards([job.shards[index] for index in indexes])
        return [shard.index for shard in missing] or None

    kind: TaskKind[list[int]] = TaskKind(
        open_handler=worker_context,
        make_setup=make_setup,
        describe=lambda indexes: f"shard {indexes[0] + 1} of {len(job.shards)}",
        unfinished=unfinished,
    )
    supervisor = Supervisor(kind, n_workers, setup.stop_file)
    runs = split_shards(shards, RUNS_PER_WORKER * n_workers)
    with closing(supervisor.run(runs, on_poll=on_progress, stop=stop)) as results:
        for _, result in results:
            if isinstance(result, DeviceError):
                raise result


def options_of_worker(options: SegmentOptions, number: int, n_workers: int) -> SegmentOptions:
    """The options, with the device or the share of the cores of one of several workers."""
    import torch

    from rrsis_geo.model.predictor import choose_device

    device = choose_device(options.device)
    if device.type == "cuda" and device.index is None:
        return replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    if device.type == "cpu":
        n_cores = options.threads or _count_cores()
        return replace(options, threads=max(1, n_cores // n_workers))
    return options


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
