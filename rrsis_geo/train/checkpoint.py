"""Training state on disk, for resuming; what users load is a bundle."""

import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.files import open_atomic
from rrsis_geo.metrics import Scores

logger = logging.getLogger(__name__)

KEPT = 2
_NAME = re.compile(r"step-(\d{8})\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write ``folder/step-NNNNNNNN.pt`` whole or not at all; the last two are kept.

    Checkpoints of later steps go too: they were damaged, or the run would not have come here again.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / f"step-{step:08d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            torch.save(state, file)
        found = checkpoints(folder)
        last = found.index(path)
        for old in [*found[: last + 1][:-KEPT], *found[last + 1 :]]:
            old.unlink()
    except (OSError, RuntimeError) as err:  # torch says "PytorchStreamWriter failed" of a full disk
        raise OutputError(f"{path}: the checkpoint cannot be written: {err}") from err
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a folder that can be read, on the CPU.

    A damaged one is passed over with a warning.

    Raises:
        InputError: there is none, or none can be read.
    """
    found = checkpoints(folder)
    if not found:
        raise InputError(f"{folder}: no checkpoint to resume from; leave out --resume to begin")
    for path in reversed(found):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.PickleError) as err:
            logger.warning("%s: a damaged checkpoint is passed over (%s)", path, _first_line(err))
        else:
            return state
    raise InputError(f"{folder}: every checkpoint is damaged; start again in another folder")


def scores_from(values: Mapping[str, Any]) -> Scores:
    """The scores that ``Scores.to_dict`` wrote."""
    groups = {
        name: {group: scores_from(own) for group, own in values[name].items()}
        for name in ("by_kind", "by_category")
    }
    precision = {float(at): share for at, share in values["precision"].items()}
    return Scores(**{**values, **groups, "precision": precision})


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)
