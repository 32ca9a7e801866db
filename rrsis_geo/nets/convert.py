"""Names and shapes of the authors' checkpoints of LAVT, RMSIN and FIANet -> ours.

The rules were checked against the key lists of the public code, not against its code itself.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from rrsis_geo.errors import ModelError
from rrsis_geo.nets.base import ReferringNet

_UNUSED = re.compile(
    r".*\.(relative_position_index|attn_mask|position_ids)"
    r"|.*pooler\..*"
    r"|.*\.object_position_align_blk\.go_embedding\..*"
)
"""Index buffers that we compute, the pooler of BERT, and a layer of FIANet that is never called."""

_ATTENTION = {"f_query.0": "query", "f_key.0": "key", "f_value.0": "value", "W.0": "out"}
_FUSION = {
    "vis_project.0": "visual",
    "project_mm.0": "out",
    **{f"image_lang_att.{theirs}": f"words.{ours}" for theirs, ours in _ATTENTION.items()},
}
_BRANCHES = {
    "brb_1x1": {"conv": "point.0", "bn": "point.1"},
    "brb_3x3": {"conv1": "near.0", "bn1": "near.1", "conv2": "near.2", "bn2": "near.3"},
    "brb_identity": {"": "identity"},
}
_FEED_FORWARD = {"bn1": "0", "conv1": "1", "bn2": "2", "conv2": "3", "conv3": "5"}
_SCALE_GATE = {
    **{"local_embedding": "local.0", "bn1": "local.1"},
    **{"global_embedding": "added.0", "bn2": "added.1"},
    **{"global_act": "gate.0", "bn3": "gate.1"},
}
_CSA = {
    **{"bn1": "norm", "bn4": "out_norm", "conv": "out"},
    **{f"DWConv1.{i}": f"stride2.{i}" for i in range(2)},
    **{f"DWConv2.{i}": f"stride3.{i}" for i in range(2)},
    **{"attention.qkv.c": "qkv", "attention.qkv.bn": "qkv_norm"},
    **{"attention.proj": "pixels_out", "attention.to_out": "channels_out"},
    "attention.parallel_conv.1": "local",
}


def _list_modules() -> dict[str, str]:
    """The authors' name of each module that has tensors -> ours."""
    names = {"text_encoder": "text.model", "backbone.patch_embed": "trunk.stages.0.patch_embed"}
    for i in range(4):
        layer, stage, ours = f"backbone.layers.{i}", f"trunk.stages.{i}.layers_{i}", f"fusions.{i}"
        names[f"{layer}.blocks"] = f"{stage}.blocks"
        names[f"{layer}.downsample"] = f"trunk.stages.{i + 1}.layers_{i + 1}.downsample"
        names[f"backbone.norm{i}"] = f"stage_norms.{i}"
        for fusion in ("fusion", "context_pixel_attn"):
            names |= {f"{layer}.{fusion}.{k}": f"{ours}.fusion.{v}" for k, v in _FUSION.items()}
        names |= dict.fromkeys((f"{layer}.res_gate", f"{layer}.context_tanh_gate"), f"{ours}.gate")
        names |= _list_visual_branch(layer, ours) | _list_object_branch(layer, ours)
    return names | _list_cross_scale() | _list_decoder()


def _list_visual_branch(layer: str, ours: str) -> dict[str, str]:
    names = {f"{layer}.visual_gate": f"{ours}.visual_gate"}
    for suffix, order in (("", "first"), ("_2", "second")):
        for branch, parts in _BRANCHES.items():
            for theirs, part in parts.items():
                name = f"{layer}.visual_residual.repblock.{branch}{suffix}.{theirs}"
                names[name.removesuffix(".")] = f"{ours}.visual.{order}.{part}"
    return names


def _list_object_branch(layer: str, ours: str) -> dict[str, str]:
    names = {f"{layer}.fc{i}": f"{ours}.modulation.{2 * i - 2}" for i in (1, 2)}
    block = f"{layer}.object_position_align_blk"
    for theirs, ours_ in _ATTENTION.items():
        names[f"{block}.go_cross_attn.{theirs}"] = f"{ours}.objects.{ours_}"
        names[f"{block}.sp_cross_attn.{theirs}"] = f"{ours}.positions.{ours_}"
    names[f"{block}.go_tanh_gating"] = f"{ours}.object_gate"
    names[f"{block}.conv1"] = f"{ours}.place"
    return names


