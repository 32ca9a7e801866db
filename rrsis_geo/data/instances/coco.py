"""Reader of COCO instances files and their images."""

import logging
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import OUTLINE
from rrsis_geo.data.image_files import check_files, read_image
from rrsis_geo.data.instances.annotations import (
    Annotation,
    ImageRecord,
    read_instance_file,
)
from rrsis_geo.data.instances.crops import shrink_box
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.data.segmentations import decode_segmentation
from rrsis_geo.errors import InputError

logger = logging.getLogger(__name__)

_MIB: Final = 2**20


class InstanceSource:
    """COCO instances files with their images.

    The files are read once. Annotations that cannot be used are left out, with a warning. Images
    are decoded on first access and cached within a memory limit. Masks are decoded once, cropped to
    their boxes and cached.

    Attributes:
        counts: for each image, category -> number of instances.
        landmarks: for each image, its categories that are fully labelled, so that relations to them
            are certain.
        names: for each image, the name of its source.
        groups: for each image, a name that images of the same place share: the field "sequence", or
            the file name if there is none.
        annotations: number of annotations in the files ("read"), and of those left out, by reason.
        warnings: what was left out, in words.
    """

    def __init__(
        self,
        instances: Path | Sequence[Path],
        image_dir: Path | None = None,
        *,
        cache_mib: int = 1024,
    ) -> None:
        """Read COCO files.

        Args:
            instances: a JSON file, or several.
            image_dir: folder of the images. None is "images" beside each file.
            cache_mib: memory limit of cached images.

        Raises:
            InputError: a file is missing or is not a COCO instances file, or an image is missing.
        """
        self._records: list[ImageRecord] = []
        self.annotations: dict[str, int] = {}
        self.warnings: tuple[str, ...] = ()
        for path in [instances] if isinstance(instances, Path) else instances:
            file = read_instance_file(path, image_dir or path.parent / "images")
            check_files([record.path for record in file.records], str(path))
            self._records += file.records
            self.warnings += file.warnings
            for reason, count in file.counts.items():
                self.annotations[reason] = self.annotations.get(reason, 0) + count
        for warning in self.warnings:
            logger.warning("%s", warning)
        self.counts = [
            Counter(annotation.category for annotation in record.annotations)
            for record in self._records
        ]
        self.landmarks = [
            record.complete & counts.keys()
            for record, counts in zip(self._records, self.counts, strict=True)
        ]
        self.names = [record.source for record in self._records]
        self.groups = [record.group for record in self._records]
        self._free_bytes = cache_mib * _MIB
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._instances: dict[int, tuple[tuple[Instance, ...], tuple[Instance, ...]]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def subset(self, indices: Sequence[int]) -> "InstanceSource":
        """A source with some of the images. The caches are not shared."""
        part = copy(self)
        part._records = [self._records[index] for index in indices]
        part.counts = [self.counts[index] for index in indices]
        part.landmarks = [self.landmarks[index] for index in indices]
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
        instances, rough = self._decode_instances(index)
        return LabelledImage(
            image=self._read_image(index),
            instances=instances,
            complete=record.complete,
            unclear=record.unclear,
            gsd_m=record.gsd_m,
            false_colour=record.false_colour,
            id=record.path.stem,
            rough=rough,
            partly_labelled=record.partly_labelled,
            source=record.source,
        )

    def _read_image(self, index: int) -> NDArray[np.uint8]:
        cached = self._images.get(index)
        if cached is not None:
            return cached
        record = self._records[index]
        image = read_image(record.path)
        if image.shape[:2] != record.shape:
            raise InputError(_describe_other_size(record, image.shape))
        if image.nbytes <= self._free_bytes:
            self._free_bytes -= image.nbytes
            self._images[index] = image
        return image

    def _decode_instances(self, index: int) -> tuple[tuple[Instance, ...], tuple[Instance, ...]]:
        """The objects of an image, and those of which only a box is known."""
        cached = self._instances.get(index)
        if cached is None:
            record = self._records[index]
            cached = _decode_all(record.annotations, record), _decode_all(record.rough, record)
            self._instances[index] = cached
        return cached


def _describe_other_size(record: ImageRecord, shape: Sequence[int]) -> str:
    """The message for an image that differs in size from its record."""
    height, width = record.shape
    message = (
        f"{record.path}: the image is {shape[1]} x {shape[0]} pixels, but the instances file says "
        f"{width} x {height}"
    )
    if (shape[1], shape[0]) == record.shape:
        message += (
            "; if its EXIF data turn it, but its outlines were drawn on the image as stored, "
            "remove the EXIF orientation"
        )
    return message


def _decode_all(annotations: Sequence[Annotation], record: ImageRecord) -> tuple[Instance, ...]:
    decoded = (_decode(annotation, record) for annotation in annotations)
    return tuple(item for item in decoded if item is not None)


def _decode(annotation: Annotation, record: ImageRecord) -> Instance | None:
    """Decode an instance and crop its mask to its box. None if the mask is empty.

    Raises:
        InputError: the segmentation is damaged.
    """
    where = f"{record.path}, {annotation.name}"
    whole = decode_segmentation(annotation.segmentation, record.shape, where)
    if not whole.any():
        return None
    bbox, mask = shrink_box(whole, 0, 0)
    attributes = {OUTLINE: "box"} if annotation.is_box else {}
    return Instance(annotation.category, bbox, mask.copy(), attributes)
