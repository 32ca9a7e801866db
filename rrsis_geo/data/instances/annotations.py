"""Which annotations of a COCO file can be used, image by image, and what was left out and why."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rrsis_geo.data.coco_file import CocoFile, id_of, is_true, read_coco_file
from rrsis_geo.data.expressions.traits import can_be
from rrsis_geo.data.image_files import FileFinder
from rrsis_geo.data.instances.source_rules import SOURCE_RULES, complete_categories, parse_gsd_m
from rrsis_geo.data.segmentations import find_fault
from rrsis_geo.errors import InputError
from rrsis_geo.text.vocabulary import can_be_named, category_from_label, kinds_of, wider_than

_LEFT_OUT: Final = {
    "repeated": "repeat another annotation",
    "no_outline": 'have no outline (their "segmentation" is missing or empty)',
    "damaged": "cannot be drawn",
    "crowd": 'outline groups of objects ("iscrowd" is 1; if each is one object, set it to 0)',
    "nameless": "have a category that is no English name",
    "without_image": "belong to no image of the file",
}
"""Reason to leave out annotations -> what they are or do, in words."""
_HIDDEN: Final = ("no_outline", "damaged", "crowd")
"""Reasons that leave objects of a category in the image whose outlines are unknown."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An outlined object.

    Attributes:
        category: its category.
        segmentation: a COCO segmentation without fault.
        is_box: whether the outline is a bounding box.
        name: name of the annotation for messages.
    """

    category: str
    segmentation: Any
    is_box: bool
    name: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of the file with its objects. See ``LabelledImage`` for the other attributes.

    Attributes:
        path: file of the image.
        shape: (height, width), pixels.
        source: name of its source.
        group: name that images of the same place share.
        annotations: the objects that expressions can name.
        rough: the objects of which only a box is known.
    """

    path: Path
    shape: tuple[int, int]
    source: str
    group: str
    complete: frozenset[str]
    unclear: frozenset[str]
    gsd_m: float | None
    false_colour: bool
    annotations: tuple[Annotation, ...]
    rough: tuple[Annotation, ...]
    partly_labelled: bool


class InstanceFile(NamedTuple):
    """What is known of a COCO file before its images are read.

    Attributes:
        records: the images with objects, and those that the file says have none.
        counts: number of annotations in all ("read"), and left out by reason.
        warnings: what was left out, in words.
    """

    records: list[ImageRecord]
    counts: dict[str, int]
    warnings: tuple[str, ...]


def read_instance_file(path: Path, image_dir: Path) -> InstanceFile:
    """Read a COCO file and check its annotations. Images are not read.

    Raises:
        InputError: the file is not a COCO file, an image has no valid name or size, or no
            annotation is left.
    """
    coco = read_coco_file(path)
    sorter = _Sorter(coco)
    for number, entry in enumerate(coco.annotations, 1):
        sorter.add(entry, number)
    by_source: dict[str, set[str]] = defaultdict(set)
    for id_, image in sorter.found.items():
        by_source[_source(coco.images[id_])].update(image.here)
    files = FileFinder(image_dir)
    records = [
        _make_record(entry, found, by_source[_source(entry)], files)
        for id_, entry in coco.images.items()
        if (found := sorter.of_image(id_)) is not None
    ]
    warnings = tuple(sorter.warnings())
    if not any(record.annotations for record in records):
        why = "".join(f"\n  {warning}" for warning in warnings)
        raise InputError(f"{path}: no annotation is left, so there is nothing to refer to{why}")
    return InstanceFile(records, sorter.counts(), warnings)


@dataclass(slots=True)
class _Found:
    """What the annotations of one image say.

    Attributes:
        annotations: objects with an outline.
        rough: objects with a box instead of an outline.
        here: categories of all objects.
        hidden: categories of objects without a usable outline.
    """

    annotations: list[Annotation] = field(default_factory=list)
    rough: list[Annotation] = field(default_factory=list)
    here: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)

    def unclear(self) -> frozenset[str]:
        """Categories that can include an object without an outline."""
        return frozenset(
            name for hidden in self.hidden for name in (*kinds_of(hidden), *wider_than(hidden))
        )

    def usable(self) -> tuple[Annotation, ...]:
        """The objects that expressions can name."""
        unclear = self.unclear()
        return tuple(item for item in self.annotations if item.category not in unclear)


