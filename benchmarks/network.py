"""Measure the seconds per window of a network, and the share of each of its parts.

python benchmarks/network.py                       # the shipped model
python benchmarks/network.py --preset btdnet       # the paper's network, fresh weights
"""

import argparse
import statistics
import time
from collections import defaultdict

import torch
from torch import nn

from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor, choose_device, choose_dtype
from rrsis_geo.nets import PRESETS, build_preset
from rrsis_geo.text.batch import TextBatch

PARTS = {
    "trunk": "image trunk",
    "text": "text encoder, from the first stage that sees the image",
    "bsc": "BSC",
    "decoder.layers": "MCI",
    "decoder.lateral": "mask feature",
    "decoder.smooth": "mask feature",
    "decoder.fine": "fine feature",
    "presence": "presence",
}
TOKEN_DTYPES = (torch.int64, torch.bool, torch.bool, torch.bool, torch.bool)
"""Of the fields of a TextBatch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="preset with fresh weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--expression", default="the truck on the road")
    args = parser.parse_args()
    size = 512
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {size} px windows")
    for name in args.dtypes:
        device = choose_device(args.device)
        dtype = choose_dtype(name, device)
        if args.preset:
            net = build_preset(args.preset).eval().to(device)
            ones = (torch.ones(1, 7, dtype=kind) for kind in TOKEN_DTYPES)
            tokens = TextBatch(*ones).to(device)
        else:
            bundle = load_bundle(args.model)
            net = Predictor(bundle, str(device), name)._net
            tokens = bundle.tokenizer.encode([args.expression]).to(device)
        with torch.inference_mode(), torch.autocast(device.type, dtype, dtype != torch.float32):
            words = net.encode_text(tokens)
            for batch in args.batch_sizes:
                image = torch.randn(batch, 3, size, size, device=device)
                image = image.contiguous(memory_format=torch.channels_last)
                measure(net, image, words, args.repeats, f"{name}, batch {batch}")


def measure(net: nn.Module, image: torch.Tensor, words: object, repeats: int, label: str) -> None:
    """Print the best and median seconds per window, and the share of each part."""
    seconds: dict[str, float] = defaultdict(float)
    started: dict[int, float] = {}
    cuda = image.device.type == "cuda"

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def run() -> float:
        start = now()
        net.segment(image, words)
        return now() - start

    for _ in range(3):
        run()
    times = [run() / len(image) for _ in range(repeats)]
    hooks = []
    for part, module in parts_of(net):
        hooks += [
            module.register_forward_pre_hook(lambda m, _: started.__setitem__(id(m), now())),
            module.register_forward_hook(
                lambda m, *_, part=part: seconds.__setitem__(
                    part, seconds[part] + now() - started[id(m)]
                )
            ),
        ]
    total = sum(run() for _ in range(repeats))
    for hook in hooks:
        hook.remove()
    print(f"{label}: {min(times):.3f} s per window (median {statistics.median(times):.3f})")
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {spent / total:6.1%}  {part}")
    print(f"  {1 - sum(seconds.values()) / total:6.1%}  the rest")


def parts_of(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The timed modules, each with the name of its part."""
    modules = []
    for prefix, part in PARTS.items():
        module = net
        for name in prefix.split("."):
            module = getattr(module, name, None)
            if module is None:
                break
        else:
            stages = {"trunk": "stages", "text": "model.encoder.layer"}.get(prefix)
            if stages:
                module = module.get_submodule(stages)
            children = module if isinstance(module, nn.ModuleList) else [module]
            if isinstance(module, nn.ModuleDict):
                children = list(module.values())
            modules += [(part, child) for child in children]
    return modules


if __name__ == "__main__":
    main()
