"""Small networks of each kind."""

import torch

from rrsis_geo.config import to_dict
from rrsis_geo.nets import PRESETS, build_net
from rrsis_geo.nets.base import ReferringNet

TEXT = {"vocab_size": 200, "width": 48, "heads": 4, "ffn_width": 96, "max_tokens": 32}
PAPER = {  # every part of the paper's preset
    "trunk": "swin_tiny_patch4_window7_224",
    "image_px": 96,
    "drop_path": 0.0,
    "text": {**TEXT, "stages": [1, 1, 1, 1], "dropout": 0.0},
    "width": 32,
    "heads": 4,
    "mci_layers": 2,
}
LITE = {  # every part of the compact preset
    "trunk": "tf_efficientnet_lite0",
    "image_px": 96,
    "drop_path": 0.0,
    "freeze_batch_norm": True,
    "text": {**TEXT, "stages": [1, 2, 1, 1], "dropout": 0.0},
    "bsc_text_width": 24,
    "bsc_share_keys": True,
    "width": 32,
    "heads": 4,
    "mci_layers": 2,
    "ffn_ratio": 2,
    "mixing": "convolution",
    "smoothing": "depthwise",
    "fine_width": 16,
    "presence": True,
    "dice_weight": 0.5,
}
FAMILY = {  # LAVT and the networks built on it
    "trunk": "swin_tiny_patch4_window7_224",
    "image_px": 96,
    "drop_path": 0.0,
    "text": {**TEXT, "stages": [1, 1, 0, 0], "dropout": 0.0},
}
CROBIM = {
    **FAMILY,
    "width": 32,
    "heads": 4,
    "attention_width": 64,
    "compensation_width": 16,
    "mid_layers": 2,
}
COMPACT = {  # compact presets with these encoders
    "image_px": 96,
    "text": {**TEXT, "stages": [1, 2, 1, 1], "dropout": 0.0},
}
NETS = {
    "btdnet-paper": ("btdnet", PAPER),
    "btdnet-lite": ("btdnet", LITE),
    "lavt": ("lavt", FAMILY),
    "rmsin": ("rmsin", FAMILY),
    "crobim": ("crobim", CROBIM),
    "fianet": ("fianet", {**FAMILY, "tmem_blocks": 2}),
    **{
        f"{net}-lite": (net, {**to_dict(PRESETS[f"{net}-lite"]), **COMPACT})
        for net in ("lavt", "rmsin", "fianet", "crobim")
    },
}


def make_net(name: str, settings: dict[str, object], **changes: object) -> ReferringNet:
    """Build a network with fixed weights, in eval mode."""
    torch.manual_seed(0)
    return build_net(name, {**settings, **changes}).eval()
