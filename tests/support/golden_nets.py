"""Our networks with the sizes and the weights of the golden cases."""

from collections.abc import Callable
from typing import Any

import golden
import torch
from timm.models import is_model, register_model, swin_transformer
from torch import Tensor, nn

from rrsis_geo.nets import build_net, build_preset
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.nets.convert import load_renamed, rename_state
from rrsis_geo.nets.lavt_family.decoder import resize_aligned
from rrsis_geo.text.batch import TextBatch

NAMES = {"lavt": "lavt", "rmsin": "rmsin", "remotesam": "rmsin", "fianet": "fianet"}
"""Name of the authors' network -> ours."""


def make_net(case: dict[str, Any]) -> ReferringNet:
    """The network of a case with its weights, in float64 and eval mode."""
    bert, sizes = case["bert"], case["config"]
    settings: dict[str, Any] = {
        "trunk": register_swin(sizes),
        "image_px": case["image"][0],
        "fusion_heads": sizes["fusion_heads"],
        "text": {
            "vocab_size": bert["vocab_size"],
            "width": bert["hidden"],
            "heads": bert["heads"],
            "ffn_width": bert["intermediate"],
            "max_tokens": bert["max_positions"],
            "stages": [bert["layers"], 0, 0, 0],
        },
    }
    if "tmem_blocks" in sizes:
        settings["tmem_blocks"] = sizes["tmem_blocks"]
    net = build_net(NAMES[case["network"]], settings).eval()
    weights = golden.make_weights(case["keys"])
    load_renamed(net, rename_state(weights).tensors)
    return net.double()


def compare_case(name: str) -> dict[str, float]:
    """Run the network of a case. The authors' name of each module, or "logits" -> relative error.

    The logits are compared by their difference, relative to the largest logit.
    """
    case, arrays = golden.read_case(name), golden.read_arrays(f"{name}_f64")
    net, inputs = make_net(case), golden.make_inputs(case)
    logits = []

    def segment() -> None:
        with torch.inference_mode():
            logits.append(net(inputs["image"].double(), make_tokens(inputs)).logits)

    outputs = _record(net, _list_probes(net, case["config"]["depths"]), segment)
    errors = {
        module: golden.relative_difference(golden.thin(value), arrays[f"probe/{module}"])
        for module, value in outputs.items()
        if f"probe/{module}" in arrays
    }
    background, target = arrays["logits"].unbind(1)
    difference = (logits[0] - (target - background)).abs().max()
    return {**errors, "logits": float(difference / arrays["logits"].abs().max())}


def make_tokens(inputs: dict[str, Tensor]) -> TextBatch:
    """The expressions of a case."""
    attention = inputs["mask"].bool()
    objects = inputs.get("object_mask", inputs["mask"]).bool()
    positions = inputs.get("position_mask", inputs["mask"]).bool()
    return TextBatch(inputs["ids"], attention, torch.zeros_like(attention), objects, positions)


def register_swin(sizes: dict[str, Any]) -> str:
    """Register a Swin of these sizes in timm and return its name."""
    name = f"swin_golden_patch4_window{sizes['window']}"
    if not is_model(name):

        def create(pretrained: bool = False, **options: Any) -> nn.Module:
            shape = {
                "window_size": sizes["window"],
                "embed_dim": sizes["embed_dim"],
                "depths": sizes["depths"],
                "num_heads": sizes["num_heads"],
            }
            network: nn.Module = swin_transformer._create_swin_transformer(
                name, pretrained=pretrained, **shape, **options
            )
            return network

        create.__name__, create.__module__ = name, swin_transformer.__name__
        register_model(create)
    return name


def _as_stored(value: Tensor, name: str) -> Tensor:
    """Our output in the layout of the authors': their backbone has channels last."""
    if value.ndim == 4 and name.startswith(("backbone.norm", "backbone.layers")):
        return value if "blocks" in name else value.permute(0, 2, 3, 1)
    if name.startswith("backbone.tmem.block"):
        return value.transpose(1, 2)
    return value


def _record(
    net: nn.Module, modules: dict[str, str], run: Callable[[], object]
) -> dict[str, Tensor]:
    """The outputs of modules during a run: the authors' name -> our output."""
    outputs: dict[str, Tensor] = {}
    hooks = []
    for theirs, ours in modules.items():

        def keep(module: nn.Module, args: object, out: Tensor, theirs: str = theirs) -> None:
            outputs[theirs] = _as_stored(out, theirs).clone()

        hooks.append(net.get_submodule(ours).register_forward_hook(keep))
    run()
    for hook in hooks:
        hook.remove()
    return outputs


def _list_probes(net: ReferringNet, depths: list[int]) -> dict[str, str]:
    """The authors' name of a module -> ours, for the modules that are compared."""
    probes = {}
    for i, depth in enumerate(depths):
        blocks = f"backbone.layers.{i}.blocks", f"trunk.stages.{i}.layers_{i}.blocks"
        probes |= {f"{blocks[0]}.{j}": f"{blocks[1]}.{j}" for j in range(depth)}
        for name in ("fusion", "context_pixel_attn"):
            probes[f"backbone.layers.{i}.{name}"] = f"fusions.{i}.fusion"
        probes[f"backbone.norm{i}"] = f"stage_norms.{i}"
        if i < 3:
            layer, block = f"backbone.layers.{i}", f"backbone.layers.{i}.object_position_align_blk"
            probes[f"{layer}.res_gate"] = f"fusions.{i}.gate"
            probes[f"{layer}.context_tanh_gate"] = f"fusions.{i}.gate"
            probes[f"{layer}.visual_residual"] = f"fusions.{i}.visual"
            probes[f"{block}.go_cross_attn"] = f"fusions.{i}.objects"
            probes[f"{block}.sp_cross_attn"] = f"fusions.{i}.positions"
            probes[f"{block}.conv1"] = f"fusions.{i}.place"
    for n in (1, 2):
        probes[f"backbone.cim.block.0.csa{n}.m"] = f"cross_scale.attention{n}"
        for step, level in enumerate((4, 3, 2)):
            probes[f"classifier.bn{n}_{level}"] = f"decoder.steps.{step}.norm{n}"
    for module in ("cim", "tmem"):
        probes |= {f"backbone.{module}.fusion.{i}": f"cross_scale.gates.{i}" for i in range(4)}
    probes |= {f"backbone.tmem.block.{i}": f"cross_scale.blocks.{i}" for i in range(3)}
    names = {name for name, _ in net.named_modules()}
    return {theirs: ours for theirs, ours in probes.items() if ours in names}


def compare_full_size(preset: str) -> float:
    """Largest difference of the logits of a preset, relative to the largest; takes minutes."""
    facts = golden.read_case(f"{preset}_full_keys")
    shapes = {key: shape for key, (shape, dtype) in facts["keys"].items() if dtype == "float32"}
    net = build_preset(preset).eval()
    load_renamed(net, rename_state(golden.make_weights(shapes)).tensors)
    net.double()
    case = {
        "image": facts["golden"]["image"],
        "bert": {"vocab_size": 30522},
        "inputs": {"mask": facts["golden"]["mask"]},
    }
    inputs, outputs = golden.make_inputs(case, batch=1), []
    net.get_submodule("decoder").register_forward_hook(lambda *args: outputs.append(args[2]))
    with torch.inference_mode():
        net(inputs["image"].double(), make_tokens(inputs))
    logits = resize_aligned(outputs[0], torch.Size(case["image"]))
    expected = golden.read_arrays(f"{preset}_full")["logits"]
    return golden.relative_difference(golden.thin(logits, 8192), expected)
