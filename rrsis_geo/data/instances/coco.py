"""Reader of COCO instances files and their images."""

import io
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.data.expressions.candidates import OUTLINE
from rrsis_geo.data.image_files import decode_segmentation, path_inside
from rrsis_geo.data.instances.source_rules import SOURCE_RULES, complete_categories, parse_gsd_m
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.errors import InputError

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class _Record:
    """An image of the file, with its annotations as stored."""

    path: Path
    height: int
    width: int
    source: str
    group: str
    complete: frozenset[str]
    gsd_m: float | None
    false_colour: bool
    annotations: tuple[tuple[str, Any, bool], ...]
    """(category, segmentation, whether the mask is a bounding box)."""


class InstanceSource:
    """A COCO instances file with its images.

    The file is read once. Images are decoded on first access and cached within a memory limit.
    Masks are decoded once, cropped to their boxes and cached.

    Attributes:
        counts: for each image, category -> number of instances.
        names: for each image, the name of its source.
        groups: for each image, a name that images of the same place share: the field "sequence", or
            the file name if there is none.
    """

    def __init__(
        self, instances_path: Path, image_dir: Path | None = None, *, cache_mib: int = 1024
    ) -> None:
        """Read a COCO file.

        Args:
            instances_path: the JSON file.
            image_dir: folder of the images. None is "images" beside the file.
            cache_mib: memory limit of cached images.

        Raises:
            InputError: the file is missing or is not a COCO instances file.
        """
        self._records = _read_records(instances_path, image_dir or instances_path.parent / "images")
        self.counts = [
            Counter(category for category, _, _ in record.annotations) for record in self._records
        ]
        self.names = [record.source for record in self._records]
        self.groups = [record.group for record in self._records]
        self._free_bytes = cache_mib * _MIB
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._instances: dict[int, tuple[Instance, ...]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def subset(self, indices: Sequence[int]) -> "InstanceSource":
        """A source with some of the images. The caches are not shared."""
        part = copy(self)
        part._records = [self._records[index] for index in indices]
        part.counts = [self.counts[index] for index in indices]
        part.names = [self.names[index] for index in indices]
        part.groups = [self.groups[index] for index in indices]
        part._images, part._instances = {}, {}
        return part

    def read(self, index: int) -> LabelledImage:
        """Read an image with its instances.

        Raises:
            InputError: the image is missing or damaged, or differs in size from its record.
        """
        record = self._records[index]
        return LabelledImage(
            image=self._read_image(index),
            instances=self._decode_instances(index),
            complete=record.complete,
            gsd_m=record.gsd_m,
            false_colour=record.false_colour,
            id=record.path.stem,
        )

    def _read_image(self, index: int) -> NDArray[np.uint8]:
        cached = self._images.get(index)
        if cached is not None:
            return cached
        record = self._records[index]
        try:
            with Image.open(io.BytesIO(record.path.read_bytes())) as file:
                image = np.asarray(file.convert("RGB"))
        except OSError as err:
            raise InputError(f"{record.path}: cannot be read as an image: {err}") from err
        if image.shape[:2] != (record.height, record.width):
            raise InputError(
                f"{record.path}: the image is {image.shape[1]} x {image.shape[0]} pixels, but the "
                f"instances file says {record.width} x {record.height}"
            )
        if image.nbytes <= self._free_bytes:
            self._free_bytes -= image.nbytes
            self._images[index] = image
        return image

    def _decode_instances(self, index: int) -> tuple[Instance, ...]:
        cached = self._instances.get(index)
        if cached is None:
            record = self._records[index]
            decoded = (_decode(*annotation, record) for annotation in record.annotations)
            cached = tuple(item for item in decoded if item is not None)
            self._instances[index] = cached
        return cached


def _read_records(instances_path: Path, image_dir: Path) -> list[_Record]:
    try:
        content = json.loads(instances_path.read_text())
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        annotations: dict[int, list[tuple[str, Any, bool]]] = defaultdict(list)
        for entry in content["annotations"]:
            is_box = entry.get("label_quality") in ("box", "obb")
            annotations[entry["image_id"]].append(
                (names[entry["category_id"]], entry["segmentation"], is_box)
            )
        images = [entry for entry in content["images"] if annotations[entry["id"]]]
        by_source: dict[str, set[str]] = defaultdict(set)
        for entry in images:
            by_source[entry.get("source", "")].update(
                name for name, _, _ in annotations[entry["id"]]
            )
        return [
            _record(entry, annotations[entry["id"]], by_source[entry.get("source", "")], image_dir)
            for entry in images
        ]
    except OSError as err:
        raise InputError(f"{instances_path}: cannot be read ({err.strerror})") from err
    except ValueError as err:
        raise InputError(f"{instances_path}: not JSON: {err}") from err
    except (KeyError, TypeError) as err:
        raise InputError(
            f"{instances_path}: not a COCO instances file (it lacks {err}); it needs images, "
            "annotations and categories"
        ) from err


def _record(
    entry: Mapping[str, Any],
    annotations: list[tuple[str, Any, bool]],
    source_categories: set[str],
    image_dir: Path,
) -> _Record:
    source = str(entry.get("source", ""))
    false_colour = bool(entry.get("false_colour", False))
    rule = SOURCE_RULES.get(source)
    gsd_m = parse_gsd_m(entry.get("gsd_m"))
    if rule is not None and false_colour and rule.false_colour_gsd_m is not None:
        gsd_m = rule.false_colour_gsd_m
    return _Record(
        path=path_inside(image_dir, entry["file_name"], str(image_dir)),
        height=entry["height"],
        width=entry["width"],
        source=source,
        group=str(entry.get("sequence") or entry["file_name"]),
        complete=complete_categories(
            source,
            {category for category, _, _ in annotations},
            all_labelled=bool(entry.get("labels_complete", False)),
            source_categories=source_categories,
        ),
        gsd_m=gsd_m,
        false_colour=false_colour,
        annotations=tuple(annotations),
    )


def _decode(category: str, segmentation: Any, is_box: bool, record: _Record) -> Instance | None:
    """Decode an instance and crop its mask to its box. None if the mask is empty.

    Raises:
        InputError: the segmentation is damaged.
    """
    if segmentation == []:
        return None
    shape = record.height, record.width
    whole = decode_segmentation(segmentation, shape, f"instances of {record.path}")
    if whole.shape != shape:
        raise InputError(
            f"instances of {record.path}: a mask is {whole.shape[1]} x {whole.shape[0]} pixels, "
            f"the image {record.width} x {record.height}"
        )
    rows, cols = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(cols[0])
    height, width = int(rows[-1]) + 1 - top, int(cols[-1]) + 1 - left
    mask = whole[top : top + height, left : left + width]
    attributes = {OUTLINE: "box"} if is_box else {}
    return Instance(category, (top, left, height, width), mask.copy(), attributes)
