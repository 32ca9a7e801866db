"""Save and load the state of a training run, to resume it. The model itself is a bundle."""

import logging
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.files import open_atomic, remove_leftovers

logger = logging.getLogger(__name__)

KEEP = 2
"""Number of checkpoints to keep."""
_FILE_NAME = re.compile(r"step-(\d{8})\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write ``folder/step-NNNNNNNN.pt`` completely or not at all, and delete old checkpoints.

    Checkpoints of later steps are deleted too. They exist only if they are damaged and the run was
    resumed from an earlier one.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / f"step-{step:08d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with open_atomic(path) as file:
            torch.save(state, file)
        paths = list_checkpoints(folder)
        position = paths.index(path)
        for old in [*paths[: position + 1][:-KEEP], *paths[position + 1 :]]:
            old.unlink()
    except (OSError, RuntimeError) as err:  # torch raises RuntimeError if the disk is full
        raise OutputError(f"{path}: the checkpoint cannot be written: {err}") from err
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _FILE_NAME.fullmatch(path.name))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Load the newest readable checkpoint of a folder to the CPU.

    Damaged checkpoints are skipped with a warning.

    Raises:
        InputError: there is no checkpoint, or all are damaged.
    """
    paths = list_checkpoints(folder)
    if not paths:
        raise InputError(f"{folder}: no checkpoint to resume from; omit --resume to start a run")
    for path in reversed(paths):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.PickleError) as err:
            logger.warning("%s: skipped a damaged checkpoint (%s)", path, _first_line(err))
        else:
            return state
    raise InputError(f"{folder}: all checkpoints are damaged; start again in another folder")


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)
