"""The end of a job: one file beside its folder says that all outputs are whole.

The file appears by renaming, when everything is written. From then on the job is done, and what is
left of it is removed: its folder first, the file last. A process that is killed in between leaves
the file, from which the next run knows that the outputs belong to it, and what to report.
"""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from rrsis_geo.errors import OutputError
from rrsis_geo.files import sync, write_json
from rrsis_geo.segment.jobs.job import FINISHED, clear_job
from rrsis_geo.segment.jobs.lock import ALL_SHARDS, lock_shards
from rrsis_geo.segment.jobs.manifest import check_same_record

logger = logging.getLogger(__name__)

Report = TypeVar("Report")


def finish_job(folder: Path, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """End a job whose outputs are whole, and remove the files in its folder except the locks.

    Call `tidy_up` when its lock is released.

    Raises:
        OutputError: the end cannot be recorded.
    """
    target = _path(folder)
    write_json(folder / FINISHED, {"manifest": manifest, "report": report})
    try:
        (folder / FINISHED).replace(target)
        sync(target.parent)
    except OSError as err:
        raise OutputError(f"{target}: cannot be written ({err.strerror or err})") from err
    with suppress(OutputError):  # `tidy_up` tries again, and says so
        clear_job(folder)


def is_finished(folder: Path) -> bool:
    """Whether a job is done, but something of it may be left."""
    return _path(folder).exists()


def forget_finished(folder: Path) -> None:
    """Remove the file that says that a job is done."""
    with suppress(OSError):
        _path(folder).unlink(missing_ok=True)


def tidy_up(folder: Path) -> None:
    """Remove what is left of a job that is done. Its outputs stay.

    What cannot be removed, or is being removed by another process, stays for the next run.
    """
    if not is_finished(folder):
        return
    if folder.exists():
        try:
            with lock_shards(folder, ALL_SHARDS):
                clear_job(folder)
        except OutputError as err:
            logger.warning("the outputs are written, but the job cannot be removed: %s", err)
            return
        with suppress(OSError):
            folder.rmdir()
    forget_finished(folder)


def finished_report(
    folder: Path,
    manifest: Mapping[str, Any] | None,
    from_dict: Callable[[Mapping[str, Any]], Report],
) -> Report | None:
    """The report of a job that is done but was killed before all of it was removed.

    Args:
        folder: of the job.
        manifest: of the run that would continue the job, to be compared; None accepts any.
        from_dict: makes a report from its record.

    Returns:
        The report; None if there is none, so that the outputs have to be written again.

    Raises:
        ConfigError: the job was started with other settings.
    """
    try:
        record = json.loads(_path(folder).read_text(encoding="utf-8"))
        finished, report = record["manifest"], from_dict(record["report"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing or damaged
    if manifest is not None:
        check_same_record(folder, finished, json.loads(json.dumps(manifest)))
    return report


def _path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}-done")
