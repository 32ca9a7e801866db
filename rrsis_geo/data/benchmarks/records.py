"""A split of a data set as records: what is known of each sample before its files are read."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rrsis_geo.data.image_files import decode_segmentation, read_image, read_mask
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.images import resize_to_square


class ImageRef(Protocol):
    """Where an image is: a small value that can be sent to another process."""

    @property
    def path(self) -> Path:
        """The file that holds the image."""

    def read(self) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3].

        Raises:
            InputError: the file is missing, damaged or of another kind.
        """


class MaskRef(Protocol):
    """Where a mask is: a small value that can be sent to another process."""

    @property
    def path(self) -> Path:
        """The file that holds the mask."""

    def read(self) -> NDArray[np.bool_]:
        """The mask, bool [H, W].

        Raises:
            InputError: the file is missing, damaged or of another kind.
        """


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a file of its own."""

    path: Path

    def read(self) -> NDArray[np.uint8]:
        """See :func:`rrsis_geo.data.image_files.read_image`."""
        return read_image(self.path)


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask in a file of its own: the pixels above a threshold."""

    path: Path
    threshold: int = 0

    def read(self) -> NDArray[np.bool_]:
        """See :func:`rrsis_geo.data.image_files.read_mask`."""
        return read_mask(self.path, self.threshold)


@dataclass(frozen=True, slots=True)
class CodedMask:
    """A mask as the COCO segmentation that a list of samples holds.

    Attributes:
        path: the list.
        segmentation: an RLE, a list of RLEs, or a list of polygons.
        shape: (height, width) on which polygons are drawn, None for RLEs.
        where: tells which entry of the list it is, in messages.
    """

    path: Path
    segmentation: Any
    shape: tuple[int, int] | None = None
    where: str = ""

    def read(self) -> NDArray[np.bool_]:
        """See :func:`rrsis_geo.data.image_files.decode_segmentation`."""
        return decode_segmentation(self.segmentation, self.shape, f"{self.path}{self.where}")


@dataclass(frozen=True, slots=True)
class Record:
    """One sample of a split, its files not read yet.

    Attributes:
        id: names the sample; unique in its split.
        expression: the referring sentence.
        image: where the image is.
        mask: where the mask is; None where the target is absent.
        kind: what the expression speaks of, "" where the data set does not tell.
        category: the target's category by label, "" where the data set does not tell.
        source: where the sample comes from, "" where the data set does not tell.
    """

    id: str
    expression: str
    image: ImageRef
    mask: MaskRef | None
    kind: str = ""
    category: str = ""
    source: str = ""


class Records(Dataset[Sample]):
    """A split of a data set, read sample by sample at the files' own sizes.

    Attributes:
        records: the samples.
        name: names the split in messages ("rrsisd test").
    """

    def __init__(self, records: Sequence[Record], name: str) -> None:
        self.records = records
        self.name = name

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Its mask may have another size than its image, as in RRSIS-D (see :func:`resize_sample`), and is
        all False, of the image's size, where the target is absent.

        Raises:
            InputError: a file is missing or damaged.
        """
        record = self.records[index]
        image = record.image.read()
        mask = np.zeros(image.shape[:2], bool) if record.mask is None else record.mask.read()
        return Sample(image, record.expression, mask, record.id, record.kind, record.category)

    def files(self) -> list[Path]:
        """The files that the split is read from, each once, in the order of the samples."""
        refs = ((record.image, record.mask) for record in self.records)
        return list(dict.fromkeys(ref.path for pair in refs for ref in pair if ref is not None))

    def missing_files(self) -> list[Path]:
        """Those of :meth:`files` that are not there, or are empty."""
        return [path for path in self.files() if not _has_content(path)]

    def check_files(self) -> None:
        """Look for every file of the split, so that none is missed hours later.

        Files are not opened: a damaged one is named when it is read.

        Raises:
            InputError: a file is missing or empty; says which, and how many others are.
        """
        missing = self.missing_files()
        if missing:
            more = f" (and {len(missing) - 1} more of {len(self.files())} files)"
            raise InputError(
                f"{self.name}: {missing[0]} is missing or empty{more if len(missing) > 1 else ''}; "
                "complete the data set's folder, or take the samples off its lists"
            )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def resize_sample(sample: Sample, size_px: int) -> Sample:
    """A sample squashed to a square as the published protocol does.

    Image (bilinear, antialiased) and mask (nearest) are resized each from its own size, so that
    they are of one size hereafter, [size_px, size_px].
    """
    image, mask = resize_to_square(sample.image, sample.mask, size_px)
    return replace(sample, image=image, mask=mask)


def suggest_name(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known: the nearest one, or all of them."""
    names = sorted(known)
    near = [item for item in names if item and name.lower().startswith(item.lower())]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known here: {', '.join(names)}" if names else ""


def unknown_split_error(root: Path, split: str, known: Iterable[str]) -> ConfigError:
    """The error that a data set has no split of that name."""
    return ConfigError(f'{root}: has no split "{split}"{suggest_name(split, known)}')
