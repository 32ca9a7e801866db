"""Find several scenes: in a folder, by a pattern, or in a text file."""

import glob
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.local_files import address_path, check_file, is_remote
from rrsis_geo.geo.scene.sources import open_source, read_tags

SUFFIXES = (
    *(".tif", ".tiff", ".gtif", ".gtiff", ".vrt", ".jp2", ".j2k", ".img", ".ecw", ".sid"),
    *(".ntf", ".nitf", ".bil", ".bip", ".bsq", ".kea", ".pix"),
)
"""Suffixes of rasters in a folder. PNG and JPEG are left out, because they are usually pictures of
scenes; use a pattern such as "tiles/*.png" for them."""
LIST_SUFFIX = ".txt"
OWN_TAG = "plan_hash"
"""Tag of the rasters that a run writes. They are not scenes."""


class NamedScene(NamedTuple):
    """One of several scenes.

    Attributes:
        path: path or address of the raster.
        file_name: last part of the path, such as "tile_01.tif".
        name: name of its results, such as "tile_01".
    """

    path: str
    file_name: str
    name: str


def find_scenes(given: str) -> tuple[NamedScene, ...] | None:
    """The scenes of a folder, a pattern or a list; None if ``given`` is a single scene.

    - Folder: the files in it with one of `SUFFIXES`, sorted by name. Hidden files, results of
      rrsis-geo and VRTs of other files in the folder are left out. Subfolders are not searched.
    - Pattern, such as ``tiles/*.tif`` or ``2026/**/*.tif``: the files that match, without results
      of rrsis-geo. If the pattern has no suffix, only files with one of `SUFFIXES`.
    - Text file (.txt): one path or address per line, relative to the current folder, as in
      ``gdalbuildvrt -input_file_list``. Empty lines and lines that start with ``#`` are ignored.

    Raises:
        InputError: no scene is found, the list cannot be read, or two scenes have the same name.
    """
    if is_remote(given) or given.startswith("/vsi"):
        return None
    path = Path(given)
    if path.is_dir():
        return _list_folder(path)
    if path.suffix.lower() == LIST_SUFFIX:
        return _read_list(path)
    if glob.has_magic(given) and not path.exists():
        return _match_pattern(given)
    return None


def name_scenes(paths: Iterable[str | Path], where: str = "") -> tuple[NamedScene, ...]:
    """Name each scene by its file, in the order given.

    Args:
        paths: paths or addresses of scenes, as for `open_scene`.
        where: folder, pattern or list that they come from, for messages.

    Raises:
        InputError: two scenes have the same name, so their results would overwrite each other.
    """
    prefix = f"{where}: " if where else ""
    path_of: dict[str, str] = {}
    scenes = []
    for path in map(str, paths):
        file_name = last_part(path)
        name = Path(file_name).stem
        if name.casefold() in path_of:
            raise InputError(
                f"{prefix}{path_of[name.casefold()]} and {path} are both named {name}, so their "
                "results would overwrite each other; rename one, or segment them in two runs"
            )
        path_of[name.casefold()] = path
        scenes.append(NamedScene(path, file_name, name))
    return tuple(scenes)


def _list_folder(folder: Path) -> tuple[NamedScene, ...] | None:
    try:
        candidates = sorted(path for path in folder.iterdir() if _may_be_scene(path))
    except OSError as err:
        raise InputError(f"{folder}: cannot be listed ({err.strerror or err})") from err
    scenes = _drop_own_results(map(str, candidates))
    if scenes:
        return name_scenes(scenes, str(folder))
    with suppress(InputError):  # a raster format may be a folder: Zarr, ESRI grids
        open_source(str(folder)).dataset.close()
        return None
    results = f" except {len(candidates)} results of rrsis-geo" if candidates else ""
    raise InputError(
        f"{folder}: no rasters in this folder{results}; only files with these suffixes are used: "
        f'{" ".join(SUFFIXES)}; for other files give a pattern such as "{folder}/*.png"'
    )


def _match_pattern(pattern: str) -> tuple[NamedScene, ...]:
    has_suffix = not glob.has_magic(Path(pattern).suffix) and bool(Path(pattern).suffix)
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
    is_candidate = Path.is_file if has_suffix else _may_be_scene
    candidates = [path for path in matches if is_candidate(Path(path))]
    scenes = _drop_own_results(candidates)
    if not scenes:
        results = " except results of rrsis-geo" if candidates else ""
        raise InputError(f"{pattern}: no rasters match this pattern{results}")
    return name_scenes(scenes, pattern)


def _read_list(path: Path) -> tuple[NamedScene, ...]:
    check_file(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: cannot be read as a list of scenes ({err})") from err
    stripped = (line.strip().strip('"') for line in lines)
    scenes = [line for line in stripped if line and not line.startswith("#")]
    if not scenes:
        raise InputError(f"{path}: lists no scenes; write one path or address per line")
    return name_scenes(scenes, str(path))


def _may_be_scene(path: Path) -> bool:
    is_raster = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return is_raster and path.is_file()


def _drop_own_results(paths: Iterable[str]) -> list[str]:
    """Leave out rasters written by a run, and VRTs of other files in the list.

    Files that cannot be opened are kept, so that the error is reported when they are processed.
    """
    scenes: list[str] = []
    vrt_sources: dict[str, set[Path]] = {}
    for path in paths:
        scenes.append(path)
        with suppress(InputError), open_source(path).dataset as dataset:
            if OWN_TAG in read_tags(dataset):
                scenes.pop()
            elif Path(path).suffix.lower() == ".vrt":
                vrt_sources[path] = {Path(file).resolve() for file in dataset.files}
    if not vrt_sources:
        return scenes
    others = {Path(path).resolve() for path in scenes if path not in vrt_sources}
    return [path for path in scenes if not vrt_sources.get(path, set()) & others]


def last_part(path: str) -> str:
    """File name in a path or address; characters that Windows does not allow become "_"."""
    file_path = address_path(path).partition("://")[2].partition("/")[2] if "://" in path else path
    name = file_path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    safe = "".join("_" if char in '<>:"|?*' or not char.isprintable() else char for char in name)
    return safe or "scene"
