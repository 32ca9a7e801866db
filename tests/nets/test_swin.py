"""Swin blocks pad, then roll: against the authors' code, and pixels on opposite edges."""

import golden
import pytest
import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import nn

from rrsis_geo.nets.trunks.swin import pad_before_roll
from rrsis_geo.nets.trunks.trunk import Trunk

CASE = golden.read_case("swin_stage")


def make_stage(size):
    dim, heads, window = (CASE["config"][name] for name in ("dim", "heads", "window"))
    blocks = [
        SwinTransformerBlock(
            dim, size, num_heads=heads, window_size=window, shift_size=shift, always_partition=True
        )
        for shift in CASE["config"]["shift"]
    ]
    stage = nn.ModuleDict({"blocks": nn.ModuleList(blocks), "downsample": PatchMerging(dim)})
    stage.load_state_dict(golden.make_weights(CASE["keys"]))
    return stage.double().eval()


@pytest.mark.parametrize("size", CASE["sizes"], ids=lambda size: "x".join(map(str, size)))
def test_a_stage_equals_the_authors_code(size):
    h, w = size
    stage, arrays = make_stage(size), golden.read_arrays("swin_stage")
    pad_before_roll(stage)
    dim = CASE["config"]["dim"]
    pixels = torch.from_numpy(golden.normal(f"swin_{h}x{w}", (2, h, w, dim))).double()
    with torch.inference_mode():
        first = stage["blocks"][0](pixels)
        second = stage["blocks"][1](first)
        merged = stage["downsample"](second)
    outputs = {"block0": first, "block1": second, "merged": merged}
    for name, mine in outputs.items():
        # the golden run was in float32
        assert golden.relative_difference(mine, arrays[f"{name}_{h}x{w}"]) < 1e-5, name


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_no_block_connects_opposite_edges(name):
    """The map of stage 1 has 76 columns, a multiple of neither window."""
    trunk = Trunk(name, image_px=304).eval()
    image = torch.randn(1, 3, 304, 304, requires_grad=True)
    trunk.stage(0, image)[..., 0].sum().backward()  # the leftmost column
    columns = image.grad.abs().amax((0, 1, 2)).nonzero()
    assert columns.max() < 100


def test_a_swin_runs_on_images_of_any_size():
    trunk = Trunk("swin_tiny_patch4_window7_224", image_px=224).eval()
    with torch.inference_mode():
        assert trunk.stage(1, trunk.stage(0, torch.randn(1, 3, 96, 160))).shape == (1, 192, 12, 20)
