"""Make the table of networks in docs/zoo.md from counts, a timed run, and published rows.

    python benchmarks/zoo.py                       # all presets, on the CPU
    python benchmarks/zoo.py --presets lavt lavt-lite --device cuda

Scores are percent as printed in each paper, oIoU / mIoU of the test split. torch counts the FLOP of
matrix products and convolutions of one window with an expression of 20 tokens. On a CPU, the
seconds are those that one core spends on the second of two windows, so other programs change them
little; on a GPU they are the time of a window in a batch.
"""

import argparse
import gc
import time
from collections.abc import Callable

import torch
from markdown_table import print_header, print_row
from throughput import best_seconds, build, random_batch, without_gradients
from torch.utils.flop_counter import FlopCounterMode

from rrsis_geo.images import ImageSpec
from rrsis_geo.model.convert import PAPERS
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import choose_device
from rrsis_geo.nets import NETS, PRESETS
from rrsis_geo.published import DATASETS, PublishedRow, published_rows

METHODS = {
    "btdnet": ("BTDNet", "Swin-B", "2502.08486"),
    "lavt": ("LAVT", "Swin-B", "2502.08486"),
    "rmsin": ("RMSIN", "Swin-B", "2502.08486"),
    "fianet": ("FIANet", "Swin-B", "2409.13637"),
    "crobim": ("CroBIM", "Swin-B", "2410.08613"),
    "crobim-convnext": ("CroBIM", "ConvNeXt-B", "2410.08613"),
}
"""Preset -> method and trunk in the published rows, and the paper that is preferred: that of the
network, or for LAVT and RMSIN that of BTDNet."""
GPU_BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, help="pixels; default: those of the preset")
    args = parser.parse_args()
    device = choose_device(args.device)
    seconds = "GPU s" if device.type == "cuda" else "CPU s"
    print(f"torch {torch.__version__}, {device.type}, 1 thread\n")
    print_header(
        *("preset", *DATASETS.values(), "pixels", "M parameters", "GFLOP", seconds, "converts")
    )
    notes = []
    for preset in args.presets:
        size_px = args.size or PRESETS[preset].image_px
        rows = {layout: find_row(preset, layout) for layout in DATASETS}
        notes += [
            f"{preset}, {row.dataset}: {row.note}" for row in rows.values() if row and row.note
        ]
        scores = [format_scores(row) for row in rows.values()]
        counts = measure(preset, size_px, device)
        family = next(name for name, net in NETS.items() if preset in net.presets)
        converts = "yes" if family in PAPERS and not preset.endswith("-lite") else ""
        print_row(f"`{preset}`", *scores, size_px, *counts, converts)
        gc.collect()
    for note in notes:
        print(f"\n{note}")


def find_row(preset: str, layout: str) -> PublishedRow | None:
    """The row of the test split, None if no paper reports one."""
    if preset not in METHODS:
        return None
    method, trunk, paper = METHODS[preset]
    rows = [row for row in published_rows(layout, "test") if row.method == method]
    rows = [row for row in rows if row.visual_encoder in (trunk, "")]
    own = [row for row in rows if paper in row.source] or rows
    return own[0] if own else None


def format_scores(row: PublishedRow | None) -> str:
    if row is None:
        return ""
    oiou, miou = row.metrics["oiou"], row.metrics["miou"]
    return " / ".join("-" if value is None else f"{value:.2f}" for value in (oiou, miou))


@torch.inference_mode()
def measure(preset: str, size_px: int, device: torch.device) -> tuple[str, str, str]:
    """Million parameters, GFLOP and seconds of one window."""
    net = build(preset, size_px).to(device).to(memory_format=torch.channels_last)
    n_parameters = sum(p.numel() for p in net.parameters())

    def step(n: int) -> Callable[[], object]:
        batch = random_batch(n, size_px)
        images, tokens = to_input(batch.images, ImageSpec(), device), batch.tokens.to(device)
        return lambda: net(images, tokens)

    with without_gradients(net), FlopCounterMode(display=False) as counter:
        step(1)()
    if device.type == "cuda":
        seconds = best_seconds(step(GPU_BATCH), 5, device) / GPU_BATCH
    else:
        torch.set_num_threads(1)
        run = step(1)
        start = time.process_time()
        run()
        seconds = time.process_time() - start
    gflop = counter.get_total_flops() / 1e9
    return f"{n_parameters / 1e6:.1f}", f"{gflop:.1f}", f"{seconds:.2f}"


if __name__ == "__main__":
    main()
