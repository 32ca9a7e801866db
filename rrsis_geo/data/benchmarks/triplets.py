"""Triplets: the format of our own datasets and of users' datasets.

``ROOT/<split>.jsonl`` holds one sample per line::

    {"image": "images/a.png", "expression": "the truck by the gate", "segmentation": {...}}

``image`` is a path relative to ROOT. ``segmentation`` is a COCO RLE (its counts a string or a list
of numbers), the path of a mask relative to ROOT (nonzero pixels are the target), or null if the
target is absent. ``kind``, ``category`` and ``source`` are optional. Other keys are ignored.
"""

import json
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from PIL import Image

from rrsis_geo.data.benchmarks.records import (
    CodedMask,
    ImageFile,
    MaskFile,
    MaskRef,
    Record,
    unknown_split_error,
)
from rrsis_geo.data.image_files import FileFinder, path_inside, read_lines
from rrsis_geo.data.sample import Sample
from rrsis_geo.data.segmentations import encode_mask
from rrsis_geo.errors import InputError, OutputError

_SUFFIX: Final = ".jsonl"


def list_splits(root: Path) -> tuple[str, ...]:
    """List the splits of a folder of triplets, sorted."""
    return tuple(sorted(path.stem for path in root.glob(f"*{_SUFFIX}") if path.is_file()))


def read_split(root: Path, split: str) -> list[Record]:
    """Read the records of ``ROOT/<split>.jsonl``. The id of a sample is the split and its line.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: there is no split at all, or a line is not a sample. The message gives its
            number.
    """
    splits = list_splits(root)
    if not splits:
        raise InputError(
            f"{root}: not a triplets dataset; expected a list of samples, <split>{_SUFFIX}"
        )
    if split not in splits:
        raise unknown_split_error(root, split, splits)
    path = root / f"{split}{_SUFFIX}"
    files = FileFinder(root)
    return [_record(files, path, number, line) for number, line in read_lines(path)]


def _record(files: FileFinder, path: Path, number: int, line: str) -> Record:
    where = f"{path}, line {number}"
    try:
        entry = json.loads(line)
    except ValueError as err:
        raise InputError(f"{where}: not JSON: {err}") from err
    except RecursionError as err:
        raise InputError(f"{where}: nested too deeply for a sample") from err
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, got {type(entry).__name__}")
    for key in ("image", "expression", "segmentation"):
        if key not in entry:
            null = " (use null if the target is absent)" if key == "segmentation" else ""
            raise InputError(f'{where}: "{key}" is missing{null}')
    expression = entry["expression"]
    if not isinstance(expression, str) or not expression.strip():
        raise InputError(f'{where}: "expression" must be a non-blank string, got {expression!r}')
    return Record(
        id=f"{path.stem}-{number}",
        expression=expression,
        image=ImageFile(files.find(entry["image"], where)),
        mask=_mask_ref(files, path, number, entry["segmentation"]),
        **{key: _optional_string(entry, key, where) for key in ("kind", "category", "source")},
    )


def _mask_ref(files: FileFinder, path: Path, number: int, segmentation: Any) -> MaskRef | None:
    entry = f"line {number}"
    if segmentation is None:
        return None
    if isinstance(segmentation, str):
        return MaskFile(files.find(segmentation, f"{path}, {entry}"))
    if isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        return CodedMask(path, {entry: segmentation})
    raise InputError(
        f'{path}, {entry}: "segmentation" must be a COCO RLE with "size" and "counts", the path '
        "of a mask, or null"
    )


def _optional_string(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f'{where}: "{key}" must be a string, got {value!r}')
    return value or ""


class TripletWriter:
    """Context manager that writes a split of triplets.

    Images go to ``ROOT/images/<split>``. The list of samples is created when the block ends without
    an error, so an existing list is always complete.
    """

    def __init__(self, root: Path, split: str, *, overwrite: bool = False) -> None:
        """Prepare to write ``ROOT/<split>.jsonl``.

        Args:
            root: folder of the dataset. It is created if needed.
            split: name of the split.
            overwrite: replace an existing list.

        Raises:
            OutputError: the split is not a valid file name, or the list exists already.
        """
        if not split or Path(split).name != split or split.startswith("."):
            raise OutputError(f'invalid split "{split}": it must be a valid file name')
        self.path = root / f"{split}{_SUFFIX}"
        if self.path.exists() and not overwrite:
            raise OutputError(f"{self.path}: exists already; overwrite it or choose another folder")
        self._root = root
        self._split = split
        self._partial_path = root / f".{split}{_SUFFIX}.part"
        self._checksums: dict[str, int] = {}
        self._count = 0
        self._file: TextIO | None = None

    def __len__(self) -> int:
        """Number of samples written."""
        return self._count

    def __enter__(self) -> Self:
        try:
            (self._root / "images" / self._split).mkdir(parents=True, exist_ok=True)
            self._file = self._partial_path.open("w", encoding="utf-8", newline="\n")
        except OSError as err:
            raise OutputError(f"{self._root}: cannot be written: {err}") from err
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        if kind is not None:
            self._file.close()
            with suppress(OSError):
                self._partial_path.unlink()
            return
        try:
            self._file.close()
            self._partial_path.replace(self.path)
        except OSError as err:
            raise OutputError(f"{self.path}: cannot be written: {err}") from err

    def add(self, sample: Sample, *, image_name: str | None = None, source: str = "") -> None:
        """Write a sample: its line, and its image unless the image was written before.

        Args:
            sample: the sample. An empty mask is written as an absent target.
            image_name: file name of the image. Samples with the same name share the image. The
                suffix chooses the format, which is PNG by default. None numbers the images.
            source: origin of the sample.

        Raises:
            OutputError: a file cannot be written.
            ValueError: the expression is blank, or a different image has the same name.
        """
        assert self._file is not None, "use TripletWriter in a with block"
        if not sample.expression.strip():
            raise ValueError("the expression is blank")
        name = image_name or f"{self._count:06}"
        if Path(name).suffix.lower() not in Image.registered_extensions():
            name += ".png"  # "gsd_0.5" ends in ".5", which is not a format
        entry: dict[str, Any] = {
            "image": self._write_image(sample, name),
            "expression": sample.expression,
            "segmentation": encode_mask(sample.mask) if sample.mask.any() else None,
            "kind": sample.kind,
            "category": sample.category,
            "source": source,
        }
        line = {key: value for key, value in entry.items() if value != ""}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as err:
            raise OutputError(f"{self.path}: cannot be written: {err}") from err
        self._count += 1

    def _write_image(self, sample: Sample, name: str) -> str:
        """Write the image of a sample, once, and return its path relative to the folder."""
        relative = f"images/{self._split}/{name}"
        checksum = zlib.crc32(sample.image.tobytes())
        if name in self._checksums:
            if self._checksums[name] != checksum:
                raise ValueError(f"a different image was written as {name}")
            return relative
        path = path_inside(self._root, relative, "image_name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.image).save(path)
        except (OSError, ValueError) as err:
            raise OutputError(f"{path}: the image cannot be written: {err}") from err
        self._checksums[name] = checksum
        return relative
