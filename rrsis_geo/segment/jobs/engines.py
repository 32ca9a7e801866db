"""Compute the missing shards of a run: in this process, in several, or on a cluster."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import absolute_path
from rrsis_geo.model.names import DTYPE_NAMES
from rrsis_geo.progress import Progress
from rrsis_geo.segment.jobs.cluster import run_on_cluster
from rrsis_geo.segment.jobs.compute import WorkerSetup, compute_shards, count_windows
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.processes import refuse_to_start_again
from rrsis_geo.segment.jobs.workers import run_workers
from rrsis_geo.segment.plan.plan import Plan, PreparedRun
from rrsis_geo.segment.plan.predictor import EncodedPredictor, WindowPredictor


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run computes. The result does not depend on these options.

    Attributes:
        existing: what to do with an existing job: "refuse" it, "resume" it (or start a new one),
            or "restart", which removes it first.
        keep_job: keep the job folder after a complete run.
        workers: number of processes on this machine.
        scheduler: address of a Dask scheduler; its workers compute instead of this machine.
        command: command line of the run, for the report.
        started: `time.perf_counter` when the duration in the report begins; None is that of the
            call, which leaves out what was imported before.
    """

    existing: Literal["refuse", "resume", "restart"] = "refuse"
    keep_job: bool = False
    workers: int = 1
    scheduler: str | None = None
    command: str = ""
    started: float | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")
        if self.workers > 1 and self.scheduler is not None:
            raise ConfigError("workers and scheduler cannot be combined; give one of them")

    def check_start(self) -> None:
        """Check that workers can be started, before any work is done.

        Raises:
            ConfigError: this process is a worker that imports the script which starts workers.
        """
        if self.workers > 1:
            refuse_to_start_again()

    @property
    def is_alone(self) -> bool:
        """Whether this process computes all shards itself."""
        return self.workers == 1 and self.scheduler is None


def run_missing_shards(
    job: Job,
    prepared: PreparedRun,
    predictor: WindowPredictor,
    run: RunOptions,
    *,
    progress: Progress,
    stop: Callable[[], bool],
) -> None:
    """Compute the shards of a run that are missing in its job.

    Raises:
        Stopped: `stop` returned True.
        RrsisError: a shard cannot be computed.
    """
    plan = prepared.plan
    missing = job.missing_shards(prepared.shards)
    total = count_windows(plan, prepared.shards)
    done = total - count_windows(plan, missing)
    progress("windows", done, total)

    def count_row() -> None:
        nonlocal done
        done += plan.grid.n_cols
        progress("windows", done, total)

    def count_shards() -> None:
        left = job.missing_shards(prepared.shards)
        progress("windows", total - count_windows(plan, left), total)

    if not missing:
        return
    if run.is_alone:
        encoded = EncodedPredictor.encode(
            predictor, plan.phrases, batch_size=plan.options.batch_size
        )
        compute_shards(job, prepared, encoded, on_window_row=count_row, stop=stop)
        return
    setup = _make_worker_setup(job, plan, predictor)
    if run.scheduler is None:
        run_workers(job, missing, setup, run.workers, on_progress=count_shards, stop=stop)
    else:
        run_on_cluster(missing, setup, run.scheduler, on_progress=count_shards, stop=stop)


def _make_worker_setup(job: Job, plan: Plan, predictor: WindowPredictor) -> WorkerSetup:
    """Setup of processes that compute for this one, with the dtype that the plan was made for."""
    names = {dtype: name for name, dtype in DTYPE_NAMES.items()}
    return WorkerSetup(
        job_folder=job.folder,
        stop_file=job.stop_file(),
        options=replace(
            plan.options,
            dtype=names.get(plan.model.dtype, plan.options.dtype),
            model=absolute_path(plan.options.model),
        ),
        predictor=None if predictor.facts.has_bundle else predictor,
    )
