"""Check that a network can learn: overfit it to 16 painted samples from scratch.

    python benchmarks/overfit.py runs/overfit --net btdnet
    python benchmarks/overfit.py runs/overfit --net lavt-lite

The network has all parts of its paper at reduced width, or those of its compact preset. In both
cases, it has small encoders. The trunk is a ConvNeXt, since timm has no Swin this small. The last
line is the mIoU on the samples, which should exceed 0.9. Takes a minute
or two on a CPU.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from rrsis_geo.config import build, to_dict
from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.instances.stream import ALL_PAINTED_KINDS, painted_sample
from rrsis_geo.model.catalog import find_bundle
from rrsis_geo.nets import PRESETS
from rrsis_geo.train.training import TrainConfig, TrainProgress, train_model

SEED = 40_000_003
N_SAMPLES = 16
SIZE_PX = 128
KINDS = ALL_PAINTED_KINDS.with_absent(0.0)
MIN_TARGET_SHARE = 0.02
"""Of the pixels of a sample. Smaller targets consist mostly of boundary pixels."""
ENCODERS = {
    "trunk": "test_convnext",
    "image_px": SIZE_PX,
    "drop_path": 0.0,
    "text": {
        "width": 64,
        "heads": 4,
        "ffn_width": 128,
        "max_tokens": 32,
        "stages": [1, 1, 1, 1],
        "dropout": 0.0,
    },
}
NETS = {
    "btdnet": {"width": 64, "heads": 4, "mci_layers": 2, "bsc_text_width": 64},
    "lavt": {},
    "rmsin": {},
    "fianet": {},
    "crobim": {
        **{"width": 64, "heads": 4, "attention_width": 64},
        **{"compensation_width": 32, "mid_layers": 2},
    },
}
"""Settings of each network besides those of its encoders."""
LITE = [preset for preset in PRESETS if preset.endswith("-lite")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder for the samples and the run")
    parser.add_argument("--net", default="btdnet", choices=[*NETS, *LITE])
    parser.add_argument("--steps", type=int, help="default: 160 for BTDNet, 320 for the others")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--dtype", default="auto", choices=["auto", "fp32", "bf16"])
    args = parser.parse_args()
    write_samples(args.run / "samples")
    config = build(
        TrainConfig,
        {
            "name": "overfit",
            "net": net_settings(args.net),
            "image": {"size_px": SIZE_PX},
            "init": {"vocabulary": str(find_bundle("btdnet-lite"))},
            "benchmark": {
                "layout": "triplets",
                "root": str(args.run / "samples"),
                "val_split": "train",
                "size_px": SIZE_PX,
            },
            "optim": {"lr": args.lr, "encoder_lr": args.lr, "warmup_steps": 20},
            "steps": args.steps or (160 if args.net.startswith("btdnet") else 320),
            "batch_size": 8,
            "workers": 0,
            "dtype": args.dtype,
            "val_every": 40,
            "checkpoint_minutes": 60,
        },
    )
    scores = train_model(config, args.run / "run", progress=print_progress)
    assert scores is not None
    print(f"train mIoU {scores.miou:.4f}")


def net_settings(name: str) -> dict[str, Any]:
    """Settings of a network with small encoders, by a key of `NETS` or a compact preset."""
    if name in NETS:
        return {"name": name, **ENCODERS, **NETS[name]}
    return {"name": name.removesuffix("-lite"), **to_dict(PRESETS[name]), **ENCODERS}


def write_samples(root: Path) -> None:
    """Write the first painted samples with a target that is not small."""
    rng, n_written = np.random.default_rng(SEED), 0
    with TripletWriter(root, "train", overwrite=True) as writer:
        while n_written < N_SAMPLES:
            sample = painted_sample(rng, SIZE_PX, (0.15, 0.3), kinds=KINDS)
            if sample.mask.mean() >= MIN_TARGET_SHARE:
                writer.add(sample)
                n_written += 1


def print_progress(report: TrainProgress) -> None:
    score = "" if report.scores is None else f", mIoU {report.scores.miou:.4f}"
    loss, minutes_left = report.losses["total"], report.seconds_left / 60
    print(f"step {report.step}: loss {loss:.4f}{score}, {minutes_left:.1f} min left", flush=True)


if __name__ == "__main__":
    main()
