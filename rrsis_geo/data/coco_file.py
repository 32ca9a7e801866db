"""COCO files: their images, annotations and categories, matched by their ids."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rrsis_geo.errors import InputError

_PARTS: Final = ("images", "annotations", "categories")


@dataclass(frozen=True, slots=True)
class CocoFile:
    """The content of a COCO file. Ids are text, because some programs write numbers as text.

    Attributes:
        path: the file.
        images: id -> image.
        annotations: the annotations; damaged ones can be of any type.
        categories: id -> name.
    """

    path: Path
    images: dict[str, Mapping[str, Any]]
    annotations: list[Any]
    categories: dict[str, str]


def read_coco_file(path: Path) -> CocoFile:
    """Read a COCO file. Image files are not opened, and annotations are not checked.

    Raises:
        InputError: the file is missing or is not a COCO file, or an id means two images or two
            categories.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        content = {}
    for part in _PARTS:
        if not isinstance(content.get(part), list):
            raise InputError(
                f'{path}: not a COCO instances file: it has no list "{part}"; it needs '
                "images, annotations and categories"
            )
    images = _by_id(path, content["images"], "image", "file_name")
    categories = _by_id(path, content["categories"], "category", "name")
    return CocoFile(
        path,
        images,
        content["annotations"],
        {id_: str(entry["name"]) for id_, entry in categories.items()},
    )


def id_of(value: object) -> str | None:
    """An id as text. 7, 7.0 and "7" are the same id. None if the value cannot be an id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_id = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value) if is_id else None


def is_true(value: object) -> bool:
    """Whether a flag is set. Some programs write it as text."""
    return value not in (None, 0, "", "0", "false", "False")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: the file cannot be read or is not JSON.
    """
    try:
        # From bytes, json finds out which UTF it is, with or without a byte order mark.
        return json.loads(path.read_bytes())
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, RecursionError) as err:
        raise InputError(f"{path}: not JSON: {err}") from err


def _by_id(
    path: Path, entries: Iterable[Any], what: str, name: str
) -> dict[str, Mapping[str, Any]]:
    """The images or categories by their id. The same one may be listed twice.

    Raises:
        InputError: an entry has no id or no name, or two have the same id and different names.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(entries, 1):
        id_ = id_of(entry.get("id")) if isinstance(entry, dict) else None
        if id_ is None or not isinstance(entry.get(name), str | int):
            raise InputError(
                f'{path}: {what} number {number} of the list needs an "id" and a "{name}"'
            )
        first = found.setdefault(id_, entry)
        if first[name] != entry[name]:
            raise InputError(
                f"{path}: {first[name]} and {entry[name]} have the same {what} id {id_}, so their "
                "labels cannot be told apart; give each its own id (files that are joined must be "
                "renumbered)"
            )
    return found
