"""Measure the seconds per window of a network, and the share of each of its parts.

python benchmarks/network.py                       # the shipped model
python benchmarks/network.py --preset btdnet       # the paper's network, fresh weights
"""

import argparse
import contextlib
import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import nn

from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor, choose_device, choose_dtype
from rrsis_geo.nets import PRESETS, build_preset
from rrsis_geo.text.batch import TextBatch

PARTS = {
    "trunk.stages": "image trunk",
    "text.model.encoder.layer": "text encoder, from the first stage that sees the image",
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

    def run() -> float:
        start = synchronized_time(image.device)
        net.segment(image, words)
        return synchronized_time(image.device) - start

    for _ in range(3):
        run()
    times = [run() / len(image) for _ in range(repeats)]
    print(f"{label}: {min(times):.3f} s per window (median {statistics.median(times):.3f})")
    with time_parts(net, image.device) as seconds:
        total = sum(run() for _ in range(repeats))
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {spent / total:6.1%}  {part}")
    print(f"  {1 - sum(seconds.values()) / total:6.1%}  the rest")


def synchronized_time(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def time_parts(net: nn.Module, device: torch.device) -> Iterator[dict[str, float]]:
    """Add up the seconds of each part in the dictionary while the context is open."""
    seconds: dict[str, float] = defaultdict(float)
    started: dict[nn.Module, float] = {}

    def start(module: nn.Module, _: object) -> None:
        started[module] = synchronized_time(device)

    def stop(part: str, module: nn.Module, *_: object) -> None:
        seconds[part] += synchronized_time(device) - started[module]

    hooks = []
    for part, module in find_parts(net):
        hooks.append(module.register_forward_pre_hook(start))
        hooks.append(module.register_forward_hook(functools.partial(stop, part)))
    yield seconds
    for hook in hooks:
        hook.remove()


def find_parts(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The timed modules, each with the name of its part. Parts that the net lacks are left out."""
    by_name = dict(net.named_modules())
    modules = []
    for name, part in PARTS.items():
        module = by_name.get(name)
        if isinstance(module, nn.ModuleList | nn.ModuleDict):  # containers are not called
            modules += [(part, child) for child in module.children()]
        elif module is not None:
            modules.append((part, module))
    return modules


if __name__ == "__main__":
    main()
