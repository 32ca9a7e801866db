"""Several processes of this machine at work on one job: one a GPU, or some that share the cores."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from rrsis_geo.errors import DeviceError, RrsisError, Stopped
from rrsis_geo.geo.windows import Shard
from rrsis_geo.pipeline.compute import computer, split
from rrsis_geo.pipeline.job import Job
from rrsis_geo.pipeline.plan import SegmentOptions, WindowPredictor
from rrsis_geo.predictor import choose_device

logger = logging.getLogger(__name__)

RUNS_PER_WORKER = 4
"""Runs of shards that each worker gets, about: some hold less than others. Each run costs a row of
windows that is computed twice."""
POLL_S = 0.25


@dataclass(slots=True)
class _Worker:
    """A process, the line to it, and the run of shards that it has in hand."""

    number: int
    process: BaseProcess
    line: Connection
    run: list[int]


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
    workers: list[_Worker] = []
    stop_file = job.stop_file()
    try:
        while waiting or workers:
            while waiting and len(workers) < n_workers:
                number = min(set(range(n_workers)) - {worker.number for worker in workers})
                own = options_of_worker(options, number, n_workers)
                arguments = job.folder, stop_file, own, predictor
                workers.append(_start(number, arguments, waiting.popleft()))
            for worker in _heard_of(workers):
                answer = _answer(worker)
                if isinstance(answer, RrsisError):
                    raise answer
                if not answer:
                    workers.remove(worker)
                    waiting.extendleft(_left_by(worker, job, deaths))
                elif waiting:
                    _hand(worker, waiting.popleft())
                else:
                    workers.remove(worker)
                    _dismiss(worker)
            on_progress()
            if stop():
                stop_file.touch()
                waiting.clear()
        if stop_file.exists():
            raise Stopped("stopped")
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
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


def _start(number: int, arguments: Arguments, run: list[int]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # CUDA and GDAL do not outlive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, arguments), name=f"worker-{number}")
    process.start()
    theirs.close()  # or its end would not be heard of
    worker = _Worker(number, process, ours, [])
    _hand(worker, run)
    return worker


def _hand(worker: _Worker, run: list[int]) -> None:
    worker.run = run
    with suppress(OSError):  # it has died: that is heard next
        worker.line.send(run)


def _heard_of(workers: Sequence[_Worker]) -> list[_Worker]:
    ready = wait([worker.line for worker in workers], timeout=POLL_S)
    return [worker for worker in workers if worker.line in ready]


def _answer(worker: _Worker) -> bool | RrsisError:
    """True: done with its run; an error that ended it; or False: it has died."""
    try:
        answer: bool | RrsisError = worker.line.recv()
    except (EOFError, OSError):
        return False
    return answer


def _dismiss(worker: _Worker) -> None:
    with suppress(OSError):
        worker.line.send(None)
    worker.process.join()


def _left_by(worker: _Worker, job: Job, deaths: Counter[int]) -> list[list[int]]:
    """What a worker that died has left undone.

    Raises:
        DeviceError: it is the second one that died in the same shard.
    """
    worker.process.join()
    shards = job.shards
    missing = [shard.index for shard in job.missing([shards[index] for index in worker.run])]
    if not missing:
        return []
    code = worker.process.exitcode or 0
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    told = f"worker {worker.number + 1} died ({how}) in shard {missing[0] + 1} of {len(shards)}"
    deaths[missing[0]] += 1
    if deaths[missing[0]] > 1:
        raise DeviceError(f"{told}, as one did before; is the memory too small for so many?")
    logger.warning("%s; the shard is tried once more", told)
    return [missing]


def _serve(line: Connection, arguments: Arguments) -> None:
    """What a worker does all its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("rrsis_geo").addHandler(logging.NullHandler())  # the first process has told
    try:
        with computer(*arguments) as run:
            while (indexes := line.recv()) is not None:
                with suppress(Stopped):
                    run(indexes)
                line.send(True)
    except RrsisError as err:
        line.send(err)
    except EOFError:
        pass  # the first process is gone


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
