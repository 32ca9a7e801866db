"""Measure images per second of training and inference against matrix products of the device.

    python benchmarks/throughput.py                                  # the paper's preset, on a GPU
    python benchmarks/throughput.py --preset btdnet-lite --size 128 --batch 2 --device cpu

torch counts the FLOP of matrix products and convolutions; a training step includes its backward
pass. The ceiling is the speed of one large matrix product of the same dtype. Weights are fresh,
images are noise, and expressions have 20 tokens.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from markdown_table import print_header, print_row
from torch.amp.grad_scaler import GradScaler
from torch.utils.flop_counter import FlopCounterMode

from rrsis_geo.data.sample import Batch
from rrsis_geo.images import ImageSpec, to_input
from rrsis_geo.model.predictor import DTYPES, choose_device, choose_dtype
from rrsis_geo.nets import PRESETS, build_preset
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


class Cost(NamedTuple):
    """Seconds, FLOP and peak memory of one step; the memory is text."""

    seconds: float
    flop: int
    memory: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="btdnet")
    parser.add_argument("--size", type=int, help="pixels; default: those of the preset")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device)
    net = build_preset(args.preset).to(device)
    net = net.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        float32_depthwise(net)
    size_px = args.size or net.config.image_px
    batch = random_batch(args.batch, size_px)
    images = to_input(batch.images, SPEC, device)
    tokens = batch.tokens.to(device)
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

    ceiling = matrix_ceiling(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {name}, {args.dtype}, {args.preset} at {size_px} px")
    print(f"ceiling: {ceiling / 1e12:.2f} TFLOP/s in one matrix product\n")
    columns = "images/s", "GFLOP per image", "of the ceiling", "peak memory"
    print_header(f"batch of {args.batch}", *columns)
    for label, step, is_training in (("inference", infer, False), ("training", train, True)):
        net.train(is_training)
        cost = measure(step, args.repeats, device)
        images_per_s, flop_per_image = args.batch / cost.seconds, cost.flop / args.batch
        share = cost.flop / cost.seconds / ceiling
        speed = f"{images_per_s:.1f}", f"{flop_per_image / 1e9:.1f}", f"{share:.0%}"
        print_row(label, *speed, cost.memory)


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
