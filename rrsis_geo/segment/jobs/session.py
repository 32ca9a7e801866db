"""Start or resume the job of a run."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rrsis_geo.errors import InputError, OutputError, RrsisError, Stopped
from rrsis_geo.segment.jobs.ending import forget_finished, is_finished
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import Job, clear_job, is_merging, job_path
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

    If the block raises, completed shards are kept and the error says so. See `ending.py` for the
    end of a job.

    Raises:
        ConfigError: the job was started with another scene, model or option.
        OutputError: another process uses the job, or the disk is too small.
    """
    with lock_shards(folder, range(len(prepared.plan.shards))):
        had_outputs = is_merging(folder) or is_finished(folder)
        if run.existing == "restart":
            clear_job(folder, keep_marker=True)
        job = Job.begin(folder, prepared, outputs)
        if had_outputs:  # which belong to this job, also if this run is killed
            job.begin_merge()
            forget_finished(folder)
        try:
            job.remove_incomplete(job.shards)
            check_space(job, prepared)
            yield job
        except BaseException as err:
            _report_completed(job, err)
            raise


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
        n_expressions=len(prepared.plan.phrases),
    )


def outputs_of_merge(job: Job, *, overwrite: bool) -> Outputs:
    """The outputs in the manifest of a job. Those that it has started to write may be replaced.

    A manifest may come from somebody else and name any file. So the job must lie beside its
    polygons, and files in other folders are only replaced if the user says so.

    Raises:
        InputError: the job lies elsewhere.
        OutputError: such a file exists.
    """
    vector, place = job.outputs.vector, job.folder.resolve().parent
    if job_path(vector).resolve() != job.folder.resolve():
        raise InputError(
            f"{job.folder}: this job belongs beside {vector}; move it back, or run segment again"
        )
    if overwrite or not is_merging(job.folder):
        return replace(job.outputs, overwrite=overwrite)
    for path in job.outputs.all_files(job.record["expressions"]).values():
        if path.exists() and path.resolve().parent != place:
            raise OutputError(
                f"{path}: exists already, and lies in another folder than the job; if it may be "
                "replaced, merge with --overwrite"
            )
    return replace(job.outputs, overwrite=True)


def _report_completed(job: Job, err: BaseException) -> None:
    """Remove a job without completed shards and outputs after an error; else tell of them.

    Raises:
        RrsisError: of the class of `err`, which must be one of ours, with the longer message.
    """
    n_done = len(job.completed_stats())
    if not n_done and not is_merging(job.folder):
        with suppress(OutputError):  # the first error is more important
            clear_job(job.folder)
    elif isinstance(err, RrsisError):
        hint = "" if isinstance(err, Stopped) else "; run again with --resume to continue"
        raise type(err)(
            f"{err}; {n_done} of {len(job.shards)} shards are saved in {job.folder}{hint}"
        ) from err
