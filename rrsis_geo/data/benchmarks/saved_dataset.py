"""Referring samples of a DatasetDict that the Hugging Face library saved to disk.

No copy of RISBench in this form is published, so column names vary. The first existing name of
:data:`IMAGE_COLUMNS`, :data:`MASK_COLUMNS` and :data:`EXPRESSION_COLUMNS` is used.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.benchmarks.records import Record, unknown_split_error
from rrsis_geo.data.image_files import path_inside, read_image, read_mask
from rrsis_geo.errors import InputError

IMAGE_COLUMNS: Final = ("image", "img", "img_rgb", "rgb")
MASK_COLUMNS: Final = ("mask", "label", "segmentation", "gt")
EXPRESSION_COLUMNS: Final = ("expression", "phrase", "sentence", "caption", "text", "description")
_ID_COLUMNS: Final = ("id", "file_name", "filename", "name", "image_id", "image_name")
_DICT_FILE: Final = "dataset_dict.json"
_STATE_FILE: Final = "state.json"
_OTHER_NAMES: Final = {"validation": "val", "valid": "val"}


def is_saved(root: Path) -> bool:
    """Whether a folder is a DatasetDict saved to disk."""
    return (root / _DICT_FILE).is_file()


def list_splits(root: Path) -> tuple[str, ...]:
    """List the splits of a saved DatasetDict. "validation" becomes "val".

    Raises:
        InputError: the list of splits is damaged.
    """
    return tuple(_split_folders(root))


def read_split(root: Path, split: str, *, mask_above: int = 0) -> list[Record]:
    """Read the records of a split. Images and masks are read later.

    Args:
        root: folder of the DatasetDict.
        split: name of the split.
        mask_above: mask values above this are the target.

    Raises:
        ConfigError: the dataset has no such split.
        InputError: the datasets library is not installed, or a column is missing.
    """
    folders = _split_folders(root)
    if split not in folders:
        raise unknown_split_error(root, split, folders)
    folder = folders[split]
    table = _open_table(folder)
    columns: list[str] = table.column_names
    image = _find_column(folder, columns, IMAGE_COLUMNS, "image")
    mask = _find_column(folder, columns, MASK_COLUMNS, "mask")
    expressions = table[_find_column(folder, columns, EXPRESSION_COLUMNS, "expression")]
    id_columns = [name for name in _ID_COLUMNS if name in columns]
    names = [Path(str(name)).stem for name in table[id_columns[0]]] if id_columns else []
    if len(set(names)) < len(table):
        names = [f"{split}-{row}" for row in range(len(table))]
    return [
        Record(
            id=names[row],
            expression="" if expression is None else str(expression).strip(),
            image=SavedImage(folder, image, row),
            mask=SavedMask(folder, mask, row, mask_above),
        )
        for row, expression in enumerate(expressions)
    ]


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image in a row of a split."""

    folder: Path
    column: str
    row: int

    @property
    def path(self) -> Path:
        """The index file of the split."""
        return self.folder / _STATE_FILE

    @property
    def name(self) -> str:
        """The cell: equal images in different rows cannot be told from others."""
        return f"{self.folder} {self.column} {self.row}"

    def read(self) -> NDArray[np.uint8]:
        """See :func:`rrsis_geo.data.image_files.read_image`."""
        return read_image(*_read_cell(self))


@dataclass(frozen=True, slots=True)
class SavedMask:
    """A mask in a row of a split. Pixels above a threshold are the target."""

    folder: Path
    column: str
    row: int
    threshold: int

    @property
    def path(self) -> Path:
        """The index file of the split."""
        return self.folder / _STATE_FILE

    def read(self) -> NDArray[np.bool_]:
        """See :func:`rrsis_geo.data.image_files.read_mask`."""
        path, content = _read_cell(self)
        return read_mask(path, self.threshold, content)


def _read_cell(cell: SavedImage | SavedMask) -> tuple[Path, bytes | None]:
    """Path and bytes of the file in a cell. The bytes are None if the file is stored elsewhere."""
    value = _open_table(cell.folder)[cell.row][cell.column]
    where = cell.folder / f"{cell.column} {cell.row}"
    if isinstance(value, bytes):
        return where, value
    if isinstance(value, dict) and value.get("bytes"):
        return where, value["bytes"]
    if isinstance(value, dict) and value.get("path"):
        return Path(value["path"]), None
    raise InputError(
        f"{where}: expected an image, got {type(value).__name__}; cast the column with "
        "cast_column(name, datasets.Image()) and save again"
    )


@lru_cache(maxsize=8)
def _open_table(folder: Path) -> Any:
    """Map a split into memory. Images stay encoded."""
    try:
        import datasets
    except ImportError as err:
        raise InputError(
            f"{folder.parent}: a saved DatasetDict needs the datasets library; "
            'install it with pip install "rrsis-geo[hf]"'
        ) from err
    try:
        table = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as err:
        raise InputError(f"{folder}: cannot be read as a saved split: {err}") from err
    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _split_folders(root: Path) -> dict[str, Path]:
    path = root / _DICT_FILE
    try:
        names = json.loads(path.read_bytes())["splits"]
        return {_OTHER_NAMES.get(name, name): path_inside(root, name, str(path)) for name in names}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as err:
        raise InputError(f"{path}: cannot be read as a list of splits: {err!r}") from err


def _find_column(folder: Path, columns: list[str], known: tuple[str, ...], what: str) -> str:
    for name in known:
        if name in columns:
            return name
    raise InputError(
        f'{folder}: no column for the {what} in {", ".join(columns)}; rename one to "{known[0]}"'
    )
