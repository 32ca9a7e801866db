"""Records of a split: what is known about each sample before its files are read."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rrsis_geo.data.image_files import check_files, read_image, read_mask
from rrsis_geo.data.sample import Sample
from rrsis_geo.data.segmentations import decode_segmentation, has_size
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.images import resize_to_square


class ImageRef(Protocol):
    """A reference to an image. It is small and can be sent to another process."""

    @property
    def path(self) -> Path:
        """The file that holds the image."""

    @property
    def name(self) -> str:
        """The same for all references to this image, another one for all other images."""

    def read(self) -> NDArray[np.uint8]:
        """Read the image, uint8 RGB [H, W, 3].

        Raises:
            InputError: the file is missing, damaged or not an image.
        """


class MaskRef(Protocol):
    """A reference to a mask. It is small and can be sent to another process."""

    @property
    def path(self) -> Path:
        """The file that holds the mask."""

    def read(self) -> NDArray[np.bool_]:
        """Read the mask, bool [H, W].

        Raises:
            InputError: the file is missing, damaged or not a mask.
        """


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def read(self) -> NDArray[np.uint8]:
        """See :func:`rrsis_geo.data.image_files.read_image`."""
        return read_image(self.path)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask file. Pixels above a threshold are the target."""

    path: Path
    threshold: int = 0

    def read(self) -> NDArray[np.bool_]:
        """See :func:`rrsis_geo.data.image_files.read_mask`."""
        return read_mask(self.path, self.threshold)


@dataclass(frozen=True, slots=True)
class CodedMask:
    """A mask stored as a COCO segmentation in a list of samples.

    Attributes:
        path: the file of the list.
        segmentations: entry of the list, for messages -> an RLE, a list of RLEs, or a list of
            polygons. The mask is the union of all.
        shape: (height, width) of the image; None if the list does not tell it.
        image: the image, for the size of polygons whose list does not tell it.
    """

    path: Path
    segmentations: Mapping[str, Any]
    shape: tuple[int, int] | None = None
    image: ImageFile | None = None

    def read(self) -> NDArray[np.bool_]:
        """See :func:`rrsis_geo.data.segmentations.decode_segmentation`."""
        shape = self.shape
        needs_shape = not all(has_size(part) for part in self.segmentations.values())
        if shape is None and needs_shape and self.image is not None:
            shape = self.image.read().shape[:2]
        masks = [
            decode_segmentation(part, shape, f"{self.path}, {entry}")
            for entry, part in self.segmentations.items()
        ]
        if len({mask.shape for mask in masks}) > 1:
            entries = ", ".join(self.segmentations)
            raise InputError(f"{self.path}: the masks of {entries} are of different sizes")
        union: NDArray[np.bool_] = np.logical_or.reduce(masks)
        return union


@dataclass(frozen=True, slots=True)
class Record:
    """One sample of a split, before its files are read.

    Attributes:
        id: unique in the split.
        expression: the referring expression.
        image: reference to the image.
        mask: reference to the mask; None if the target is absent.
        kind: kind of expression, "" if unknown.
        category: category of the target, "" if unknown.
        source: origin of the sample, "" if unknown.
    """

    id: str
    expression: str
    image: ImageRef
    mask: MaskRef | None
    kind: str = ""
    category: str = ""
    source: str = ""


class Records(Dataset[Sample]):
    """A split of a dataset. Samples are read on access, at the sizes of their files.

    Attributes:
        records: one record per sample.
        name: name of the split for messages ("rrsisd test").
    """

    def __init__(self, records: Sequence[Record], name: str) -> None:
        self.records = records
        self.name = name

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        The size of the mask can differ from that of the image, as in RRSIS-D (see
        :func:`resize_sample`). If the target is absent, the mask is all False, of the image's size.

        Raises:
            InputError: a file is missing or damaged.
        """
        record = self.records[index]
        image = record.image.read()
        mask = np.zeros(image.shape[:2], bool) if record.mask is None else record.mask.read()
        return Sample(
            image=image,
            expression=record.expression,
            mask=mask,
            id=record.id,
            kind=record.kind,
            category=record.category,
            picture=record.image.name,
        )

    def files(self) -> list[Path]:
        """The files of the split, without repetition, in the order of the samples."""
        refs = ((record.image, record.mask) for record in self.records)
        return list(dict.fromkeys(ref.path for pair in refs for ref in pair if ref is not None))

    def check_files(self) -> None:
        """Check that every file of the split exists: see :func:`image_files.check_files`.

        Raises:
            InputError: a file is missing or empty.
        """
        check_files(self.files(), self.name)


def resize_sample(sample: Sample, size_px: int) -> Sample:
    """Resize a sample to a square, [size_px, size_px], as in the published protocol.

    The image (bilinear, antialiased) and the mask (nearest) are resized from their own sizes, and
    their aspect ratios are not kept. The ground sample distance is known only if the size stays.
    """
    image, mask = resize_to_square(sample.image, sample.mask, size_px)
    gsd_m = sample.gsd_m if image.shape == sample.image.shape else None
    ignored = sample.ignored
    if ignored is not None:
        _, ignored = resize_to_square(sample.image, ignored, size_px)
    return replace(sample, image=image, mask=mask, ignored=ignored, gsd_m=gsd_m)


def suggest_name(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest known name, or all known names."""
    names = sorted(known)
    matches = [item for item in names if item and name.lower().startswith(item.lower())]
    matches = matches or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if matches:
        return f'; did you mean "{matches[0]}"?'
    return f"; choose one of {', '.join(names)}" if names else ""


def unknown_split_error(root: Path, split: str, known: Iterable[str]) -> ConfigError:
    """The error for a split that a dataset does not have."""
    return ConfigError(f'{root}: no split "{split}"{suggest_name(split, known)}')
