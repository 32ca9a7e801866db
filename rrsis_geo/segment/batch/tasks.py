"""The scenes of a batch and their outputs, all checked before the first scene is segmented."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from rrsis_geo.errors import ConfigError, InputError, OutputError, OutsideError, RrsisError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.layers.layer_files import check_layer_path
from rrsis_geo.geo.scene.options import SceneOptions, crop_scene, open_whole
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.scene_list import NamedScene
from rrsis_geo.segment.jobs.job import job_path
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS
from rrsis_geo.segment.plan.outputs import Outputs

MAX_ERRORS_SHOWN = 5
JOB = "scenes.job"
LAYERS = "layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneTask:
    """One scene of a batch, checked.

    Attributes:
        scene: its path and names.
        info: of the part inside the area of interest; of the whole scene if `is_outside`.
        is_outside: the scene does not overlap the area of interest.
        outputs: the files of this scene.
    """

    scene: NamedScene
    info: SceneInfo
    is_outside: bool
    outputs: Outputs

    def file_facts(self) -> dict[str, Any]:
        """Facts by which a change of the scene is noticed, ready for JSON."""
        return {
            "path": absolute_path(self.scene.path),
            "size_bytes": self.info.size_bytes,
            "mtime": self.info.mtime,
        }


class BatchOutputs:
    """The outputs of a batch.

    The vector path is a folder (one file per scene) or a file (one layer for all scenes). All other
    paths are folders with one file per scene.

    Attributes:
        paths: as given.
        joins_layers: the polygons of all scenes go into one file.
        job_folder: where the state of the batch is saved until it is done.
    """

    def __init__(self, paths: Outputs) -> None:
        """Check which paths are folders.

        Raises:
            ConfigError: a creation option cannot be set.
            OutputError: a path is a file but must be a folder, an output needs one vector file per
                scene, the format cannot hold the layers that are asked for, or layers are to be
                appended.
        """
        if paths.append:
            raise OutputError(
                f"{paths.vector}: layers of many scenes cannot be appended; write another file"
            )
        self.paths = paths
        self.joins_layers = not _is_folder(paths.vector)
        self.job_folder = job_path(paths.vector) if self.joins_layers else paths.vector / JOB
        for kind, path in paths.files().items():
            if kind != "vector" and not _is_folder(path):
                raise OutputError(
                    f"{path}: there is one {kind} per scene; give a folder for them, such as "
                    f"{path.with_suffix('')}"
                )
        if self.joins_layers:
            self._refuse_kinds_of_one_scene()
            paths.check_format()
            paths.check_creation_options()

    def _refuse_kinds_of_one_scene(self) -> None:
        vector = self.paths.vector
        kinds = [kind for kind in self.paths.files() if OUTPUT_KINDS[kind].needs_vector_per_scene]
        if self.paths.windows_layer:
            kinds.insert(0, "windows layer")
        if kinds:
            raise OutputError(
                f"{vector}: the {kinds[0]} describes the polygons of one scene; give a folder for "
                f"the results, such as {vector.with_suffix('')}"
            )

    def for_scene(self, scene: NamedScene) -> Outputs:
        """The files of one scene."""
        folders = self.paths.files()
        if self.joins_layers:
            folders["vector"] = self.job_folder / LAYERS
        files: dict[str, Any] = {
            kind: folder / f"{scene.name}{OUTPUT_KINDS[kind].scene_ending}"
            for kind, folder in folders.items()
        }
        if self.joins_layers:  # what is about all scenes is done when their layers are joined
            files |= {"keep_candidates": False, "landmarks": False, "phrase_layers": True}
            files["creation_options"] = self.paths.raster_options()
        return replace(self.paths, **files)

    def folders(self) -> list[Path]:
        """All folders of the batch, parents before their children."""
        others = self.paths.files()
        vector = others.pop("vector")
        job = self.job_folder
        return [*([job, job / LAYERS] if self.joins_layers else [vector, job]), *others.values()]

    def all_files(self, expressions: Sequence[str]) -> dict[str, Path]:
        """The folders of the results by kind, and the files that all scenes share."""
        others = self.paths.files()
        if not self.joins_layers:
            return others
        joined = Outputs(others.pop("vector"))
        return {**joined.all_files(expressions), **others}

    def check_folders(self) -> None:
        """Check that all folders exist or can be created.

        Raises:
            OutputError: a parent folder is missing or not writable, or a path is a file.
        """
        for kind, path in self.paths.files().items():
            if kind == "vector" and self.joins_layers:
                continue
            parent = path if path.is_dir() else path.parent
            if path.exists() and not path.is_dir():
                raise OutputError(f"{path}: is a file, but the results need a folder")
            if not parent.is_dir():
                raise OutputError(f"{path}: the folder {parent} does not exist; create it first")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise OutputError(f"{path}: the folder {parent} is not writable")


def make_tasks(
    scenes: Sequence[NamedScene],
    outputs: BatchOutputs,
    options: SceneOptions,
    on_scene: Callable[[int], None] = lambda n_done: None,
) -> list[SceneTask]:
    """Open every scene and check that it can be segmented.

    Args:
        scenes: of the batch.
        outputs: of the batch.
        options: of every scene.
        on_scene: called with the number of scenes checked so far.

    Raises:
        ConfigError: the options do not fit any scene.
        InputError: a scene cannot be used, the area of interest overlaps none of them, or they
            are in several CRSs and must not be.
    """
    tasks, errors = [], []
    for number, scene in enumerate(scenes):
        on_scene(number)
        try:
            tasks.append(_make_task(scene, outputs.for_scene(scene), options))
        except (InputError, ConfigError) as err:
            errors.append(err)
    on_scene(len(scenes))
    if errors:
        raise _combine_errors(errors, len(scenes))
    _check_crs(tasks, outputs, options)
    if all(task.is_outside for task in tasks):
        area = "bbox" if options.aoi is None else str(options.aoi)
        raise OutsideError(f"{area}: lies outside all of the {len(scenes)} scenes")
    return tasks


def check_files(
    tasks: Sequence[SceneTask],
    outputs: BatchOutputs,
    expressions: Sequence[str],
    may_replace: Callable[[SceneTask], bool],
    *,
    may_replace_joined: bool,
    inputs: Sequence[Path] = (),
) -> None:
    """Check that all files of a batch can be written.

    Args:
        tasks: all scenes.
        outputs: of the batch.
        expressions: of the batch.
        may_replace: whether the files of a scene may be replaced because this batch wrote them.
        may_replace_joined: the same for the file that all scenes share.
        inputs: files that are read besides the scenes.

    Raises:
        OutputError: see `Outputs.check`; or two scenes have the same output.
    """
    sources = {path.resolve() for path in (*(Path(task.scene.path) for task in tasks), *inputs)}
    scene_by_path: dict[Path, str] = {}
    for task in tasks:
        own = replace(task.outputs, overwrite=task.outputs.overwrite or may_replace(task))
        own.check([], expressions)
        if not task.is_outside:
            (outputs.paths if outputs.joins_layers else own).check_crs(task.info)
        for path in own.all_files(expressions).values():
            absolute = path.resolve()
            if absolute in sources:
                raise OutputError(f"{path}: is an input of this run; choose another name")
            if absolute in scene_by_path:
                raise OutputError(
                    f"{path}: would hold the results of both {scene_by_path[absolute]} and "
                    f"{task.scene.file_name}; rename one of the scenes"
                )
            scene_by_path[absolute] = task.scene.file_name
    if outputs.joins_layers:
        for joined in outputs.paths.per_expression(expressions):
            overwrite = joined.overwrite or may_replace_joined
            if check_layer_path(joined.vector, overwrite=overwrite).resolve() in sources:
                raise OutputError(f"{joined.vector}: is an input of this run; choose another name")


def check_space(tasks: Sequence[SceneTask], n_expressions: int) -> None:
    """Check the disk space for all results and for the job of one scene.

    Raises:
        OutputError: see `Outputs.check_space`.
    """
    sizes_px = [task.info.width * task.info.height for task in tasks]
    if sizes_px:
        total_px, largest_px = sum(sizes_px), max(sizes_px)
        tasks[0].outputs.check_space(
            (total_px + largest_px) // 2, n_missing=largest_px, n_expressions=n_expressions
        )


def _make_task(scene: NamedScene, outputs: Outputs, options: SceneOptions) -> SceneTask:
    with open_whole(scene.path, options) as whole:
        info, is_outside = whole.info, False
        try:
            info = crop_scene(whole, options).info
        except OutsideError:
            is_outside = True
    return SceneTask(scene=scene, info=info, is_outside=is_outside, outputs=outputs)


def _combine_errors(errors: Sequence[RrsisError], n_scenes: int) -> RrsisError:
    """One error for all scenes that cannot be used."""
    if len(errors) == n_scenes == 1:
        return errors[0]
    kind = ConfigError if all(isinstance(err, ConfigError) for err in errors) else InputError
    shown = "; ".join(str(err) for err in errors[:MAX_ERRORS_SHOWN])
    n_more = len(errors) - MAX_ERRORS_SHOWN
    more = f"; and {n_more} more" if n_more > 0 else ""
    return kind(f"{len(errors)} of {n_scenes} scenes cannot be used: {shown}{more}")


def _check_crs(tasks: Sequence[SceneTask], outputs: BatchOutputs, options: SceneOptions) -> None:
    """Refuse scenes in several CRSs where the bbox or the joined layer needs one CRS."""
    groups = _describe_crs(tasks)
    if groups and options.bbox is not None and options.bbox_crs is None:
        raise ConfigError(
            f"the scenes are in several CRSs: {groups}. Append the CRS of the bbox to it, as in "
            "L,B,R,T,EPSG:4326"
        )
    groups = _describe_crs([task for task in tasks if not task.is_outside])
    if groups and outputs.joins_layers:
        vector = outputs.paths.vector
        raise InputError(
            f"{vector}: a layer has one CRS, but the scenes are in {groups}. Give a folder, such "
            f"as {vector.with_suffix('')}, to write one layer per scene, or reproject the scenes "
            "to one CRS with gdalwarp -t_srs"
        )


def _describe_crs(tasks: Sequence[SceneTask]) -> str:
    """The CRSs of several scenes, with an example of each; "" if all have the same."""
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
        f"{_crs_name(crs)} ({names[0]}{f' and {len(names) - 1} more' if names[1:] else ''})"
        for crs, names in groups
    )


def _crs_name(crs: CRS | None) -> str:
    if crs is None:
        return "no CRS"
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_dict().get("proj", "an unnamed CRS"))


def _is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix
