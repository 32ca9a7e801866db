"""Who computes the shards of a run: this process, several of this machine, or a cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.model.predictor import DTYPES, dtype_name
from rrsis_geo.progress import Progress
from rrsis_geo.segment.jobs.cluster import run_on_cluster
from rrsis_geo.segment.jobs.compute import compute, n_windows
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.prepare import EncodedPredictor, PreparedRun
from rrsis_geo.segment.jobs.workers import run_workers
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.predictor import WindowPredictor


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes about its work; the result does not depend on it.

    Attributes:
        existing: what to do about a job that lies there: "refuse" it, "resume" it (or begin one),
            or "restart", which removes it.
        keep_job: keep the job's folder when all is done.
        workers: processes of this machine.
        scheduler: address of a Dask scheduler, whose workers compute in place of this machine.
        command: that began the run, for the report.
    """

    existing: Literal["refuse", "resume", "restart"] = "refuse"
    keep_job: bool = False
    workers: int = 1
    scheduler: str | None = None
    command: str = ""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")
        if self.workers > 1 and self.scheduler is not None:
            raise ConfigError("workers and scheduler both say who computes; give one of them")

    @property
    def is_alone(self) -> bool:
        """Whether this process computes by itself."""
        return self.workers == 1 and self.scheduler is None


def run_missing_shards(
    job: Job,
    work: PreparedRun,
    shards: Sequence[Shard],
    options: SegmentOptions,
    run: RunOptions,
    predictor: WindowPredictor,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Have the missing ones among some shards computed, by whoever is to do it."""
    total = n_windows(work.plan, shards)
    missing = job.missing(shards)
    done = total - n_windows(work.plan, missing)
    progress("windows", done, total)

    def count_row() -> None:
        nonlocal done
        done += work.plan.grid.n_cols
        progress("windows", done, total)

    def count_shards() -> None:
        progress("windows", total - n_windows(work.plan, job.missing(shards)), total)

    if not missing:
        return
    if run.is_alone:
        eyes = EncodedPredictor.of(predictor, work.plan)
        compute(
            *(job, work, eyes, missing),
            batch_size=options.batch_size,
            on_window_row=count_row,
            stop=stop,
        )
        return
    own = None if predictor.facts.has_bundle else predictor
    names = {dtype_name(dtype): name for name, dtype in DTYPES.items()}
    dtype = names.get(work.plan.model.dtype, options.dtype)
    options = replace(options, dtype=dtype, model=absolute_path(options.model))
    if run.scheduler is None:
        run_workers(
            *(job, missing, options, run.workers),
            predictor=own,
            on_progress=count_shards,
            stop=stop,
        )
    else:
        run_on_cluster(
            *(job, missing, options, run.scheduler),
            predictor=own,
            on_progress=count_shards,
            stop=stop,
        )
