"""The scenes of one call: all are looked at, and refused, before the first is worked on."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from rrsis_geo.errors import ConfigError, InputError, OutputError, OutsideError, RrsisError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.layers.vector_io import check_layer_path
from rrsis_geo.geo.scene.options import crop_scene, open_whole
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.scene_list import NamedScene
from rrsis_geo.segment.jobs.job import job_path
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS
from rrsis_geo.segment.plan.outputs import Outputs

TOLD = 5
"""Scenes that an error names, at most."""
JOB = "scenes.job"
LAYERS = "layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneTask:
    """One of several scenes, found fit to be worked on.

    Attributes:
        scene: its names.
        info: of the part that is worked on.
        is_outside: the area of interest lies beside it, so that there is no such part; the info is
            then that of the whole scene.
        outputs: its own files.
    """

    scene: NamedScene
    info: SceneInfo
    is_outside: bool
    outputs: Outputs

    def facts(self) -> dict[str, Any]:
        """By what the scene is known again; ready for JSON."""
        return {
            "path": absolute_path(self.scene.path),
            "size_bytes": self.info.size_bytes,
            "mtime": self.info.mtime,
        }


class ScenesOutputs:
    """Where the results of several scenes go.

    Polygons go to a file each in a folder, or, where a file is named, into one that all share. All
    other results have a file a scene, in folders.

    Attributes:
        given: as the user named them.
        joined: whether all polygons go into one file.
        job: folder that keeps what is done until all is.
    """

    def __init__(self, given: Outputs) -> None:
        """For what was named.

        Raises:
            OutputError: a file where a folder is needed, or the other way round.
        """
        self.given = given
        self.joined = not _is_folder(given.vector)
        vector = given.vector
        self.job = job_path(vector) if self.joined else vector / JOB
        for kind, path in given.files().items():
            if kind != "vector" and not _is_folder(path):
                raise OutputError(
                    f"{path}: each of several scenes has a {kind} of its own; name a folder for "
                    f"them, such as {path.with_suffix('')}"
                )
        if self.joined:
            self._refuse_kinds_of_one_scene()

    def _refuse_kinds_of_one_scene(self) -> None:
        vector = self.given.vector
        kinds = [kind for kind in self.given.files() if OUTPUT_KINDS[kind].needs_vector_per_scene]
        if self.given.windows_layer:
            kinds.insert(0, "windows layer")
        if kinds:
            raise OutputError(
                f"{vector}: the {kinds[0]} describes the polygons of one scene; give a folder for "
                f"the results, such as {vector.with_suffix('')}"
            )

    def of(self, scene: NamedScene) -> Outputs:
        """The files of one scene."""
        folders = self.given.files()
        if self.joined:
            folders["vector"] = self.job / LAYERS
        paths: dict[str, Any] = {
            kind: folder / f"{scene.name}{OUTPUT_KINDS[kind].scene_ending}"
            for kind, folder in folders.items()
        }
        return replace(self.given, **paths)

    def folders(self) -> list[Path]:
        """Folders that are to be made where they do not exist, each above what it holds."""
        files = self.given.files()
        vector = files.pop("vector")
        own = [self.job, self.job / LAYERS] if self.joined else [vector, self.job]
        return [*own, *files.values()]

    def all_files(self, expressions: Sequence[str]) -> dict[str, Path]:
        """The folders of the results by kind; and the files that all scenes share."""
        folders = self.given.files()
        if not self.joined:
            return folders
        own = Outputs(folders.pop("vector"))
        return {**own.all_files(expressions), **folders}

    def check(self) -> None:
        """Refuse places that nothing could be written to.

        Raises:
            OutputError: the folder above is missing or not writable, or a file is in the way.
        """
        for kind, path in self.given.files().items():
            if kind == "vector" and self.joined:
                continue
            parent = path if path.is_dir() else path.parent
            if path.exists() and not path.is_dir():
                raise OutputError(f"{path}: a file lies where a folder is to be")
            if not parent.is_dir():
                raise OutputError(f"{path}: the folder {parent} does not exist; create it first")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise OutputError(f"{path}: the folder {parent} is not writable")


def find_tasks(
    scenes: Sequence[NamedScene],
    outputs: ScenesOutputs,
    options: SegmentOptions,
    on_scene: Callable[[int], None] = lambda done: None,
) -> list[SceneTask]:
    """Open every scene, and see that all can be worked on.

    Args:
        scenes: with their names.
        outputs: of all.
        options: of the run.
        on_scene: called with the number of scenes that were looked at.

    Raises:
        ConfigError: options that do not fit a scene.
        InputError: a scene cannot be used, the area of interest lies beside all of them, or they
            are in several CRSs where they must not be.
    """
    tasks, troubles = [], []
    for number, scene in enumerate(scenes):
        on_scene(number)
        try:
            tasks.append(_looked_at(scene, outputs.of(scene), options))
        except (InputError, ConfigError) as err:
            troubles.append(err)
    on_scene(len(scenes))
    if troubles:
        raise _of_all(troubles, len(scenes))
    _check_crs(tasks, outputs, options)
    if all(task.is_outside for task in tasks):
        area = "bbox" if options.scene.aoi is None else str(options.scene.aoi)
        raise OutsideError(f"{area}: lies outside all of the {len(scenes)} scenes")
    return tasks


def check_files(
    tasks: Iterable[SceneTask],
    outputs: ScenesOutputs,
    expressions: Sequence[str],
    is_ours: Callable[[SceneTask], bool],
    *,
    may_replace: bool,
) -> None:
    """Refuse what could not be written in the end.

    Args:
        tasks: all scenes.
        outputs: of all.
        expressions: of the run.
        is_ours: whether the files of a scene may be replaced, because this job has made them.
        may_replace: the same, of the file that all share.

    Raises:
        OutputError: see `Outputs.check`; or two results would be one file.
    """
    tasks = list(tasks)
    sources = {Path(task.scene.path).resolve(): task for task in tasks}
    taken: dict[Path, str] = {}
    for task in tasks:
        own = task.outputs
        own = replace(own, overwrite=own.overwrite or is_ours(task))
        own.check([], expressions)
        for path in own.all_files(expressions).values():
            place = path.resolve()
            if place in sources:
                raise OutputError(f"{path}: is an input of this run; give another name")
            if place in taken:
                raise OutputError(
                    f"{path}: is to hold results of both {taken[place]} and {task.scene.file_name}"
                )
            taken[place] = task.scene.file_name
    if outputs.joined:
        for own in outputs.given.per_expression(expressions):
            overwrite = own.overwrite or may_replace
            if check_layer_path(own.vector, overwrite=overwrite).resolve() in sources:
                raise OutputError(f"{own.vector}: is an input of this run; give another name")


def _looked_at(scene: NamedScene, outputs: Outputs, options: SegmentOptions) -> SceneTask:
    with open_whole(scene.path, options.scene) as whole:
        info, is_outside = whole.info, False
        try:
            info = crop_scene(whole, options.scene).info
        except OutsideError:
            is_outside = True
    return SceneTask(scene=scene, info=info, is_outside=is_outside, outputs=outputs)


def _of_all(troubles: Sequence[RrsisError], n_scenes: int) -> RrsisError:
    """One error for all that is wrong."""
    if len(troubles) == n_scenes == 1:
        return troubles[0]
    kind = ConfigError if all(isinstance(err, ConfigError) for err in troubles) else InputError
    more = f"; and {len(troubles) - TOLD} more" if len(troubles) > TOLD else ""
    told = "; ".join(str(err) for err in troubles[:TOLD])
    return kind(f"{len(troubles)} of {n_scenes} scenes cannot be used: {told}{more}")


def _check_crs(tasks: Sequence[SceneTask], outputs: ScenesOutputs, options: SegmentOptions) -> None:
    """Refuse scenes of several CRSs where one number must mean one place."""
    told = _several_crs(tasks)
    if told and options.scene.bbox is not None and options.scene.bbox_crs is None:
        raise ConfigError(
            "the bbox does not say which CRS it is in, and the scenes are in several; append it, "
            f"as in L,B,R,T,EPSG:4326. They are in {told}"
        )
    told = _several_crs([task for task in tasks if not task.is_outside])
    if told and outputs.joined:
        vector = outputs.given.vector
        raise InputError(
            f"{vector}: a layer has one CRS, and the scenes are in {told}. Name a folder, such as "
            f"{vector.with_suffix('')}, for a layer of each scene, or bring the scenes into one "
            "CRS with gdalwarp -t_srs"
        )


def _several_crs(tasks: Sequence[SceneTask]) -> str:
    """In which CRSs scenes are, with an example of each; "" where it is one."""
    groups: list[tuple[CRS | None, list[str]]] = []
    for task in tasks:
        for crs, names in groups:
            if crs == task.info.crs:
                names.append(task.scene.file_name)
                break
        else:
            groups.append((task.info.crs, [task.scene.file_name]))
    if len(groups) < 2:
        return ""
    return ", ".join(
        f"{_name(crs)} ({names[0]}{f' and {len(names) - 1} more' if names[1:] else ''})"
        for crs, names in groups
    )


def _name(crs: CRS | None) -> str:
    if crs is None:
        return "no CRS"
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_dict().get("proj", "an unnamed one"))


def _is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix
