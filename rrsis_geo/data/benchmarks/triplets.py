"""Triplets: the format in which users bring samples of their own, and in which we write them.

``ROOT/<split>.jsonl`` holds one sample a line::

    {"image": "images/a.png", "expression": "the truck by the gate", "segmentation": {...}}

``image`` is a path relative to ROOT. ``segmentation`` is a COCO RLE (its counts a string or a list
of numbers), the path of a mask relative to ROOT (any value but 0 is the target), or null where the
target is absent. ``kind``, ``category`` and ``source`` may tell more; other keys are not read.
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
from rrsis_geo.data.image_files import encode_mask, path_inside, read_lines
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import InputError, OutputError

_SUFFIX: Final = ".jsonl"


def list_splits(root: Path) -> tuple[str, ...]:
    """The splits of a folder of triplets, sorted."""
    return tuple(sorted(path.stem for path in root.glob(f"*{_SUFFIX}") if path.is_file()))


def read_split(root: Path, split: str) -> list[Record]:
    """The samples of ``ROOT/<split>.jsonl``; the id of each is the split's name and its line.

    Raises:
        ConfigError: there is no such split.
        InputError: there is no split at all, or a line is no sample; the message tells its number.
    """
    splits = list_splits(root)
    if not splits:
        raise InputError(f"{root}: no triplets here; it needs a list of samples, <split>{_SUFFIX}")
    if split not in splits:
        raise unknown_split_error(root, split, splits)
    path = root / f"{split}{_SUFFIX}"
    return [_record(root, path, number, line) for number, line in read_lines(path)]


def _record(root: Path, path: Path, number: int, line: str) -> Record:
    where = f"{path}, line {number}"
    try:
        told = json.loads(line)
    except ValueError as err:
        raise InputError(f"{where}: is not JSON: {err}") from err
    except RecursionError as err:
        raise InputError(f"{where}: is nested too deep to be a sample") from err
    if not isinstance(told, dict):
        raise InputError(f"{where}: expected an object, got {type(told).__name__}")
    for key in ("image", "expression", "segmentation"):
        if key not in told:
            null = " (null where the target is absent)" if key == "segmentation" else ""
            raise InputError(f'{where}: "{key}" is missing{null}')
    expression = told["expression"]
    if not isinstance(expression, str) or not expression.strip():
        raise InputError(f'{where}: "expression" must be a sentence, got {expression!r}')
    return Record(
        id=f"{path.stem}-{number}",
        expression=expression,
        image=ImageFile(path_inside(root, told["image"], where)),
        mask=_mask(root, path, number, told["segmentation"]),
        **{key: _word(told, key, where) for key in ("kind", "category", "source")},
    )


def _mask(root: Path, path: Path, number: int, segmentation: Any) -> MaskRef | None:
    where = f", line {number}"
    if segmentation is None:
        return None
    if isinstance(segmentation, str):
        return MaskFile(path_inside(root, segmentation, f"{path}{where}"))
    if isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        return CodedMask(path, segmentation, where=where)
    raise InputError(
        f'{path}{where}: "segmentation" must be a COCO RLE with "size" and "counts", the path of a '
        "mask, or null"
    )


def _word(told: dict[str, Any], key: str, where: str) -> str:
    value = told.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f'{where}: "{key}" must be a string, got {value!r}')
    return value or ""


class TripletWriter:
    """Writes a split of triplets; a context manager.

    Images go to ``ROOT/images/<split>``. The list of samples appears only when the block ends
    without an error, so that what is there is whole.
    """

    def __init__(self, root: Path, split: str, *, overwrite: bool = False) -> None:
        """Prepare to write ``ROOT/<split>.jsonl``.

        Args:
            root: the folder; made if need be.
            split: the name of the split.
            overwrite: replace a list that is there.

        Raises:
            OutputError: the name cannot be a file's, the list is there already, or the folder
                cannot be made.
        """
        if not split or Path(split).name != split or split.startswith("."):
            raise OutputError(f'"{split}" cannot name a split: it becomes the name of a file')
        self.path = root / f"{split}{_SUFFIX}"
        if self.path.exists() and not overwrite:
            raise OutputError(f"{self.path}: exists; allow overwriting, or write elsewhere")
        self._root = root
        self._split = split
        self._part = root / f".{split}{_SUFFIX}.part"
        self._written: dict[str, int] = {}
        self._count = 0
        self._file: TextIO | None = None

    def __len__(self) -> int:
        """How many samples were added."""
        return self._count

    def __enter__(self) -> Self:
        try:
            (self._root / "images" / self._split).mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
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
                self._part.unlink()
            return
        try:
            self._file.close()
            self._part.replace(self.path)
        except OSError as err:
            raise OutputError(f"{self.path}: cannot be written: {err}") from err

    def add(self, sample: Sample, *, image_name: str | None = None, source: str = "") -> None:
        """Write a sample: a line, and its image unless one of that name was written before.

        Args:
            sample: a mask with no pixel in it is written as an absent target.
            image_name: file name for the image; samples that give the same name share the image.
                Its suffix chooses the format, PNG where there is none. None numbers the images.
            source: where the sample comes from.

        Raises:
            OutputError: a file cannot be written.
            ValueError: the expression is blank, or another image has the name.
        """
        assert self._file is not None, "to be used in a with block"
        if not sample.expression.strip():
            raise ValueError("the expression is blank")
        name = image_name or f"{self._count:06}"
        if Path(name).suffix.lower() not in Image.registered_extensions():  # "gsd_0.5" has none
            name += ".png"
        told: dict[str, Any] = {
            "image": self._write_image(sample, name),
            "expression": sample.expression,
            "segmentation": encode_mask(sample.mask) if sample.mask.any() else None,
            "kind": sample.kind,
            "category": sample.category,
            "source": source,
        }
        line = {key: value for key, value in told.items() if value != ""}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as err:
            raise OutputError(f"{self.path}: cannot be written: {err}") from err
        self._count += 1

    def _write_image(self, sample: Sample, name: str) -> str:
        """Write the image of a sample once; its path relative to the folder."""
        relative = f"images/{self._split}/{name}"
        check = zlib.crc32(sample.image.tobytes())
        if name in self._written:
            if self._written[name] != check:
                raise ValueError(f"another image was written as {name}")
            return relative
        path = path_inside(self._root, relative, "image_name")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.image).save(path)
        except (OSError, ValueError) as err:
            raise OutputError(f"{path}: the image cannot be written: {err}") from err
        self._written[name] = check
        return relative
