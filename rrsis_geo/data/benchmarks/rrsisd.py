"""RRSIS-D (Liu et al., "Rotated Multi-Scale Interaction Network", arXiv 2312.12470).

The layout of RMSIN is read, and common variations of it::

    ROOT/rrsisd/refs(unc).p    ROOT/rrsisd/instances.json    ROOT/images/rrsisd/JPEGImages/00001.jpg

Some images differ in size from their masks: 09976.jpg is 800 x 801, 15324.jpg is 800 x 787, and all
masks are 800 x 800. The published protocol resizes both to one square.
"""

import io
import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from rrsis_geo.data.benchmarks.records import CodedMask, ImageFile, Record, unknown_split_error
from rrsis_geo.data.coco_file import CocoFile, id_of, read_coco_file
from rrsis_geo.data.image_files import path_inside
from rrsis_geo.errors import InputError
from rrsis_geo.text.categories import RRSISD_CATEGORIES

COUNTS: Final = {"train": 12181, "val": 1740, "test": 3481}
_REFS: Final = "refs(unc).p"
_INSTANCES: Final = "instances.json"
_LIST_FOLDERS: Final = ("rrsisd", ".")
_IMAGE_FOLDERS: Final = (
    "images/rrsisd/JPEGImages",
    "JPEGImages",
    "images/JPEGImages",
    "rrsisd/JPEGImages",
    "images/rrsisd",
    "images",
)
_NAMES_WITHOUT_BLANKS: Final = {name.replace(" ", ""): name for name in RRSISD_CATEGORIES}

_BYTEARRAY: Final = pickle.BYTEARRAY8[0]
"""Makes an array of any length before it reads a byte of it."""


class _Parts(NamedTuple):
    """Locations of the parts of the dataset."""

    refs: Path
    instances: Path
    images: Path


def list_splits(root: Path) -> tuple[str, ...]:
    """List the splits that have samples: train, val, test, then others.

    Raises:
        InputError: a part of the dataset is missing or damaged.
    """
    parts = _find_parts(root)
    return _splits_of(_read_refs(parts.refs))


def read_split(root: Path, split: str) -> list[Record]:
    """Read the records of a split, one per sentence. The expression is the field "raw".

    Raises:
        ConfigError: the dataset has no such split.
        InputError: a part of the dataset is missing or damaged, or the pickle asks for code.
    """
    parts = _find_parts(root)
    refs = _read_refs(parts.refs)
    chosen = [ref for ref in refs if _is_in(ref, split)]
    if not chosen:
        raise unknown_split_error(root, split, _splits_of(refs))
    coco = read_coco_file(parts.instances)
    annotations = _annotations_by_id(coco)
    records = []
    for ref in chosen:
        where = f"{parts.refs}, ref {ref['ref_id']}"
        annotation = _look_up(annotations, ref["ann_id"], f"{where}: annotation", parts)
        image = _look_up(coco.images, ref["image_id"], f"{where}: image", parts)
        try:
            shape = (int(image["height"]), int(image["width"]))
            mask = CodedMask(
                parts.instances,
                annotation["segmentation"],
                shape,
                where=f", annotation {ref['ann_id']}",
            )
            file = ImageFile(path_inside(parts.images, image["file_name"], where))
            category = _normalize_name(coco.categories.get(id_of(ref["category_id"]) or "", ""))
            for sentence in ref["sentences"]:
                is_single = len(ref["sentences"]) == 1
                name = f"{ref['ref_id']}" if is_single else f"{ref['ref_id']}-{sentence['sent_id']}"
                records.append(Record(name, sentence["raw"].strip(), file, mask, category=category))
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise InputError(f"{where}: not an entry of RRSIS-D: {err!r}") from err
    return records