def _list_cross_scale() -> dict[str, str]:
    names: dict[str, str] = {}
    for module in ("cim", "tmem"):
        parts = {"down_channel": "into", "up_channel": "out", "bn": "norm"}
        for i in range(4):
            parts |= {f"fusion.{i}.{k}": f"gates.{i}.{v}" for k, v in _SCALE_GATE.items()}
        names |= {f"backbone.{module}.{k}": f"cross_scale.{v}" for k, v in parts.items()}
    block = "backbone.cim.block.0"
    for i in (1, 2):
        names |= {f"{block}.csa{i}.m.{k}": f"cross_scale.attention{i}.{v}" for k, v in _CSA.items()}
    for k, v in _FEED_FORWARD.items():
        names[f"{block}.ff.m.{k}"] = f"cross_scale.ffn.{v}"
        for i in range(4):
            names[f"{block}.intra_ff.m.ff{i + 1}.m.{k}"] = f"cross_scale.part_ffns.{i}.{v}"
    for i in range(24):
        block, ours = f"backbone.tmem.block.{i}", f"cross_scale.blocks.{i}"
        names |= {f"{block}.norm{n}": f"{ours}.norm{n}" for n in (1, 2)}
        names |= {f"{block}.tma.{k}": f"{ours}.words.{v}" for k, v in _ATTENTION.items()}
        names |= {f"{block}.ff.net.0": f"{ours}.ffn.0", f"{block}.ff.net.3": f"{ours}.ffn.2"}
    return names


def _list_decoder() -> dict[str, str]:
    names = {"classifier.conv1_1": "decoder.out"}
    routing = {"dwc": "depthwise", "norm.norm": "norm", "fc_alpha": "scale", "fc_theta": "angle"}
    for step, level in enumerate((4, 3, 2)):
        for n in (1, 2):
            names[f"classifier.conv{n}_{level}"] = f"decoder.steps.{step}.conv{n}"
            names[f"classifier.bn{n}_{level}"] = f"decoder.steps.{step}.norm{n}"
        for theirs, ours in routing.items():
            name = f"classifier.conv2_{level}.rounting_func.{theirs}"
            names[name] = f"decoder.steps.{step}.conv2.{ours}"
    return names


_MODULES = _list_modules()


FAMILIES = ("lavt", "rmsin", "fianet")
"""Networks whose checkpoints can be converted."""
_SWINS = {
    (96, 6, 7): "swin_tiny_patch4_window7_224",
    (96, 18, 7): "swin_small_patch4_window7_224",
    (128, 18, 7): "swin_base_patch4_window7_224.ms_in22k",
    (128, 18, 12): "swin_base_patch4_window12_384.ms_in22k",
    (192, 18, 7): "swin_large_patch4_window7_224.ms_in22k",
    (192, 18, 12): "swin_large_patch4_window12_384.ms_in22k",
}
"""Channels, blocks of the third stage and window of a Swin -> its name in timm."""
_BERT_HEAD_WIDTH = 64


class RenamedState(NamedTuple):
    """Tensors under our names.

    Attributes:
        tensors: name -> tensor in the authors' shape.
        left_out: the authors' names of tensors that no output depends on.
    """

    tensors: dict[str, Tensor]
    left_out: tuple[str, ...]


def rename_state(state: Mapping[str, Tensor]) -> RenamedState:
    """Rename the state dict of a LAVT, RMSIN or FIANet of the authors.

    Raises:
        ModelError: a tensor belongs to none of these networks.
    """
    tensors, left_out, unknown = {}, [], []
    for key, value in state.items():
        name = key.removeprefix("module.")
        if _UNUSED.fullmatch(name):
            left_out.append(key)
        elif (ours := _rename(name)) is None:
            unknown.append(key)
        else:
            tensors[ours] = value
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ModelError(
            f"is no checkpoint of LAVT, RMSIN or FIANet: unknown tensors {', '.join(unknown[:3])}"
            f"{more}"
        )
    return RenamedState(tensors, tuple(left_out))


def _rename(name: str) -> str | None:
    """Our name of a tensor, by the longest name of a module that it begins with."""
    end = len(name)
    while (end := name.rfind(".", 0, end)) > 0:
        if name[:end] in _MODULES:
            return _MODULES[name[:end]] + name[end:]
    return None


