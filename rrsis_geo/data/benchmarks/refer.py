"""Datasets in the layout of RefCOCO: refs, and COCO instances that they name.

A ref is an image, annotations and sentences about them. RRSIS-D, NWPU-Refer and gRefCOCO have this
layout; they differ in the names of files and in what a ref may say (:class:`ReferLayout`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from rrsis_geo.data.benchmarks.plain_pickle import read_plain_pickle
from rrsis_geo.data.benchmarks.records import (
    CodedMask,
    ImageFile,
    MaskRef,
    Record,
    unknown_split_error,
)
from rrsis_geo.data.coco_file import CocoFile, id_of, read_coco_file, read_json
from rrsis_geo.data.image_files import FileFinder
from rrsis_geo.errors import InputError

USUAL_SPLITS: Final = ("train", "val", "test")
_NEEDED: Final = frozenset({"ref_id", "ann_id", "image_id", "category_id", "split", "sentences"})
_NO_ANNOTATION: Final = (None, "-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferLayout:
    """What the datasets differ in.

    Attributes:
        name: name of the dataset, for messages.
        refs: paths of the list of refs below the root, a pickle (.p) or JSON; the first that exists
            is read.
        instances: the same for the COCO file.
        images: the same for the folder of images.
        text: fields of a sentence; the first that it has is the expression.
        find_roots: folders that the paths start at, from the folder of the user.
        name_category: name of a category in the file -> its name in the papers.
        joins_refs: refs of one split with the same image and the same expression are one sample
            with several targets.
        skips_other_languages: leave out sentences that are not ASCII, if others are.
    """

    name: str
    refs: tuple[str, ...]
    instances: tuple[str, ...]
    images: tuple[str, ...]
    text: tuple[str, ...]
    find_roots: Callable[[Path], list[Path]]
    name_category: Callable[[str], str] = str.lower
    joins_refs: bool = False
    skips_other_languages: bool = False


def list_splits(root: Path, layout: ReferLayout) -> tuple[str, ...]:
    """List the splits that have samples: train, val, test, then others.

    Raises:
        InputError: a part of the dataset is missing or damaged.
    """
    return _splits_of(_read_refs(_find_parts(root, layout).refs))


def read_split(root: Path, split: str, layout: ReferLayout) -> list[Record]:
    """Read the records of a split, one per sentence.

    A ref of several annotations is a sample with several targets: its mask is their union. A ref
    without an annotation (-1, an empty list, or ``no_target``) is an absent target.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: a part of the dataset is missing or damaged, or the pickle asks for code.
    """
    parts = _find_parts(root, layout)
    refs = _read_refs(parts.refs)
    chosen = [ref for ref in refs if _is_in(ref, split)]
    if not chosen:
        raise unknown_split_error(root, split, _splits_of(refs))
    reader = _RefReader(layout, parts)
    records = [record for ref in chosen for record in reader.read(ref)]
    return _join_refs(records) if layout.joins_refs else records


class _Parts(NamedTuple):
    """Locations of the parts of a dataset."""

    refs: Path
    instances: Path
    images: Path


def _find_parts(root: Path, layout: ReferLayout) -> _Parts:
    def find(names: tuple[str, ...]) -> Path:
        places = [base / name for base in layout.find_roots(root) for name in names]
        for place in places:
            if place.exists():
                return place
        others = ", ".join(str(place) for place in places[1:])
        raise InputError(f"{places[0]}: missing part of {layout.name}; also looked for {others}")

    return _Parts(find(layout.refs), find(layout.instances), find(layout.images))


class _RefReader:
    """Reads the records of refs."""

    def __init__(self, layout: ReferLayout, parts: _Parts) -> None:
        self._layout, self._parts = layout, parts
        self._coco = read_coco_file(parts.instances)
        self._annotations = _annotations_by_id(self._coco)
        self._files = FileFinder(parts.images)

    def read(self, ref: Mapping[str, Any]) -> Iterator[Record]:
        where = f"{self._parts.refs}, ref {ref['ref_id']}"
        try:
            image = self._look_up(self._coco.images, ref["image_id"], f"{where}: image")
            file = ImageFile(self._files.find(image["file_name"], where))
            mask = self._mask(ref, image, file, where)
            category = self._category(ref)
            sentences = self._sentences(ref)
            for sentence, expression in sentences:
                name = f"{ref['ref_id']}"
                if len(sentences) > 1:
                    name = f"{name}-{sentence['sent_id']}"
                yield Record(name, expression, file, mask, category=category)
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise InputError(f"{where}: not an entry of {self._layout.name}: {err!r}") from err

    def _mask(
        self, ref: Mapping[str, Any], image: Mapping[str, Any], file: ImageFile, where: str
    ) -> MaskRef | None:
        ids = [id_ for id_ in _as_list(ref["ann_id"]) if _as_text(id_) not in _NO_ANNOTATION]
        if not ids or ref.get("no_target"):
            return None
        segmentations = {
            f"annotation {id_}": self._look_up(self._annotations, id_, f"{where}: annotation")[
                "segmentation"
            ]
            for id_ in ids
        }
        height, width = image.get("height"), image.get("width")
        shape = (int(height), int(width)) if height and width else None
        return CodedMask(self._parts.instances, segmentations, shape, file)

    def _category(self, ref: Mapping[str, Any]) -> str:
        """The category of all targets, "" if there are several or none."""
        names = {
            self._layout.name_category(self._coco.categories.get(id_of(id_) or "", ""))
            for id_ in _as_list(ref["category_id"])
        }
        return names.pop() if len(names) == 1 else ""

    def _sentences(self, ref: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
        """The sentences of a ref, and the expression of each."""
        found = []
        for sentence in ref["sentences"]:
            fields = [name for name in self._layout.text if name in sentence] or self._layout.text
            found.append((sentence, sentence[fields[0]].strip()))
        if self._layout.skips_other_languages:
            found = [item for item in found if item[1].isascii()] or found
        return found

    def _look_up(
        self, entries: Mapping[str, Mapping[str, Any]], id_: object, where: str
    ) -> Mapping[str, Any]:
        entry = entries.get(id_of(id_) or "")
        if entry is None:
            raise InputError(f"{where} {id_} is not in {self._parts.instances}")
        return entry


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _as_text(id_: object) -> str | None:
    """An id as text, None if there is none. What cannot be an id is kept, and not found later."""
    return None if id_ is None else id_of(id_) or repr(id_)


def _join_refs(records: Iterable[Record]) -> list[Record]:
    """One record for those with the same image and the same expression, with all their targets."""
    joined: dict[tuple[object, str], Record] = {}
    for record in records:
        key = record.image, record.expression
        first = joined.get(key)
        if first is None:
            joined[key] = record
            continue
        masks = [mask for mask in (first.mask, record.mask) if isinstance(mask, CodedMask)]
        if masks:
            union = {name: part for mask in masks for name, part in mask.segmentations.items()}
            mask = replace(masks[0], segmentations=union)
            category = first.category if first.category == record.category else ""
            joined[key] = replace(first, mask=mask, category=category)
    return list(joined.values())


def _is_in(ref: Mapping[str, Any], split: str) -> bool:
    """Match a split as the published loaders do: "testA" belongs to "test", others are exact."""
    name: str = ref["split"]
    return "test" in name if split == "test" else name == split


def _splits_of(refs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    names = {ref["split"] for ref in refs}
    usual = [name for name in USUAL_SPLITS if any(_is_in({"split": item}, name) for item in names)]
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


def _read_refs(path: Path) -> list[dict[str, Any]]:
    refs = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
    if not isinstance(refs, list) or not refs:
        raise InputError(f"{path}: expected a list of refs, got {type(refs).__name__}")
    for number, ref in enumerate(refs):
        if not isinstance(ref, dict) or not ref.keys() >= _NEEDED:
            raise InputError(f"{path}: entry {number} lacks one of {', '.join(sorted(_NEEDED))}")
        if not isinstance(ref["split"], str):
            raise InputError(f"{path}: entry {number} has an invalid split {ref['split']!r}")
    return refs
