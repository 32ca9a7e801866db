"""Several processes of this machine at work on one job: one a GPU, or some that share the cores."""

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from rrsis_geo.errors import DeviceError, RrsisError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.model.predictor import choose_device
from rrsis_geo.segment.jobs.compute import split, worker_context
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.processes import (
    Worker,
    free_number,
    keep_to_parent,
    ready_workers,
    start_worker,
)
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.predictor import WindowPredictor

logger = logging.getLogger(__name__)

RUNS_PER_WORKER = 4
"""Runs of shards that each worker gets, about: some hold less than others. Each run costs a row of
windows that is computed twice."""


def run_workers(
    job: Job,
    shards: Sequence[Shard],
    options: SegmentOptions,
    n_workers: int,
    *,
    predictor: WindowPredictor | None = None,
    on_progress: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute shards in processes of this machine.

    The shard in which a process dies is tried once more, by another one.

    Args:
        job: that the shards belong to.
        shards: to be computed.
        options: of the run.
        n_workers: processes, at most.
        predictor: in place of the bundle that the options name; each process gets a copy.
        on_progress: called now and then.
        stop: asked now and then.

    Raises:
        Stopped: `stop` said so.
        DeviceError: two processes died in one shard.
        RrsisError: what one of the processes raised.
    """
    waiting = deque(split(shards, RUNS_PER_WORKER * n_workers))
    deaths: Counter[int] = Counter()
    workers: list[Worker] = []
    stop_file = job.stop_file()
    try:
        while waiting or workers:
            while waiting and len(workers) < n_workers:
                number = free_number(workers, n_workers)
                own = options_of_worker(options, number, n_workers)
                arguments = job.folder, stop_file, own, predictor
                workers.append(start_worker(number, _serve, arguments, waiting.popleft()))
            for worker in ready_workers(workers):
                answer = worker.answer()
                if isinstance(answer, RrsisError):
                    raise answer
                if answer is None:
                    workers.remove(worker)
                    waiting.extendleft(_left_by(worker, job, deaths))
                elif waiting:
                    worker.hand(waiting.popleft())
                else:
                    workers.remove(worker)
                    worker.dismiss()
            on_progress()
            if stop():
                stop_file.touch()
                waiting.clear()
        if stop_file.exists():
            raise Stopped("stopped")
    finally:
        for worker in workers:
            worker.kill()
        stop_file.unlink(missing_ok=True)


def options_of_worker(options: SegmentOptions, number: int, n_workers: int) -> SegmentOptions:
    """The same options, with a device or a share of the cores for one of several workers."""
    device = choose_device(options.device)
    if device.type == "cuda" and device.index is None:
        return replace(options, device=f"cuda:{number % torch.cuda.device_count()}")
    if device.type == "cpu":
        cores = options.threads or (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        return replace(options, threads=max(1, (cores or 1) // n_workers))
    return options


Arguments = tuple[Path, Path, SegmentOptions, WindowPredictor | None]
"""Of `computer`."""


def _left_by(worker: Worker, job: Job, deaths: Counter[int]) -> list[list[int]]:
    """What a worker that died has left undone.

    Raises:
        DeviceError: it is the second one that died in the same shard.
    """
    shards = job.shards
    missing = [shard.index for shard in job.missing([shards[index] for index in worker.task])]
    if not missing:
        return []
    told = f"{worker.death()} in shard {missing[0] + 1} of {len(shards)}"
    deaths[missing[0]] += 1
    if deaths[missing[0]] > 1:
        raise DeviceError(f"{told}, {worker.death_again()}")
    logger.warning("%s; the shard is tried once more", told)
    return [missing]


def _serve(line: Connection, arguments: Arguments) -> None:
    """What a worker does all its life."""
    keep_to_parent()
    try:
        with worker_context(*arguments) as run:
            while (indexes := line.recv()) is not None:
                with suppress(Stopped):
                    run(indexes)
                line.send(True)
    except RrsisError as err:
        line.send(err)
    except EOFError:
        pass  # the first process is gone
