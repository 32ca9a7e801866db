"""Compute shards of a job, in this process or for another one."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rrsis_geo.errors import Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.prepare import check_same_model, load_predictor, reopen_run
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import Plan, PreparedRun
from rrsis_geo.segment.plan.predictor import EncodedPredictor, WindowPredictor
from rrsis_geo.segment.shards.shard import run_shards


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What another process needs to compute shards of a job.

    Attributes:
        job_folder: folder of the job.
        stop_file: if this file exists, the process stops after the current shard.
        options: model, device, dtype, batch size and threads of the process. All other options
            come from the manifest.
        predictor: used instead of the bundle that the options name.
    """

    job_folder: Path
    stop_file: Path
    options: SegmentOptions
    predictor: WindowPredictor | None = None


def compute_shards(
    job: Job,
    prepared: PreparedRun,
    predictor: EncodedPredictor,
    *,
    on_window_row: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute the shards of a run that are missing in its job, in order.

    Each shard is saved as soon as it is complete.

    Args:
        job: where the shards are saved.
        prepared: the scene, the plan and the shards.
        predictor: with the expressions of the plan.
        on_window_row: called after each row of windows.
        stop: polled after each shard. Return True to stop.

    Raises:
        Stopped: `stop` returned True.
    """
    for shards in split_consecutive(job.missing_shards(prepared.shards)):
        if stop():
            raise Stopped("stopped")
        finished_shards = run_shards(
            prepared._replace(shards=tuple(shards)),
            predictor,
            job.new_files,
            rasters=job.outputs.rasters(),
            on_window_row=on_window_row,
        )
        with closing(finished_shards):
            for finished in finished_shards:
                job.commit(finished)
                if stop():
                    raise Stopped("stopped")


@contextmanager
def worker_context(setup: WorkerSetup) -> Iterator[Callable[[Sequence[int]], None]]:
    """Open a job of another process; gives the function that computes shards by their indexes.

    Raises:
        ConfigError: the scene or the model is not the one that the job was started with.
        InputError: the scene or the job is missing.
    """
    job, options = Job.open(setup.job_folder), setup.options
    with reopen_run(job) as prepared:
        predictor = setup.predictor or _load_predictor_once(options)
        check_same_model(prepared.plan.model, predictor, setup.job_folder)
        encoded = EncodedPredictor.encode(
            predictor, prepared.plan.phrases, batch_size=options.batch_size
        )

        def compute(indexes: Sequence[int]) -> None:
            shards = tuple(prepared.plan.shards[index] for index in indexes)
            part = prepared._replace(shards=shards)
            compute_shards(job, part, encoded, stop=setup.stop_file.exists)

        yield compute


@functools.lru_cache(maxsize=1)
def _load_predictor_once(options: SegmentOptions) -> WindowPredictor:
    """Load a model once per process, for all jobs of the process."""
    return load_predictor(options)


def split_consecutive(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Split shards, in order, into runs without a gap."""
    runs: list[list[Shard]] = []
    for shard in shards:
        if runs and runs[-1][-1].index + 1 == shard.index:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return runs


def split_shards(shards: Sequence[Shard], n_runs: int) -> list[list[int]]:
    """Split shards into about ``n_runs`` runs without a gap. Returns the indexes of each run."""
    longest = max(1, -(-len(shards) // n_runs))
    return [
        [shard.index for shard in run[first : first + longest]]
        for run in split_consecutive(shards)
        for first in range(0, len(run), longest)
    ]


def count_windows(plan: Plan, shards: Sequence[Shard]) -> int:
    """Number of windows that are counted for some shards, skipped ones included."""
    return sum(len(plan.own_window_rows(shard)) for shard in shards) * plan.grid.n_cols
