"""Begin the job of a run or go on with it, and decide in the end whether its folder stays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rrsis_geo.errors import OutputError, RrsisError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import Job, clear_job
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.jobs.prepare import PreparedRun
from rrsis_geo.segment.plan.outputs import Outputs


@contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """A folder, which is removed again if it is empty in the end."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as err:
        raise OutputError(f"{folder}: cannot be made ({err.strerror or err})") from err
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def job_session(
    folder: Path, work: PreparedRun, outputs: Outputs, run: RunOptions
) -> Iterator[Job]:
    """The job of a whole run, begun or gone on with; removed when it has served."""
    everything = range(len(work.plan.shards))
    with lock_shards(folder, everything):
        if run.existing == "restart":
            clear_job(folder)
        job = Job.begin(folder, work.plan, outputs)
        try:
            job.tidy(job.shards)
            check_space(job, work, outputs, job.shards)
            yield job
        except BaseException as err:
            done = len(job.done())
            if not done:
                with suppress(OutputError):  # the other error is the one to tell
                    clear_job(folder)
                raise
            if isinstance(err, RrsisError):
                hint = "" if isinstance(err, Stopped) else ", to go on with by --resume"
                raise type(err)(
                    f"{err}; {done} of {len(job.shards)} shards are kept in {folder}{hint}"
                ) from err
            raise
        failed = [each.failed for stats in job.done().values() for each in stats]
        if not run.keep_job and not any(failed):
            clear_job(folder)


def check_space(job: Job, work: PreparedRun, outputs: Outputs, shards: Sequence[Shard]) -> None:
    info = work.plan.scene
    n_missing = info.width * sum(shard.n_rows for shard in job.missing(shards))
    outputs.check_space(
        info.width * info.height,
        n_missing=n_missing,
        n_expressions=len(work.plan.expressions),
    )