def _find_parts(root: Path) -> _Parts:
    roots = [root, root / "RRSIS-D", root / "refer" / "data"]
    if root.absolute().name == "rrsisd":
        roots.append(root.absolute().parent)
    lists = [base / folder for base in roots for folder in _LIST_FOLDERS]
    return _Parts(
        _first_existing([folder / _REFS for folder in lists]),
        _first_existing([folder / _INSTANCES for folder in lists]),
        _first_existing([base / folder for base in roots for folder in _IMAGE_FOLDERS]),
    )


def _first_existing(places: list[Path]) -> Path:
    for place in places:
        if place.exists():
            return place
    others = ", ".join(str(place) for place in places[1:])
    raise InputError(f"{places[0]}: missing part of RRSIS-D; also looked for {others}")


def _look_up(
    entries: Mapping[str, Mapping[str, Any]], id_: object, where: str, parts: _Parts
) -> Mapping[str, Any]:
    entry = entries.get(id_of(id_) or "")
    if entry is None:
        raise InputError(f"{where} {id_} is not in {parts.instances}")
    return entry


def _is_in(ref: Mapping[str, Any], split: str) -> bool:
    """Match a split as the published loaders do: "testA" belongs to "test", others are exact."""
    name: str = ref["split"]
    return "test" in name if split == "test" else name == split


def _splits_of(refs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    names = {ref["split"] for ref in refs}
    usual = [name for name in COUNTS if any(_is_in({"split": item}, name) for item in names)]
    return (*usual, *sorted(names - set(usual)))


def _annotations_by_id(coco: CocoFile) -> dict[str, Mapping[str, Any]]:
    """The annotations by their ids.

    Raises:
        InputError: two different annotations have the same id.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for entry in coco.annotations:
        id_ = id_of(entry.get("id")) if isinstance(entry, dict) else None
        if id_ is not None and found.setdefault(id_, entry) != entry:
            raise InputError(f"{coco.path}: two annotations have the id {id_}; remove one")
    return found


def _normalize_name(name: str) -> str:
    """A category as in the papers: "Expressway-Service-area" is "expressway service area"."""
    lower = name.lower()
    return _NAMES_WITHOUT_BLANKS.get(re.sub(r"[^a-z]", "", lower), lower)


class _PlainUnpickler(pickle._Unpickler):
    """Unpickler for plain containers and values. A pickle can otherwise run any code.

    The one in Python keeps what a pickle numbers in a dictionary. The one in C makes a table as
    long as the largest number, so that a few bytes can take all memory.
    """

    dispatch: ClassVar = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != _BYTEARRAY
    }

    def find_class(self, module: str, name: str) -> Any:
        raise InputError(f"asks for {module}.{name}, which is not a plain value")


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of lists, dictionaries, tuples, strings, numbers, booleans and None.

    Raises:
        InputError: the file is missing or damaged, or asks for anything else. Nothing is run.
    """
    try:
        # The format comes from RefCOCO, whose files were written by Python 2 with byte strings.
        return _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="utf-8").load()
    except InputError as err:
        raise InputError(f"{path}: {err}; not loaded, because it could run any code") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err}") from err
    except (
        pickle.UnpicklingError,
        struct.error,
        ValueError,  # includes UnicodeDecodeError
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as err:
        raise InputError(
            f"{path}: cannot be read as a pickle; the file may be damaged: {err}"
        ) from err


def _read_refs(path: Path) -> list[dict[str, Any]]:
    refs = read_plain_pickle(path)
    needed = {"ref_id", "ann_id", "image_id", "category_id", "split", "sentences"}
    if not isinstance(refs, list) or not refs:
        raise InputError(f"{path}: expected a list of refs, got {type(refs).__name__}")
    for number, ref in enumerate(refs):
        if not isinstance(ref, dict) or not needed <= ref.keys():
            raise InputError(f"{path}: entry {number} lacks one of {', '.join(sorted(needed))}")
        if not isinstance(ref["split"], str):
            raise InputError(f"{path}: entry {number} has an invalid split {ref['split']!r}")
    return refs
