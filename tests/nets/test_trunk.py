"""Stages of timm networks, and loading pretrained weights."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.nets.trunks.trunk import Trunk

NAMES = [
    "tf_efficientnet_lite0",
    "mobilenetv3_large_100",
    "resnet18",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
]


def stage_maps(trunk, image):
    pixels, maps = image, []
    for index in range(4):
        pixels = trunk.stage(index, pixels)
        maps.append(pixels)
    return maps


def assert_equal_but_for_rounding(mine, theirs):
    """EfficientNet-Lite0 multiplies norms and weights before the pixels in inference."""
    torch.testing.assert_close(mine, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_stages_equal_the_feature_maps_of_timm(name):
    # in timm's Swin, pixels of opposite edges meet on maps that are no multiple of the window
    px = 224 if name.startswith("swin") else 64
    trunk = Trunk(name, image_px=px).eval()
    options = {"always_partition": True} if name.startswith("swin") else {}
    features = timm.create_model(name, features_only=True, **options).eval()
    features.load_state_dict(
        dict(zip(features.state_dict(), trunk.stages.state_dict().values(), strict=True))
    )
    image = torch.randn(1, 3, px, px)
    with torch.inference_mode():
        maps = stage_maps(trunk, image)
        expected = features(image)[-4:]
    for stride, channels, mine, theirs in zip(
        (4, 8, 16, 32), trunk.channels, maps, expected, strict=True
    ):
        assert mine.shape == (1, channels, px // stride, px // stride)
        theirs = theirs.permute(0, 3, 1, 2) if name.startswith("swin") else theirs
        assert_equal_but_for_rounding(mine, theirs)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_from_a_file_of_the_whole_network(name, suffix, tmp_path):
    network = timm.create_model(name).eval()
    side = network.default_cfg["input_size"][-1]
    path = tmp_path / f"weights{suffix}"
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    trunk = Trunk(name, image_px=side).eval()
    trunk.load_pretrained(path)
    image = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        expected = network.forward_intermediates(image, intermediates_only=True)[-2]
        # stage 3: on the single window of stage 4, timm's Swin does not shift
        assert_equal_but_for_rounding(stage_maps(trunk, image)[-2], expected)


def test_swin_weights_load_for_another_image_size(tmp_path):
    name = "swin_tiny_patch4_window7_224"
    network = timm.create_model(name)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    trunk = Trunk(name, image_px=64)
    trunk.load_pretrained(tmp_path / "w.safetensors")
    weight = trunk.state_dict()["stages.0.patch_embed.proj.weight"]
    assert torch.equal(weight, network.patch_embed.proj.weight)


def test_the_file_of_the_authors_of_swin_loads(tmp_path):
    """Layout of swin_base_patch4_window12_384_22k.pth, with small blocks."""
    name = "swin_tiny_patch4_window7_224.ms_in22k"
    network = timm.create_model(name)
    state = {}
    for key, value in network.state_dict().items():
        if "downsample" in key:  # at the end of a stage, in timm at the beginning of the next
            head, index, rest = key.split(".", 2)
            key = f"{head}.{int(index) - 1}.{rest}"
        key = key.replace("head.fc.", "head.")
        state[key] = value
        if key.endswith("relative_position_bias_table"):
            base = key.removesuffix("relative_position_bias_table")
            state[f"{base}relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    assert state["head.weight"].shape == (21841, 768)
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    torch.save({"model": state}, tmp_path / "swin_22k.pth")
    trunk = Trunk("swin_tiny_patch4_window7_224", image_px=96)
    trunk.load_pretrained(tmp_path / "swin_22k.pth")
    assert len(trunk.stages.state_dict()) == len(network.state_dict()) - 4  # last norm, head
    expected = network.state_dict()
    for key, value in trunk.stages.state_dict().items():
        name = key.partition(".")[2].replace("layers_", "layers.")
        assert torch.equal(value, expected[name]), name


def test_unknown_key_names_are_assigned_in_order(tmp_path):
    network = timm.create_model("tf_efficientnet_lite0")
    network.to(memory_format=torch.channels_last)  # safetensors needs contiguous tensors
    state = {f"other.{i}": value for i, value in enumerate(network.state_dict().values())}
    torch.save(state, tmp_path / "w.pth")
    trunk = Trunk("tf_efficientnet_lite0")
    trunk.load_pretrained(tmp_path / "w.pth")
    assert torch.equal(trunk.stages[0].conv_stem.weight, network.conv_stem.weight)


def test_weights_of_another_network_raise(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: is not a state dict of resnet18"):
        Trunk("resnet18").load_pretrained(tmp_path / "w.pth")
    with pytest.raises(ModelError, match="does not exist"):
        Trunk("resnet18").load_pretrained(tmp_path / "none.pth")


def test_networks_without_four_stages_raise():
    with pytest.raises(ConfigError, match="no network"):
        Trunk("nonsense")
    with pytest.raises(ConfigError, match=r"four stages|cannot be split"):
        Trunk("vit_tiny_patch16_224", image_px=224)


def test_frozen_norm_keeps_its_running_statistics():
    trunk = Trunk("resnet18", frozen_norm=True).train()
    before = trunk.stages[0].bn1.running_mean.clone()
    trunk.stage(0, torch.randn(2, 3, 64, 64))
    assert torch.equal(trunk.stages[0].bn1.running_mean, before)
    assert trunk.stages[0].bn1.weight.requires_grad
