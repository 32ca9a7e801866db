"""What is done of several scenes: kept in a folder until all of them are.

::

    scenes.job/                 in the folder of the results; all.gpkg.job/ beside a joined layer
      manifest.json               what decides the results of every scene
      scene-tile_01.json          how far a scene is, and what was found in it
      layers/tile_01.gpkg         its polygons, where they are to be joined
      merging                     the joined layer is being put in place

A scene that is being worked on has a job of its own beside its polygons, see
`segment/jobs/job.py`. Its files count as ours, to be replaced, from the moment at which it says
here that it was begun.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.files import write_json
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.batch.tasks import LAYERS, SceneTask
from rrsis_geo.segment.jobs.job import (
    MANIFEST,
    MERGING,
    STOP,
    check_same_record,
    clear_job,
    find_differences,
    job_path,
    software_versions,
)
from rrsis_geo.segment.jobs.lock import lock_shards
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs

logger = logging.getLogger(__name__)

FORMAT = "scenes-1"
EVERYTHING = range(10**5)
"""Shards of any job."""

State = Literal["begun", "done", "gaps", "failed", "outside"]
"""How far a scene is: "gaps" has windows without a result, "failed" has no result at all, and
"outside" lies beside the area of interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """What became of one of several scenes.

    Attributes:
        scene: path, as given.
        state: how far it is.
        reason: why it failed, "" where it did not.
        report: `SegmentReport.to_dict` of its run; {} where there was none.
    """

    scene: str
    state: State
    reason: str = ""
    report: Mapping[str, Any]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing in it."""
        return self.state in ("done", "outside")

    def to_dict(self) -> dict[str, Any]:
        """What became of it, ready for JSON."""
        told = {"reason": self.reason} if self.reason else {}
        return {"scene": self.scene, "state": self.state, **told, **self.report}


@dataclass(frozen=True, slots=True)
class ScenesJob:
    """The folder of a call on several scenes.

    Attributes:
        folder: it.
        key: sha256 of the manifest; results that bear another one do not count.
    """

    folder: Path
    key: str = ""

    def begin(self, record: Mapping[str, Any]) -> "ScenesJob":
        """The same with its manifest, made now or seen to say the same.

        Raises:
            ConfigError: it was begun with something else; says what differs.
            InputError: it is damaged, or no job of several scenes.
            OutputError: it cannot be written.
        """
        path = self.folder / MANIFEST
        if not path.exists():
            write_json(path, record)
        text, found = _read(path), _parsed(path)
        if found.get("format") != FORMAT:
            raise InputError(f"{path}: of another release or kind; start over with --restart")
        check_same_record(self.folder, found, json.loads(json.dumps(record)))
        return ScenesJob(self.folder, hashlib.sha256(text.encode()).hexdigest())

    def result(self, task: SceneTask) -> SceneResult | None:
        """What was found in a scene, None where it is to be worked on.

        That is where it is not done, where something is missing in it, or where it was changed.
        """
        record = self._record(task)
        if record is None or record["state"] != "done":
            return None
        differ = find_differences(record["facts"], json.loads(json.dumps(task.facts())))
        if differ:
            logger.warning(
                "%s: was changed after it was worked on, so that is done again: %s",
                task.scene.path,
                "; ".join(differ),
            )
            return None
        return SceneResult(
            scene=task.scene.path,
            state=record["state"],
            reason=record["reason"],
            report=record["report"],
        )

    def is_done(self, task: SceneTask) -> bool:
        """Whether a scene is done, and nothing is missing in it."""
        record = self._record(task)
        return record is not None and record["state"] == "done"

    def is_begun(self, task: SceneTask) -> bool:
        """Whether the files of a scene are this job's."""
        return self._path(task).exists()

    def mark(self, task: SceneTask, result: SceneResult) -> None:
        """Keep what became of a scene.

        Raises:
            OutputError: it cannot be written.
        """
        record = {"job": self.key, "facts": task.facts(), "state": result.state}
        rest = {"reason": result.reason, "report": dict(result.report)}
        write_json(self._path(task), {**record, **rest})

    def mark_begun(self, task: SceneTask) -> None:
        """Note that files of a scene are this job's from now on.

        Raises:
            OutputError: it cannot be written.
        """
        self.mark(task, SceneResult(scene=task.scene.path, state="begun", report={}))

    def restart(self, tasks: Iterable[SceneTask]) -> None:
        """Forget what is done; the files that were made stay ours.

        Raises:
            OutputError: something cannot be removed, or a process works on a scene.
        """
        for task in tasks:
            if self.is_begun(task):
                self.mark_begun(task)
            remove_job(job_path(task.outputs.vector))
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def begin_merge(self) -> None:
        """From now on the joined layer that exists is this job's.

        Raises:
            OutputError: the marker cannot be written.
        """
        write_json(self.folder / MERGING, {})

    def clear(self) -> None:
        """Remove all that a job keeps, what says that files may be replaced last.

        Raises:
            OutputError: it cannot be removed.
        """
        try:
            layers = self.folder / LAYERS
            if layers.exists():
                shutil.rmtree(layers)
            for name in (STOP, MANIFEST, "scene-*.json", MERGING):
                for path in self.folder.glob(f"{name}*"):  # also what a killed process left of it
                    path.unlink(missing_ok=True)
        except OSError as err:
            raise OutputError(f"{self.folder}: cannot be removed ({err.strerror or err})") from err

    def _record(self, task: SceneTask) -> dict[str, Any] | None:
        if not self.is_begun(task):
            return None
        record = _parsed(self._path(task))
        return record if record["job"] == self.key else None

    def _path(self, task: SceneTask) -> Path:
        return self.folder / f"scene-{task.scene.name}.json"


def remove_job(folder: Path) -> None:
    """Remove the job of a single scene, if there is one.

    Raises:
        OutputError: a process works on it, or it holds what no job has put there.
    """
    if folder.exists():
        with lock_shards(folder, EVERYTHING):
            clear_job(folder)
        folder.rmdir()


def manifest_of(
    expressions: Iterable[str], model: ModelFacts, options: SegmentOptions, outputs: Outputs
) -> dict[str, Any]:
    """What decides the results of every scene, ready for JSON.

    The scenes are not in it: more of them change nothing in what is done.
    """
    return {
        "format": FORMAT,
        "software": software_versions(),
        "expressions": list(expressions),
        "model": {"name": model.name, "sha256": model.sha256, "dtype": model.dtype},
        "options": options.to_manifest(),
        "outputs": {kind: str(path.absolute()) for kind, path in outputs.files().items()},
        "windows_layer": outputs.windows_layer,
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror or err})") from err


def _parsed(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_read(path))
    except ValueError as err:
        raise InputError(f"{path}: cannot be read ({err}); start over with --restart") from err
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no record; start over with --restart")
    return record
