"""Compute shards of a job: in this process, or in one that serves many runs of them."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rrsis_geo.errors import Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.job import Job, read_outputs
from rrsis_geo.segment.jobs.prepare import (
    EncodedPredictor,
    PreparedRun,
    check_same_model,
    load_predictor,
    reopen_run,
)
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.shards.shard import run_shards

CPU_BATCH = 4
"""Windows at once: enough to keep some cores busy, little against a network's memory."""
GPU_BATCH = 16

Compute = Callable[[Sequence[int]], None]
"""Computes the shards of these numbers, those that are done already left out."""


def compute(
    job: Job,
    work: PreparedRun,
    eyes: EncodedPredictor,
    shards: Sequence[Shard],
    *,
    batch_size: int | None = None,
    on_window_row: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute the shards that are missing, in order, each kept as soon as it is whole.

    Args:
        job: where they are kept.
        work: what they are computed from.
        eyes: what is looked with.
        shards: of the plan.
        batch_size: windows at once, None for a number that suits the device.
        on_window_row: called after each.
        stop: asked after each shard.

    Raises:
        Stopped: `stop` said so, and shards are missing or were, until now.
    """
    rasters = read_outputs(job.record).rasters()
    for run in split_consecutive(job.missing(shards)):
        if stop():
            raise Stopped("stopped")
        finished = run_shards(
            work.scene,
            work.plan,
            run,
            eyes.predictor,
            eyes.words,
            job.new_files,
            rasters=rasters,
            batch_size=batch_size or _batch_size(eyes.predictor),
            on_window_row=on_window_row,
        )
        with closing(finished):
            for shard in finished:
                job.commit(shard)
                if stop():
                    raise Stopped("stopped")


@contextmanager
def worker_context(
    folder: Path, stop_file: Path, options: SegmentOptions, predictor: WindowPredictor | None = None
) -> Iterator[Compute]:
    """A process of its own, at work on a job of another: gives what computes runs of its shards.

    Args:
        folder: of the job.
        stop_file: if it exists, this process is to end after the shard in hand.
        options: model, device, dtype, batch size and threads of this process; the rest is taken
            from the manifest.
        predictor: in place of the bundle that the options name.

    Raises:
        ConfigError: the scene or the model is another one than the job was begun with.
        InputError: the scene or the job is gone.
    """
    job = Job.open(folder)
    with reopen_run(job) as work:
        predictor = predictor or _loaded(options)
        check_same_model(work.plan.model, predictor, folder)
        eyes = EncodedPredictor.of(predictor, work.plan)

        def run(indexes: Sequence[int]) -> None:
            shards = [work.plan.shards[index] for index in indexes]
            compute(job, work, eyes, shards, batch_size=options.batch_size, stop=stop_file.exists)

        yield run


@functools.lru_cache(maxsize=1)
def _loaded(options: SegmentOptions) -> WindowPredictor:
    """Loaded once a process, whatever the number of its jobs."""
    return load_predictor(options)


def split_consecutive(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Shards in order, as runs without a gap."""
    runs: list[list[Shard]] = []
    for shard in shards:
        if runs and runs[-1][-1].index + 1 == shard.index:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return runs


def split(shards: Sequence[Shard], n_runs: int) -> list[list[int]]:
    """The numbers of shards, as about so many runs without a gap, to be computed apart."""
    longest = max(1, -(-len(shards) // n_runs))
    return [
        [shard.index for shard in run[first : first + longest]]
        for run in split_consecutive(shards)
        for first in range(0, len(run), longest)
    ]


def n_windows(plan: Plan, shards: Sequence[Shard]) -> int:
    """Windows that are counted for some shards, skipped ones included."""
    return sum(len(plan.own_window_rows(shard)) for shard in shards) * plan.grid.n_cols


def _batch_size(predictor: WindowPredictor) -> int:
    return CPU_BATCH if predictor.facts.device == "cpu" else GPU_BATCH
