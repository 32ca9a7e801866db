"""Training state on disk, for resuming; what users load is a bundle."""

import re
from pathlib import Path
from typing import Any

import torch

from rrsis_geo.errors import InputError

KEPT = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write ``folder/step-NNNNNNNN.pt`` whole or not at all; the last two are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.pt"
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(p for p in folder.glob("step-*.pt") if re.fullmatch(r"step-\d{8}\.pt", p.name))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a folder, on the CPU.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    found = checkpoints(folder)
    if not found:
        raise InputError(f"{folder}: no checkpoint to resume from")
    try:
        state: dict[str, Any] = torch.load(found[-1], map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError) as err:
        raise InputError(
            f"{found[-1]}: a damaged checkpoint; delete it to use the one before"
        ) from err
    return state