class FoundSettings(NamedTuple):
    """A network, as the shapes of its tensors tell.

    Attributes:
        family: one of `FAMILIES`.
        settings: settings of the network without ``image_px``.
        size_px: side of its images, None if any.
    """

    family: str
    settings: dict[str, Any]
    size_px: int | None


def infer_settings(tensors: Mapping[str, Tensor], *, heads: tuple[int, ...]) -> FoundSettings:
    """Find the network that renamed tensors belong to, by their names and shapes.

    Args:
        tensors: from `rename_state`.
        heads: attention heads of the fusion in each stage, which no shape tells.

    Raises:
        ModelError: the trunk is no Swin of the papers, or BERT or the decoder is missing.
    """
    try:
        settings: dict[str, Any] = {
            "trunk": _find_swin(tensors),
            "text": _find_bert(tensors),
            "fusion_heads": heads,
        }
        if "fusions.0.objects.query.weight" in tensors:
            n_blocks = len({k for k in tensors if re.fullmatch(r"cross_scale.*norm1\.bias", k)})
            return FoundSettings("fianet", {**settings, "tmem_blocks": n_blocks}, None)
        if "fusions.0.visual_gate.0.weight" in tensors:
            n_pixels = tensors["cross_scale.attention1.pixels_out.bias"].shape[0]
            return FoundSettings("rmsin", settings, 32 * math.isqrt(n_pixels))
    except KeyError as err:
        raise ModelError(f"is no checkpoint of LAVT, RMSIN or FIANet: has no {err}") from err
    return FoundSettings("lavt", settings, None)


def _find_swin(tensors: Mapping[str, Tensor]) -> str:
    blocks = "trunk.stages.{i}.layers_{i}.blocks"
    stage1, stage3 = blocks.format(i=0), blocks.format(i=2)
    table = tensors[f"{stage1}.0.attn.relative_position_bias_table"]
    width = tensors["trunk.stages.0.patch_embed.proj.weight"].shape[0]
    depth = len({key for key in tensors if re.fullmatch(rf"{stage3}\.\d+\.norm1\.bias", key)})
    window = (math.isqrt(table.shape[0]) + 1) // 2
    if (width, depth, window) not in _SWINS:
        raise ModelError(
            f"has a Swin with {width} channels, {depth} blocks in stage 3 and windows of {window}, "
            "which no published network has"
        )
    return _SWINS[width, depth, window]


def _find_bert(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    vocab_size, width = tensors["text.model.embeddings.word_embeddings.weight"].shape
    layer = r"text\.model\.encoder\.layer\.\d+\.output\.LayerNorm\.bias"
    n_layers = sum(re.fullmatch(layer, key) is not None for key in tensors)
    return {
        "vocab_size": vocab_size,
        "width": width,
        "heads": width // _BERT_HEAD_WIDTH,
        "ffn_width": tensors["text.model.encoder.layer.0.intermediate.dense.bias"].shape[0],
        "max_tokens": tensors["text.model.embeddings.position_embeddings.weight"].shape[0],
        "stages": [n_layers - 3 * (n_layers // 4), *[n_layers // 4] * 3],
    }


def load_renamed(net: ReferringNet, tensors: Mapping[str, Tensor]) -> None:
    """Load renamed tensors into a network, in place. Lengths of 1 are added or dropped as needed.

    Counters of batch norms may be missing, all else must fit.

    Raises:
        ModelError: tensors are missing or unknown, or have another shape.
    """
    expected = net.state_dict()
    missing = expected.keys() - tensors.keys()
    faults = [f"{k} is missing" for k in sorted(missing) if not k.endswith("num_batches_tracked")]
    faults += [f"{k} is unknown" for k in sorted(tensors.keys() - expected.keys())]
    state = {}
    for key in tensors.keys() & expected.keys():
        value, shape = tensors[key], expected[key].shape
        if _drop_ones(value.shape) != _drop_ones(shape):
            faults.append(f"{key} is {list(value.shape)} and not {list(shape)}")
        else:
            state[key] = value.reshape(shape)
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(f"does not fit the network: {'; '.join(faults[:3])}{more}")
    net.load_state_dict(state, strict=False)


def _drop_ones(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length != 1]
