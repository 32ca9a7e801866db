"""The folder of a job: it keeps the completed shards of a run until the outputs are written.

::

    trucks.gpkg.job/
      manifest.json             the plan and the outputs; the same bytes in every process
      shard-00003/              a completed shard: rasters and objects of each expression, and
                                done.json, written last
      shard-00004.part-HOST-PID/  an incomplete shard; renamed when it is complete
      lock-00000-00016.json     which process computes which shards
      merging                   the job has started to write outputs, and may replace them
      stop-HOST-PID             tells the workers of a process to stop
    .trucks.gpkg.job-done       the job is done, see `ending.py`

A shard is complete when its folder has its final name, so a crash never leaves half a shard that
counts. The order in which shards are computed does not matter, nor which process computes them.
A shard whose files are missing, shorter or longer than when it was completed counts as missing.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.files import process_name, sync, write_json
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.fingerprint import fingerprint
from rrsis_geo.segment.jobs.manifest import FORMAT, check_same_record, make_manifest, read_outputs
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import PreparedRun
from rrsis_geo.segment.shards.failures import merge_failed
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles, ShardStats

MANIFEST = "manifest.json"
MARKER = "done.json"
MERGING = "merging"
STOP = "stop"
FINISHED = "finished.json"

_OWN = re.compile(
    r"(manifest\.json|merging|finished\.json|scene-.+\.json|lock-\d+-\d+\.json|shard-\d{5,})"
    r"(\.part-.+)?|stop(-.+)?|layers"
)
"""Names of all files and folders of a job, of one scene or several."""


def job_path(vector: Path) -> Path:
    """The folder of the job that writes a vector file."""
    return vector.with_name(vector.name + ".job")


@dataclass(frozen=True, slots=True)
class Job:
    """A job with a manifest.

    Attributes:
        folder: of the job.
        record: content of the manifest.
        key: sha256 of the manifest; shards with another key count as missing.
        outputs: files that the run writes.
    """

    folder: Path
    record: Mapping[str, Any]
    key: str
    outputs: Outputs

    @staticmethod
    def begin(folder: Path, prepared: PreparedRun, outputs: Outputs) -> "Job":
        """Write the manifest of a job, or check the existing one.

        Several processes may begin the same job at the same time.

        Raises:
            ConfigError: the job was started with another scene, model or option.
            OutputError: the manifest cannot be written.
        """
        path = folder / MANIFEST
        if not path.exists():
            write_json(path, manifest_of(prepared, outputs))
        job = Job.open(folder)
        job.check(prepared, outputs)
        return replace(job, outputs=outputs)

    @staticmethod
    def open(folder: Path) -> "Job":
        """Open an existing job.

        Raises:
            InputError: there is no job, it is damaged, or it belongs to another release.
        """
        path = folder / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
            record = json.loads(text)
        except FileNotFoundError as err:
            raise InputError(f"{folder}: is not a job; it has no {MANIFEST}") from err
        except (OSError, ValueError) as err:
            raise InputError(f"{path}: cannot be read ({err}); start over with --restart") from err
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"{path}: was written by another release; start over with --restart")
        key = hashlib.sha256(text.encode()).hexdigest()
        with refuse_damaged(folder):
            job = Job(folder, record, key, read_outputs(record))
            has_texts = record["expressions"] and record["phrases"] and record["scene"]["path"]
            if not (job.shards and has_texts):
                raise ValueError("something is empty")
        return job

    def check(self, prepared: PreparedRun, outputs: Outputs) -> None:
        """Check that the job was started with the same scene, plan and outputs.

        Raises:
            ConfigError: it was not; the message lists the differences.
        """
        check_same_record(self.folder, self.record, manifest_of(prepared, outputs))

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards of the plan."""
        return tuple(Shard(**shard) for shard in self.record["shards"])

    def files(self, shard: Shard) -> ShardFiles:
        """Files of a completed shard."""
        return ShardFiles(self.folder / f"shard-{shard.index:05d}")

    def new_files(self, shard: Shard) -> ShardFiles:
        """Create an empty folder in which this process computes a shard.

        Raises:
            OutputError: the folder cannot be created.
        """
        name = f"{self.files(shard).folder.name}.part-{process_name()}"
        folder = self.folder / name
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        except OSError as err:
            raise OutputError(f"{folder}: cannot be created ({err.strerror or err})") from err
        return ShardFiles(folder)

    def commit(self, finished: FinishedShard) -> None:
        """Mark a shard as complete: write its marker, then rename its folder.

        Raises:
            OutputError: the disk is full, or the folder is missing.
        """
        source, target = finished.files.folder, self.files(finished.shard).folder
        stats = [each.to_dict() for each in finished.stats]
        try:
            sizes = {path.name: path.stat().st_size for path in sorted(source.iterdir())}
            write_json(source / MARKER, {"job": self.key, "stats": stats, "files": sizes})
            sync(source)
            if target.exists():  # from another process, or with failed windows
                _remove(target)
            source.rename(target)
            sync(self.folder)
        except OSError as err:
            raise OutputError(f"{target}: cannot be written ({err.strerror or err})") from err

    def stats(self, shard: Shard) -> tuple[ShardStats, ...] | None:
        """Statistics of a completed shard, one per phrase; None if it is missing."""
        folder = self.files(shard).folder
        try:
            marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            if marker["job"] != self.key or not _has_files(folder, marker["files"]):
                return None
            stats = tuple(ShardStats.from_dict(each) for each in marker["stats"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # missing or damaged
        return stats if len(stats) == len(self.record["phrases"]) else None

    def completed_stats(self) -> dict[int, tuple[ShardStats, ...]]:
        """Statistics of each completed shard, by its index."""
        found = {shard.index: self.stats(shard) for shard in self.shards}
        return {index: stats for index, stats in found.items() if stats is not None}

    def total_stats(self, n_phrases: int) -> list[ShardStats]:
        """Statistics of each phrase, summed over all completed shards."""
        totals = [ShardStats() for _ in range(n_phrases)]
        for shard_stats in self.completed_stats().values():
            for total, each in zip(totals, shard_stats, strict=True):
                total.add(each)
        for total in totals:
            total.failed = list(merge_failed(total.failed))
        return totals

    def missing_shards(self, shards: Sequence[Shard] | None = None) -> list[Shard]:
        """Shards that are not complete, of those given or of all."""
        shards = self.shards if shards is None else shards
        return [shard for shard in shards if self.stats(shard) is None]

    def remove_incomplete(self, shards: Sequence[Shard]) -> None:
        """Remove leftovers of killed processes, and shards with failed windows.

        Call it only while their lock is held.
        """
        for shard in shards:
            folder = self.files(shard).folder
            for part in self.folder.glob(f"{folder.name}.part-*"):
                shutil.rmtree(part, ignore_errors=True)
            if any(each.failed for each in self.stats(shard) or ()):
                with suppress(OSError):  # the shard can stay
                    _remove(folder)

    def stop_file(self) -> Path:
        """Path of the file that tells the workers of this process to stop."""
        return self.folder / f"{STOP}-{process_name()}"

    def begin_merge(self) -> None:
        """Record that existing outputs belong to this job, which may replace them.

        Raises:
            OutputError: the marker cannot be written.
        """
        write_json(self.folder / MERGING, {})


def manifest_of(prepared: PreparedRun, outputs: Outputs) -> dict[str, Any]:
    """The manifest of the job of a run."""
    scene, plan = prepared.scene, prepared.plan
    return make_manifest(plan, outputs, fingerprint(scene.reader.dataset, plan.scene))


def refuse_existing(folder: Path) -> None:
    """Refuse to start a new job where one exists.

    Files that belong to no job, such as those that file managers leave, do not count. Nor do locks.

    Raises:
        OutputError: a job exists.
    """
    if has_job(folder):
        raise OutputError(
            f"{folder}: an earlier run was not completed; continue it with --resume, or remove it "
            "and start over with --restart"
        )


def is_merging(folder: Path) -> bool:
    """Whether a job has started to write its outputs."""
    return (folder / MERGING).exists()


def has_job(folder: Path) -> bool:
    """Whether a folder contains something of a job besides locks."""
    return any(not path.name.startswith("lock-") for path in _own_files(folder))


def clear_job(folder: Path, *, keep_marker: bool = False) -> None:
    """Remove all files of a job except its locks. Files that belong to no job are left alone.

    The marker that lets a job replace outputs goes last, so that an interrupted removal can be
    repeated.

    Args:
        folder: of the job.
        keep_marker: keep that marker, for a job that starts over.

    Raises:
        OutputError: a file cannot be removed.
    """
    for path in sorted(_own_files(folder), key=lambda path: path.name == MERGING):
        if path.name.startswith("lock-") or (keep_marker and path.name == MERGING):
            continue
        try:
            _remove(path)
        except OSError as err:
            raise OutputError(f"{path}: cannot be removed ({err.strerror or err})") from err


@contextmanager
def refuse_damaged(folder: Path) -> Iterator[None]:
    """Refuse a manifest that lacks something, or has something else in its place.

    Raises:
        InputError: the block does not find what it needs.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise InputError(
            f"{folder / MANIFEST}: is damaged ({err}); start over with --restart"
        ) from err


def _own_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _OWN.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []  # removed by somebody else
    except OSError as err:
        raise OutputError(f"{folder}: cannot be read ({err.strerror or err})") from err


def _has_files(folder: Path, sizes: Mapping[str, int]) -> bool:
    return all((folder / name).stat().st_size == size for name, size in sizes.items())


def _remove(path: Path) -> None:
    """Remove a file or a folder. The marker of a shard goes first: without it, it is incomplete."""
    if path.is_dir() and not path.is_symlink():
        with suppress(IsADirectoryError, PermissionError):
            (path / MARKER).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def format_shards(shards: Iterable[Shard]) -> str:
    """Numbers of shards, from 1, with ranges: "3, 5-7"."""
    numbers = [shard.index + 1 for shard in shards]
    firsts = [number for number in numbers if number - 1 not in numbers]
    lasts = [number for number in numbers if number + 1 not in numbers]
    ranges = zip(firsts, lasts, strict=True)
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
