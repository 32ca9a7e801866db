"""The folder of a job: what a run has finished, kept beside its output until the whole is there.

::

    trucks.gpkg.job/
      manifest.json             the plan and the outputs: the same bytes, whoever makes it
      shard-00003/              a finished shard: rasters and objects of each expression, and
                                done.json written last
      shard-00004.part-HOST-PID/  one in hand; renamed when it is whole, of no worth before
      lock-00000-00016.json     who works on which shards
      merging                   outputs are being put in place, and may be replaced by this job
      stop-HOST-PID             those who compute for a process are to end

A shard counts as done if its folder bears its name, so a crash at any moment leaves it done or not
done. Nothing here depends on the order in which shards are done, nor on who does them.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
import torch

from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.files import process_name, sync, write_json
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.shards.shard_files import FinishedShard, ShardFiles, ShardStats
from rrsis_geo.version import __version__

FORMAT = 2
MANIFEST = "manifest.json"
MARKER = "done.json"
MERGING = "merging"
STOP = "stop"


def job_path(vector: Path) -> Path:
    """The folder of the job that makes a layer."""
    return vector.with_name(vector.name + ".job")


@dataclass(frozen=True, slots=True)
class Job:
    """A job that has a manifest.

    Attributes:
        folder: of the job.
        record: what the manifest says.
        key: sha256 of the manifest; shards that bear another one count as missing.
    """

    folder: Path
    record: Mapping[str, Any]
    key: str

    @staticmethod
    def begin(folder: Path, plan: Plan, outputs: Outputs) -> "Job":
        """Make the manifest of a job, or see that the one that lies there says the same.

        Several processes may begin the same job at once.

        Raises:
            ConfigError: the scene, the model or an option is another one; says which.
            OutputError: the manifest cannot be written.
        """
        record = manifest_of(plan, outputs)
        path = folder / MANIFEST
        if not path.exists():
            write_json(path, record)
        job = Job.open(folder)
        job.check(plan, outputs)
        return job

    @staticmethod
    def open(folder: Path) -> "Job":
        """A job that was begun.

        Raises:
            InputError: there is none, or it is of another release.
        """
        path = folder / MANIFEST
        try:
            text = path.read_text(encoding="utf-8")
            record = json.loads(text)
        except FileNotFoundError as err:
            raise InputError(f"{folder}: no job; there is no {MANIFEST} in it") from err
        except (OSError, ValueError) as err:
            raise InputError(f"{path}: cannot be read ({err}); start over with --restart") from err
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"{path}: of another release; start over with --restart")
        return Job(folder, record, hashlib.sha256(text.encode()).hexdigest())

    def check(self, plan: Plan, outputs: Outputs) -> None:
        """See that a plan is the one that the job was begun with.

        Raises:
            ConfigError: it is not; says what differs.
        """
        check_same_record(self.folder, self.record, manifest_of(plan, outputs))

    @property
    def shards(self) -> tuple[Shard, ...]:
        """All shards of the plan."""
        return tuple(Shard(**shard) for shard in self.record["shards"])

    def files(self, shard: Shard) -> ShardFiles:
        """What a finished shard has left."""
        return ShardFiles(self.folder / f"shard-{shard.index:05d}")

    def new_files(self, shard: Shard) -> ShardFiles:
        """An empty folder for a shard to be computed by this process.

        Raises:
            OutputError: it cannot be made.
        """
        name = f"{self.files(shard).folder.name}.part-{process_name()}"
        folder = self.folder / name
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        except OSError as err:
            raise OutputError(f"{folder}: cannot be made ({err.strerror or err})") from err
        return ShardFiles(folder)

    def commit(self, finished: FinishedShard) -> None:
        """Mark a shard as done: its marker, then its name.

        Raises:
            OutputError: the disk is full, or the folder is gone.
        """
        made, target = finished.files.folder, self.files(finished.shard).folder
        stats = [each.to_dict() for each in finished.stats]
        write_json(made / MARKER, {"job": self.key, "stats": stats})
        try:
            sync(made)
            if target.exists():  # of another process, or with failures: ours is no worse
                _remove_shard(target)
            made.rename(target)
            sync(self.folder)
        except OSError as err:
            raise OutputError(f"{target}: cannot be written ({err.strerror or err})") from err

    def stats(self, shard: Shard) -> tuple[ShardStats, ...] | None:
        """What happened in a shard, for each expression; None while it is not done."""
        try:
            text = (self.files(shard).folder / MARKER).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        marker = json.loads(text)
        if marker["job"] != self.key:
            return None
        return tuple(ShardStats.from_dict(each) for each in marker["stats"])

    def done(self) -> dict[int, tuple[ShardStats, ...]]:
        """What happened in each shard that is done, by its number."""
        found = {shard.index: self.stats(shard) for shard in self.shards}
        return {index: stats for index, stats in found.items() if stats is not None}

    def missing(self, among: Sequence[Shard] | None = None) -> list[Shard]:
        """Shards that are not done."""
        return [s for s in (self.shards if among is None else among) if self.stats(s) is None]

    def tidy(self, among: Sequence[Shard]) -> None:
        """Remove what others have left half done of some shards, and shards with failed windows.

        To be called while their lock is held.
        """
        for shard in among:
            folder = self.files(shard).folder
            for part in self.folder.glob(f"{folder.name}.part-*"):
                shutil.rmtree(part, ignore_errors=True)
            if any(each.failed for each in self.stats(shard) or ()):
                with suppress(OSError):  # it may as well stay
                    _remove_shard(folder)

    def stop_file(self) -> Path:
        """If it exists, those who compute for this process are to end after the shard in hand."""
        return self.folder / f"{STOP}-{process_name()}"

    def begin_merge(self) -> None:
        """From now on the outputs that exist are this job's, and may be replaced by it.

        Raises:
            OutputError: the marker cannot be written.
        """
        write_json(self.folder / MERGING, {})


def refuse_existing(folder: Path) -> None:
    """Refuse to begin a job where one lies.

    Raises:
        OutputError: one does.
    """
    if folder.exists():
        raise OutputError(
            f"{folder}: an earlier run was not finished; go on with it (--resume), "
            "or remove it and start over (--restart)"
        )


def is_merging(folder: Path) -> bool:
    """Whether a job has begun to put its outputs in place."""
    return (folder / MERGING).exists()


def clear_job(folder: Path) -> None:
    """Remove all that jobs keep in their folder, but for locks.

    What says that outputs may be replaced goes last, so that this too can be cut short.

    Raises:
        OutputError: it cannot be removed, or holds what no job has put there.
    """
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MERGING):
        name = path.name
        try:
            if name.startswith("shard-") and path.is_dir():
                _remove_shard(path)
            elif name.startswith((MANIFEST, MERGING, STOP)):
                path.unlink()
            elif not name.startswith("lock-"):
                raise OutputError(f"{path}: was not put there by a job; remove it yourself")
        except OSError as err:
            raise OutputError(f"{path}: cannot be removed ({err.strerror or err})") from err


def _remove_shard(folder: Path) -> None:
    """Remove a shard's folder; its marker first, so that no part of it passes for the whole."""
    (folder / MARKER).unlink(missing_ok=True)
    shutil.rmtree(folder)


