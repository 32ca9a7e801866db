"""The job folder of a batch: the state of every scene, saved until all scenes are done.

::

    scenes.job/                 in the folder of the results; all.gpkg.job/ beside a joined layer
      manifest.json               everything that determines the results of every scene
      scene-tile_01.json          state and result of a scene
      layers/tile_01.gpkg         its polygons, if the layers will be joined
      merging                     exists while the joined layer is written
    .scenes.job-done              all scenes are done, see `segment/jobs/ending.py`

While a scene is segmented, it has a job of its own beside its polygons, see `segment/jobs/job.py`.
Once ``scene-*.json`` exists, the files of that scene belong to this job and may be replaced.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rrsis_geo.errors import InputError
from rrsis_geo.files import write_json
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.batch.tasks import SceneTask
from rrsis_geo.segment.jobs.ending import forget_finished
from rrsis_geo.segment.jobs.job import MANIFEST, MERGING, clear_job, job_path
from rrsis_geo.segment.jobs.lock import ALL_SHARDS, lock_shards
from rrsis_geo.segment.jobs.manifest import (
    check_same_record,
    find_differences,
    output_settings,
    software_versions,
)
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs

logger = logging.getLogger(__name__)

FORMAT = "scenes-1"

State = Literal["started", "done", "gaps", "failed", "outside"]
"""State of a scene: "gaps" means that windows or pictures are missing, "failed" that the scene has
no result, and "outside" that it does not overlap the area of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """Result of one scene of a batch.

    Attributes:
        scene: path as given.
        state: "done"; "gaps" if windows or pictures are missing; "failed"; or "outside" the
            area of interest.
        reason: why the scene failed, "" otherwise.
        report: `SegmentReport.to_dict` of the run; {} without a result.
    """

    scene: str
    state: State
    reason: str = ""
    report: Mapping[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether no result is missing."""
        return self.state in ("done", "outside")

    def to_dict(self) -> dict[str, Any]:
        """The result, ready for JSON."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"scene": self.scene, "state": self.state, **reason, **self.report}

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "SceneResult":
        """The inverse of `to_dict`."""
        report = record.items() if "windows" in record else ()
        return SceneResult(
            scene=record["scene"],
            state=record["state"],
            reason=record.get("reason", ""),
            report={name: value for name, value in report if name not in ("state", "reason")},
        )


class TaskResult(NamedTuple):
    """A scene and its result."""

    task: SceneTask
    result: SceneResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What is the same for all scenes of a batch."""

    expressions: tuple[str, ...]
    model: ModelFacts
    options: SegmentOptions


@dataclass(frozen=True, slots=True)
class BatchJob:
    """The job folder of a batch.

    Attributes:
        folder: the folder.
        key: sha256 of the manifest. Results with another key are ignored.
    """

    folder: Path
    key: str = ""

    def begin(self, record: Mapping[str, Any]) -> "BatchJob":
        """Write the manifest, or check that the existing one is the same.

        Raises:
            ConfigError: the job was started with other settings; the message names them.
            InputError: the manifest is damaged, or of another release or kind of job.
            OutputError: the manifest cannot be written.
        """
        path = self.folder / MANIFEST
        if not path.exists():
            write_json(path, record)
        text, existing = _read_text(path), _read_record(path)
        if existing.get("format") != FORMAT:
            raise InputError(
                f"{path}: was written by another release or is no job of many scenes; start over "
                "with --restart"
            )
        check_same_record(self.folder, existing, json.loads(json.dumps(record)))
        return BatchJob(self.folder, hashlib.sha256(text.encode()).hexdigest())

    def load_result(self, task: SceneTask) -> SceneResult | None:
        """The saved result of a scene.

        None if the scene is not done, has gaps, or changed after it was segmented.
        """
        record = self._read_state(task)
        if record is None or record["state"] != "done":
            return None
        changes = find_differences(record["file"], json.loads(json.dumps(task.file_facts())))
        if changes:
            logger.warning(
                "%s: changed after it was segmented, so it is segmented again: %s",
                task.scene.path,
                "; ".join(changes),
            )
            return None
        return SceneResult(
            scene=task.scene.path,
            state=record["state"],
            reason=record["reason"],
            report=record["report"],
        )

    def save_result(self, task: SceneTask, result: SceneResult) -> None:
        """Save the result of a scene.

        Raises:
            OutputError: it cannot be written.
        """
        record = {
            "job": self.key,
            "file": task.file_facts(),
            "state": result.state,
            "reason": result.reason,
            "report": dict(result.report),
        }
        write_json(self._state_path(task), record)

    def mark_started(self, task: SceneTask) -> None:
        """Save that a scene is started, so that its files belong to this job.

        Raises:
            OutputError: it cannot be written.
        """
        self.save_result(task, SceneResult(scene=task.scene.path, state="started", report={}))

    def is_started(self, task: SceneTask) -> bool:
        """Whether the files of a scene belong to this job."""
        return self._state_path(task).exists()

    def is_done(self, task: SceneTask) -> bool:
        """Whether a scene is done without gaps."""
        record = self._read_state(task)
        return record is not None and record["state"] == "done"

    def restart(self, tasks: Iterable[SceneTask]) -> None:
        """Remove all results. The files of started scenes still belong to this job.

        Raises:
            OutputError: something cannot be removed, or a process is working on a scene.
        """
        for task in tasks:
            if self.is_started(task):
                self.mark_started(task)
            _remove_scene_job(job_path(task.outputs.vector))
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def reclaim(self, tasks: Iterable[SceneTask], *, has_joined_layer: bool) -> None:
        """Begin a job that was done once more. The files of all scenes belong to it.

        Raises:
            OutputError: this cannot be recorded.
        """
        for task in tasks:
            self.mark_started(task)
        if has_joined_layer:
            self.begin_merge()
        forget_finished(self.folder)

    def begin_merge(self) -> None:
        """Save that an existing joined layer belongs to this job from now on.

        Raises:
            OutputError: the marker cannot be written.
        """
        write_json(self.folder / MERGING, {})

    def _read_state(self, task: SceneTask) -> dict[str, Any] | None:
        """The saved state of a scene; None if it is missing, damaged or of another job."""
        try:
            record = json.loads(self._state_path(task).read_text(encoding="utf-8"))
            is_whole = isinstance(record["file"], dict) and isinstance(record["report"], dict)
            if record["job"] != self.key or not is_whole:
                return None
            return {name: record[name] for name in ("file", "state", "reason", "report")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _state_path(self, task: SceneTask) -> Path:
        return self.folder / f"scene-{task.scene.name}.json"


def make_manifest(settings: BatchSettings, outputs: Outputs) -> dict[str, Any]:
    """Everything that determines the results of every scene, ready for JSON.

    The list of scenes is not part of it, because scenes may be added to a job.
    """
    model = settings.model
    return {
        "format": FORMAT,
        "software": software_versions(),
        "expressions": list(settings.expressions),
        "model": {
            "name": model.name,
            "sha256": model.sha256,
            "dtype": model.dtype,
            # what is not set is left out, as in the records of earlier releases
            **({} if model.presence is None else {"presence": model.presence}),
            **model.calibration.to_record(),
            **({"tta": True} if model.tta else {}),
        },
        "options": settings.options.to_manifest(),
        "outputs": {kind: str(path.absolute()) for kind, path in outputs.files().items()},
        **output_settings(outputs),
    }


def _remove_scene_job(folder: Path) -> None:
    """Remove the job of a single scene, if there is one."""
    if folder.exists():
        with lock_shards(folder, ALL_SHARDS):
            clear_job(folder)
        with suppress(OSError):  # it contains files of others
            folder.rmdir()


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror or err})") from err


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_read_text(path))
    except ValueError as err:
        raise InputError(f"{path}: cannot be read ({err}); start over with --restart") from err
    if not isinstance(record, dict):
        raise InputError(f"{path}: is damaged; start over with --restart")
    return record
