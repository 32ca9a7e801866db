"""Images a second that a network trains on and answers, beside the matrix products of the device.

    python benchmarks/throughput.py                                  # the paper's preset, on a GPU
    python benchmarks/throughput.py --preset btdnet-lite --size 128 --batch 2 --device cpu

"FLOP" are counted by torch of matrix products and convolutions, a step of training with its
backward pass; the ceiling is what one large matrix product of the same type reaches on the device.
Weights are fresh, images noise, expressions 20 tokens long.
"""

import argparse
import time
from collections.abc import Callable

import torch
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="btdnet")
    parser.add_argument("--size", type=int, default=512, help="pixels; Swin takes 512 only")
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
    batch = made_up_batch(args.batch, args.size)
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

    def answer() -> None:
        with torch.inference_mode(), autocast(device, dtype):
            net(images, tokens)

    def learn() -> None:
        train_step(model, [batch], settings)

    ceiling = matrix_ceiling(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    print(f"torch {torch.__version__}, {name}, {args.dtype}, {args.preset} at {args.size} px")
    print(f"ceiling: {ceiling / 1e12:.2f} TFLOP/s in one matrix product\n")
    print(f"| batch of {args.batch} | images/s | GFLOP an image | of the ceiling | peak memory |")
    print("|---|---|---|---|---|")
    for label, work, mode in (("inference", answer, False), ("training", learn, True)):
        net.train(mode)
        report(label, work, args.batch, args.repeats, device, ceiling)


def made_up_batch(n: int, size_px: int) -> Batch:
    """Noise with a square in it, and words."""
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
    return 2 * side**3 / quickest(lambda: torch.mm(a, b), 10, device)


def quickest(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of the quickest run after three that warm up."""
    times = []
    for _ in range(3 + repeats):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[3:])


def report(
    label: str,
    work: Callable[[], None],
    batch: int,
    repeats: int,
    device: torch.device,
    ceiling: float,
) -> None:
    """Print a line of the table."""
    with FlopCounterMode(display=False) as counter:
        work()
    flop = counter.get_total_flops()
    memory = "not measured"
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = quickest(work, repeats, device)
    if device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    share = flop / seconds / ceiling
    print(
        f"| {label} | {batch / seconds:.1f} | {flop / batch / 1e9:.1f} | {share:.0%} | {memory} |"
    )


if __name__ == "__main__":
    main()