def manifest_of(plan: Plan, outputs: Outputs) -> dict[str, Any]:
    """What a manifest says of a plan, as it comes back from JSON: all that decides the result."""
    record = {
        "format": FORMAT,
        "software": software_versions(),
        **plan.to_dict(),
        "outputs": {name: str(path.absolute()) for name, path in outputs.files().items()},
        "windows_layer": outputs.windows_layer,
    }
    value: dict[str, Any] = json.loads(json.dumps(record))
    return value


def software_versions() -> dict[str, str]:
    """What a result may depend on in its last bits, by name, with its release."""
    return {
        "rrsis-geo": __version__,
        "torch": str(torch.__version__),
        "gdal": rasterio.__gdal_version__,
    }


def read_outputs(record: Mapping[str, Any], *, overwrite: bool = False) -> Outputs:
    """The outputs that a manifest names."""
    paths = {name: Path(path) for name, path in record["outputs"].items()}
    return Outputs(
        **paths, overwrite=overwrite, windows_layer=bool(record.get("windows_layer", False))
    )


def check_same_record(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """See that the manifest of a job and a new one say the same.

    Raises:
        ConfigError: they do not; says what differs.
    """
    found = find_differences(old, new)
    if found:
        raise ConfigError(
            f"{folder}: was begun with something else: {'; '.join(found)}. "
            "Go on with what it was begun with, or start over with --restart"
        )


def find_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two manifests say differently, in words; the shards only if nothing else explains it."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    told = [name for name in names if not name.startswith("shards")]
    if names and not told:
        return ["the shards are cut otherwise"]
    return [f"{n} was {before.get(n, 'none')}, is {after.get(n, 'none')}" for n in told]


def _leaves(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every value, as text (which NaN too is equal in), with the dotted names above it."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, json.dumps(value)


def format_shards(shards: Iterable[Shard]) -> str:
    """The numbers of shards, from 1, as people write them: "3, 5-7"."""
    indexes = [shard.index + 1 for shard in shards]
    firsts = [i for i in indexes if i - 1 not in indexes]
    lasts = [i for i in indexes if i + 1 not in indexes]
    pairs = zip(firsts, lasts, strict=True)
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)
