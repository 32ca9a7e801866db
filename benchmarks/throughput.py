"""Measure images per second of inference and training against matrix products of the device.

    python benchmarks/throughput.py                       # all networks of the papers, on a GPU
    python benchmarks/throughput.py --cases btdnet-lite:128 lavt-lite:128 --batch 2 --device cpu

torch counts the FLOP of matrix products and convolutions; a training step includes its backward
pass. The ceiling is the speed of one large matrix product of the same dtype. Weights are fresh,
images are noise, and expressions have 20 tokens. Larger images have smaller batches, with about as
many pixels in all.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from markdown_table import print_header, print_row
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.flop_counter import FlopCounterMode

from rrsis_geo.data.sample import Batch
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import DTYPES, choose_device, choose_dtype
from rrsis_geo.nets import NETS, PRESETS, ReferringNet
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.train.optim import OptimConfig, make_optimizer
from rrsis_geo.train.step import (
    NetWithLoss,
    StepSettings,
    autocast,
    float32_depthwise,
    train_step,
)

TOKENS = 20
SPEC = ImageSpec()
CASES = ["btdnet:512", "lavt:512", "rmsin:512", "fianet:512", "crobim:512", "rmsin:896"]
BATCH_SIDE_PX = 512
"""Side of the images that ``--batch`` is for."""


class Cost(NamedTuple):
    """Seconds, FLOP and peak memory of one step; the memory is text."""

    seconds: float
    flop: int
    memory: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", metavar="PRESET:PIXELS", default=CASES)
    parser.add_argument("--batch", type=int, default=8, help="images in a batch, up to 512 px")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    ceiling = matrix_ceiling(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}, {args.dtype}")
    print(f"ceiling: {ceiling / 1e12:.2f} TFLOP/s in one matrix product\n")
    columns = "images/s", "GFLOP per image", "of the ceiling", "peak memory"
    print_header("network", "pixels", "batch", "", *columns)
    for case in args.cases:
        preset, _, size_px = case.partition(":")
        n = max(1, round(args.batch * min(1, BATCH_SIDE_PX / int(size_px)) ** 2))
        costs = measure_net(preset, int(size_px), n, device, dtype, args.repeats)
        for label, cost in costs.items():
            speed = f"{n / cost.seconds:.1f}", f"{cost.flop / n / 1e9:.1f}"
            share = f"{cost.flop / cost.seconds / ceiling:.0%}"
            print_row(preset, size_px, n, label, *speed, share, cost.memory)
        gc.collect()
        torch.cuda.empty_cache()


def build(preset: str, size_px: int) -> ReferringNet:
    """The network of a preset for images of a size."""
    net = next(net for net in NETS.values() if preset in net.presets)
    return net(replace(PRESETS[preset], image_px=size_px))


def measure_net(
    preset: str, size_px: int, n: int, device: torch.device, dtype: torch.dtype, repeats: int
) -> dict[str, Cost]:
    """Cost of inference and training with batches of n images."""
    net = build(preset, size_px).to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        float32_depthwise(net)
    batch = random_batch(n, size_px)
    images, tokens = to_input(batch.images, SPEC, device), batch.tokens.to(device)
    model = NetWithLoss(net)
    settings = StepSettings(
        optimizer=make_optimizer(net, OptimConfig()),
        scaler=GradScaler(device.type, enabled=dtype == torch.float16),
        image=SPEC,
        clip_norm=1.0,
        dtype=dtype,
    )

    def infer() -> None:
        with torch.inference_mode(), autocast(device, dtype):
            net(images, tokens)

    def train() -> None:
        train_step(model, [batch], settings)

    with without_gradients(net):
        inference = measure(infer, repeats, device)
    net.train()
    return {"inference": inference, "training": measure(train, repeats, device)}


@contextmanager
def without_gradients(net: nn.Module) -> Iterator[None]:
    """Eval mode with fixed parameters: the counter of FLOP asks others for their gradients."""
    trained = [p for p in net.parameters() if p.requires_grad]
    net.eval().requires_grad_(False)
    yield
    for parameter in trained:
        parameter.requires_grad_(True)


def random_batch(n: int, size_px: int) -> Batch:
    """Noise images, square masks and random tokens."""
    masks = torch.zeros(n, size_px, size_px, dtype=torch.bool)
    masks[:, : size_px // 4, : size_px // 4] = True
    some = torch.ones(n, TOKENS, dtype=torch.bool)
    subject = some.clone()
    subject[:, 4:] = False
    tokens = TextBatch(torch.randint(1000, 9000, (n, TOKENS)), some, subject, subject, some)
    images = torch.randint(256, (n, size_px, size_px, 3), dtype=torch.uint8)
    return Batch(images, tokens, masks, tuple(map(str, range(n))))


def matrix_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP per second of one large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / best_seconds(lambda: torch.mm(a, b), 10, device)


def best_seconds(step: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest run, after three runs to warm up."""
    times = []
    for _ in range(3 + repeats):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[3:])


def measure(step: Callable[[], object], repeats: int, device: torch.device) -> Cost:
    with FlopCounterMode(display=False) as counter:
        step()
    memory = "not measured"
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = best_seconds(step, repeats, device)
    if device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    return Cost(seconds, counter.get_total_flops(), memory)


if __name__ == "__main__":
    main()
