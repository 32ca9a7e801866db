"""Write a small dataset of painted scenes for configs/smoke.toml.

    python benchmarks/make_smoke.py data/smoke

The dataset has the layout "triplets": train.jsonl, val.jsonl and images/. Its samples are the same
in every run.
"""

import argparse
from pathlib import Path

import numpy as np

from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.instances.stream import painted_sample

SEED = 30_000_001
GSD_RANGE_M = (0.15, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--train", type=int, default=24, help="number of training samples")
    parser.add_argument("--val", type=int, default=8, help="number of validation samples")
    parser.add_argument("--size", type=int, default=160, help="side of the images, in pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing dataset")
    args = parser.parse_args()
    for number, (split, count) in enumerate((("train", args.train), ("val", args.val))):
        with TripletWriter(args.root, split, overwrite=args.overwrite) as writer:
            for i in range(count):
                rng = np.random.default_rng([SEED, number, i])
                writer.add(painted_sample(rng, args.size, GSD_RANGE_M))
    print(f"wrote {args.train} training and {args.val} validation samples to {args.root}")


if __name__ == "__main__":
    main()
