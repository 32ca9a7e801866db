"""Start or resume the job of a run, and remove its folder when the run is complete."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rrsis_geo.errors import OutputError, RrsisError, Stopped
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import Job, clear_job
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import PreparedRun


@contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing. It is removed at the end if it is empty.

    Raises:
        OutputError: the folder cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as err:
        raise OutputError(f"{folder}: cannot be created ({err.strerror or err})") from err
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def job_session(
    folder: Path, prepared: PreparedRun, outputs: Outputs, run: RunOptions
) -> Iterator[Job]:
    """Lock the job of a run, and start or resume it.

    When the block ends, the files of the job are removed, unless windows failed or the job is to
    be kept. If the block raises, completed shards are kept and the error says so.

    Raises:
        ConfigError: the job was started with another scene, model or option.
        OutputError: another process uses the job, or the disk is too small.
    """
    with lock_shards(folder, range(len(prepared.plan.shards))):
        if run.existing == "restart":
            clear_job(folder)
        job = Job.begin(folder, prepared.plan, outputs)
        try:
            job.remove_incomplete(job.shards)
            check_space(job, prepared)
            yield job
        except BaseException as err:
            _report_completed(job, err)
            raise
        failed = [each.failed for stats in job.completed_stats().values() for each in stats]
        if not run.keep_job and not any(failed):
            clear_job(folder)


def check_space(job: Job, prepared: PreparedRun) -> None:
    """Check that the outputs and the missing shards fit on the disk.

    Raises:
        OutputError: they do not.
    """
    info = prepared.plan.scene
    missing = job.missing_shards(prepared.shards)
    job.outputs.check_space(
        info.width * info.height,
        n_missing=info.width * sum(shard.n_rows for shard in missing),
        n_expressions=len(prepared.plan.expressions),
    )


def _report_completed(job: Job, err: BaseException) -> None:
    """Remove a job without completed shards after an error; else add them to the message.

    Raises:
        RrsisError: of the class of `err`, which must be one of ours, with the longer message.
    """
    n_done = len(job.completed_stats())
    if not n_done:
        with suppress(OutputError):  # the first error is more important
            clear_job(job.folder)
    elif isinstance(err, RrsisError):
        hint = "" if isinstance(err, Stopped) else "; run again with --resume to continue"
        raise type(err)(
            f"{err}; {n_done} of {len(job.shards)} shards are saved in {job.folder}{hint}"
        ) from err
