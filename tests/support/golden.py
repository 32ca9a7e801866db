"""Outputs of the authors' code for weights and inputs that a rule makes, in tests/nets/golden.

The files hold numbers only, no weights: see README.md beside them.
"""

import json
import zlib
from typing import Any

import numpy as np
import torch
from repository import ROOT
from torch import Tensor

FOLDER = ROOT / "tests" / "nets" / "golden"


def read_case(name: str) -> dict[str, Any]:
    """Facts about one case: network, sizes, and the authors' names of its tensors."""
    case: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return case


def read_arrays(name: str) -> dict[str, Tensor]:
    """The outputs of a case."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def normal(tag: str, shape: tuple[int, ...] | list[int]) -> np.ndarray[Any, Any]:
    """Normal noise from the generator of a tag, float32."""
    rng = _rng(tag)
    return rng.standard_normal(tuple(shape)).astype(np.float32)


def make_weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The weights of a case under the authors' names, float32."""
    return {key: torch.from_numpy(_make_weight(key, shape)) for key, shape in shapes.items()}


def make_inputs(case: dict[str, Any], *, batch: int = 2) -> dict[str, Tensor]:
    """Image [B, 3, H, W], ids [B, L], and masks [B, L] of a case of a whole network."""
    masks = {
        name: torch.tensor(case["inputs"][name])
        for name in ("mask", "object_mask", "position_mask")
        if name in case["inputs"]
    }
    ids = _rng("ids").integers(1, case["bert"]["vocab_size"], tuple(masks["mask"].shape))
    image = torch.from_numpy(normal("image", (batch, 3, *case["image"])))
    return {"image": image, "ids": torch.from_numpy(ids) * masks["mask"], **masks}


def thin(values: Tensor, count: int = 64) -> Tensor:
    """Every ceil(size / count)-th element, as the probes of the files are stored."""
    flat = values.reshape(-1)
    return flat[:: max(1, -(-flat.numel() // count))]


def relative_difference(mine: Tensor, golden: Tensor) -> float:
    """Largest difference as a share of the largest golden value."""
    assert mine.shape == golden.shape, (mine.shape, golden.shape)
    return float((mine.float() - golden).abs().max() / golden.abs().max().clamp_min(1e-6))


def _make_weight(key: str, shape: list[int]) -> np.ndarray[Any, Any]:
    noise = (0.05 * _rng(key).standard_normal(tuple(shape))).astype(np.float32)
    if key.endswith("running_var"):
        return 1 + np.abs(noise)
    return 1 + noise if key.endswith(".weight") and len(shape) == 1 else noise


def _rng(tag: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(tag.encode()))
