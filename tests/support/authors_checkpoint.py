"""Small checkpoints in the layout of the authors of LAVT, RMSIN and FIANet, with random weights."""

import argparse
from pathlib import Path
from typing import Any

import golden
import torch
from torch import Tensor

from rrsis_geo.nets import build_net
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.nets.convert import rename_state

KEYS = {"lavt": "lavt", "rmsin": "rmsin", "fianet": "fianet_l3"}
"""Network -> the list of the authors' names."""
SETTINGS: dict[str, Any] = {
    "trunk": "swin_tiny_patch4_window7_224",
    "image_px": 96,
    "text": {
        "vocab_size": 30522,
        "width": 64,
        "heads": 1,
        "ffn_width": 64,
        "max_tokens": 32,
        "stages": [2, 0, 0, 0],
    },
}


def read_keys(name: str) -> dict[str, tuple[list[int], str]]:
    """The authors' name of each tensor of a full-size network -> shape and dtype."""
    keys: dict[str, tuple[list[int], str]] = golden.read_case(f"{name}_full_keys")["keys"]
    return keys


def make_net(name: str) -> ReferringNet:
    """A small network with random weights, in eval mode."""
    torch.manual_seed(0)
    return build_net(name, SETTINGS).eval()


def save_checkpoint(net: ReferringNet, path: Path, **entries: Any) -> Path:
    """Save the weights of a small network under the authors' names, and what they save besides."""
    mine, state = net.state_dict(), dict[str, Tensor]()
    for key, (shape, _) in read_keys(KEYS[net.name]).items():
        renamed = rename_state({key: torch.empty(0)})
        for ours in renamed.tensors:
            if ours in mine:
                value = mine[ours]
                state[key] = value.reshape([*value.shape, *[1] * (len(shape) - value.ndim)])
        if key.endswith(("relative_position_index", "go_embedding.weight")):
            state[key] = torch.zeros(3, 3)
    assert len(state) >= len(mine)
    others: dict[str, Any] = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}},
        "epoch": 39,
        "args": argparse.Namespace(img_size=480, mha="", output_dir="/home/someone"),
        "lr_scheduler": {"last_epoch": 3},
    }
    torch.save({"model": state, **others, **entries}, path)
    return path