class _Sorter:
    """Sorts the annotations of a file: by image, or by the reason why they are left out."""

    def __init__(self, coco: CocoFile) -> None:
        self.found: dict[str, _Found] = defaultdict(_Found)
        self._coco = coco
        # A file listed under two ids is one image with the labels of both.
        first: dict[object, str] = {}
        self._image_ids = {
            id_: first.setdefault(entry["file_name"], id_) for id_, entry in coco.images.items()
        }
        self._shapes = {id_: _shape(coco, id_) for id_ in first.values()}
        self._categories = {
            id_: category_from_label(name) if can_be_named(name) else ""
            for id_, name in coco.categories.items()
        }
        self._seen: set[tuple[str, str, str]] = set()
        self._left_out: dict[str, list[str]] = {reason: [] for reason in _LEFT_OUT}

    def add(self, entry: Any, number: int) -> None:
        """Sort one annotation, the one with this number in the list."""
        entry = entry if isinstance(entry, dict) else {}
        name = f"annotation {entry['id']}" if "id" in entry else f"annotation number {number}"
        image_id = self._image_ids.get(id_of(entry.get("image_id")) or "")
        if image_id is None:
            self._leave_out("without_image", name)
            return
        name += f" of {self._coco.images[image_id]['file_name']}"
        category = self._categories.get(id_of(entry.get("category_id")) or "", "")
        if not category:
            self._leave_out("nameless", name, self._describe_category(entry))
            return
        found = self.found[image_id]
        found.here.add(category)
        reason, detail = self._judge(entry, image_id, category)
        if reason:
            self._leave_out(reason, name, detail)
            if reason in _HIDDEN:
                found.hidden.add(category)
            return
        quality = entry.get("label_quality")
        item = Annotation(category, entry["segmentation"], quality in ("box", "obb"), name)
        rule = SOURCE_RULES.get(_source(self._coco.images[image_id]))
        is_rough = quality == "box" and not (rule and rule.boxes_are_outlines)
        (found.rough if is_rough else found.annotations).append(item)

    def of_image(self, id_: str) -> _Found | None:
        """What the annotations of an image say, None if expressions cannot use the image.

        They can use objects with an outline, or the fact that an image has none of a category that
        is fully labelled.
        """
        found = self.found.get(id_, _Found())
        if found.usable():
            return found
        is_repeated = self._image_ids[id_] != id_
        entry = self._coco.images[id_]
        is_complete = is_true(entry.get("labels_complete")) or bool(_complete_for(entry))
        return found if is_complete and not is_repeated and not found.hidden else None

    def counts(self) -> dict[str, int]:
        """Number of annotations in all, and left out by reason."""
        left_out = {reason: len(names) for reason, names in self._left_out.items() if names}
        return {"read": len(self._coco.annotations), **left_out}

    def warnings(self) -> Iterator[str]:
        """What was left out and why, with an example of each."""
        for reason, names in self._left_out.items():
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                hidden = "; no expression names their categories in their images"
                yield (
                    f"{self._coco.path}: {len(names)} of {len(self._coco.annotations)} annotations "
                    f"{_LEFT_OUT[reason]} and were left out: {names[0]}{more}"
                    f"{hidden if reason in _HIDDEN else ''}"
                )

    def _judge(self, entry: Mapping[str, Any], image_id: str, category: str) -> tuple[str, str]:
        """Why an annotation is left out, and details; ("", "") if it can be used."""
        segmentation = entry.get("segmentation")
        key = (image_id, category, json.dumps(segmentation, sort_keys=True))
        if segmentation in (None, [], {}, ""):
            return "no_outline", ""
        if key in self._seen:
            return "repeated", ""
        self._seen.add(key)
        if is_true(entry.get("iscrowd")):
            return "crowd", ""
        fault = find_fault(segmentation, self._shapes[image_id])
        return ("damaged", fault) if fault else ("", "")

    def _describe_category(self, entry: Mapping[str, Any]) -> str:
        id_ = entry.get("category_id")
        name = self._coco.categories.get(id_of(id_) or "")
        return f"no category {id_!r}" if name is None else f'"{name}"'

    def _leave_out(self, reason: str, name: str, detail: str = "") -> None:
        self._left_out[reason].append(f"{name} ({detail})" if detail else name)


def _make_record(
    entry: Mapping[str, Any], found: _Found, source_categories: Iterable[str], files: FileFinder
) -> ImageRecord:
    source = _source(entry)
    rule = SOURCE_RULES.get(source)
    false_colour = bool(entry.get("false_colour", False)) or bool(rule and rule.false_colour)
    gsd_m = parse_gsd_m(entry.get("gsd_m"))
    if rule is not None and false_colour and rule.false_colour_gsd_m is not None:
        gsd_m = rule.false_colour_gsd_m
    complete = complete_categories(
        source,
        found.here,
        all_labelled=is_true(entry.get("labels_complete")),
        source_categories=frozenset(source_categories),
        complete_for=_complete_for(entry),
    )
    unclear = found.unclear()
    uncertain = {name for name in complete for item in found.rough if can_be(item.category, name)}
    return ImageRecord(
        path=files.find(entry["file_name"], str(files.folder)),
        shape=(int(entry["height"]), int(entry["width"])),
        source=source,
        group=str(entry.get("sequence") or entry["file_name"]),
        complete=complete - unclear - uncertain,
        unclear=unclear,
        gsd_m=gsd_m,
        false_colour=false_colour,
        annotations=found.usable(),
        rough=tuple(found.rough),
        partly_labelled=_complete_for(entry) is not None,
    )


def _complete_for(entry: Mapping[str, Any]) -> frozenset[str] | None:
    """The categories that a partly labelled image lists as fully labelled, None without a list."""
    names = entry.get("complete_for")
    return frozenset(map(category_from_label, names)) if isinstance(names, list) else None


def _source(entry: Mapping[str, Any]) -> str:
    return str(entry.get("source", ""))


def _shape(coco: CocoFile, id_: str) -> tuple[int, int]:
    """(height, width) of an image.

    Raises:
        InputError: the file does not give it.
    """
    entry = coco.images[id_]
    sides = [id_of(entry.get(side)) or "" for side in ("height", "width")]
    if not all(side.isdecimal() and 0 < len(side) < 10 and int(side) for side in sides):
        raise InputError(
            f'{coco.path}: image {id_} ({entry["file_name"]}) needs a "height" and a '
            '"width" in pixels'
        )
    return int(sides[0]), int(sides[1])
