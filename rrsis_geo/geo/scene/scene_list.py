"""Several scenes by one name: a folder, a pattern, or a list in a text file."""

import glob
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.sources import is_remote, open_source

SUFFIXES = (
    *(".tif", ".tiff", ".gtif", ".gtiff", ".vrt", ".jp2", ".j2k", ".img", ".ecw", ".sid"),
    *(".ntf", ".nitf", ".bil", ".bip", ".bsq", ".kea", ".pix"),
)
"""Of the rasters in a folder. PNG and JPEG are not among them: they are mostly pictures of a scene;
a pattern that ends so, such as "tiles/*.png", takes them."""
LIST_SUFFIX = ".txt"
OWN_TAG = "plan_hash"
"""Borne by the rasters that a run writes: they are no scenes."""


class NamedScene(NamedTuple):
    """One of several scenes.

    Attributes:
        path: what is opened.
        file_name: last part of the path, such as "tile_01.tif".
        name: of what is made of it, such as "tile_01".
    """

    path: str
    file_name: str
    name: str


def find_scenes(given: str) -> tuple[NamedScene, ...] | None:
    """The scenes that a folder, a pattern or a list names; None where it names a single one.

    - A folder stands for the rasters in it, in the order of their names: files of `SUFFIXES` that
      are not hidden, not results of ours, and no VRT that is made of the others. Folders in it are
      not looked into.
    - A pattern, such as ``tiles/*.tif`` or ``2026/**/*.tif``, stands for the files that it
      matches, results of ours left out. Where it does not name their suffix, only those of
      `SUFFIXES`.
    - A text file (.txt) holds a path or an address on each line, relative ones to the current
      folder, as `gdalbuildvrt -input_file_list` reads them. Empty lines and those that begin with
      ``#`` are passed over.

    Raises:
        InputError: nothing is found, the list cannot be read, or two scenes have one name.
    """
    if is_remote(given) or given.startswith("/vsi"):
        return None
    path = Path(given)
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() == LIST_SUFFIX:
        return _listed(path)
    if glob.has_magic(given) and not path.exists():
        return _matching(given)
    return None


def name_scenes(paths: Iterable[str | Path], where: str = "") -> tuple[NamedScene, ...]:
    """Scenes with their names, in the order given.

    Args:
        paths: of rasters, or whatever else `open_scene` takes.
        where: they were found, for messages.

    Raises:
        InputError: two have one name, so that their results would replace each other.
    """
    told = f"{where}: " if where else ""
    taken: dict[str, str] = {}
    scenes = []
    for path in map(str, paths):
        file_name = _last_part(path)
        name = Path(file_name).stem
        if name.casefold() in taken:
            raise InputError(
                f"{told}{taken[name.casefold()]} and {path} are both called {name}, as their "
                "results would be; give them different names, or segment them apart"
            )
        taken[name.casefold()] = path
        scenes.append(NamedScene(path, file_name, name))
    return tuple(scenes)


def _in_folder(folder: Path) -> tuple[NamedScene, ...] | None:
    try:
        found = sorted(path for path in folder.iterdir() if _may_be_scene(path))
    except OSError as err:
        raise InputError(f"{folder}: cannot be listed ({err.strerror or err})") from err
    scenes = _without_ours(map(str, found))
    if scenes:
        return name_scenes(scenes, str(folder))
    with suppress(InputError):  # some formats are folders: Zarr, ESRI grids
        open_source(str(folder)).dataset.close()
        return None
    left = f", but {len(found)} that rrsis-geo has written" if found else ""
    raise InputError(
        f"{folder}: no raster lies in this folder{left}; rasters are known by their suffix "
        f'({" ".join(SUFFIXES)}), others by a pattern such as "{folder}/*.png"'
    )


def _matching(pattern: str) -> tuple[NamedScene, ...]:
    any_suffix = not glob.has_magic(Path(pattern).suffix) and bool(Path(pattern).suffix)
    matched = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute ones too
    fits = Path.is_file if any_suffix else _may_be_scene
    found = [path for path in matched if fits(Path(path))]
    scenes = _without_ours(found)
    if not scenes:
        left = ", but what rrsis-geo has written" if found else ""
        raise InputError(f"{pattern}: no raster matches this pattern{left}")
    return name_scenes(scenes, pattern)


def _listed(path: Path) -> tuple[NamedScene, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: cannot be read as a list of scenes ({err})") from err
    stripped = (line.strip().strip('"') for line in lines)
    scenes = [line for line in stripped if line and not line.startswith("#")]
    if not scenes:
        raise InputError(f"{path}: names no scene; write a path or an address on each line")
    return name_scenes(scenes, str(path))


def _may_be_scene(path: Path) -> bool:
    is_raster = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return is_raster and path.is_file()


def _without_ours(paths: Iterable[str]) -> list[str]:
    """Those that no run has written, and no VRT that only puts others of them together.

    What cannot be opened stays: who is to work on it will say what is wrong.
    """
    kept: list[str] = []
    made_of: dict[str, set[Path]] = {}
    for path in paths:
        kept.append(path)
        with suppress(InputError), open_source(path).dataset as dataset:
            if OWN_TAG in dataset.tags():
                kept.pop()
            elif Path(path).suffix.lower() == ".vrt":
                made_of[path] = {Path(file).resolve() for file in dataset.files}
    if not made_of:
        return kept
    others = {Path(path).resolve() for path in kept if path not in made_of}
    return [path for path in kept if not made_of.get(path, set()) & others]


def _last_part(path: str) -> str:
    """The file name in a path or an address, without what could not be in a name elsewhere."""
    place = urlsplit(path).path if "://" in path else path
    name = place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = "".join("_" if char in '<>:"|?*' or not char.isprintable() else char for char in name)
    return kept or "scene"
