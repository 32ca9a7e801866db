"""Write a made-up data set of painted scenes, for configs/smoke.toml.

    python benchmarks/make_smoke.py data/smoke

The folder is in the layout "triplets": train.jsonl, val.jsonl and images/. The same call writes the
same samples.
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
    parser.add_argument("--train", type=int, default=24, help="samples to train on")
    parser.add_argument("--val", type=int, default=8, help="samples to be judged by")
    parser.add_argument("--size", type=int, default=160, help="side of the images, pixels")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    args = parser.parse_args()
    for number, (split, count) in enumerate((("train", args.train), ("val", args.val))):
        with TripletWriter(args.root, split, overwrite=args.overwrite) as writer:
            for i in range(count):
                rng = np.random.default_rng([SEED, number, i])
                writer.add(painted_sample(rng, args.size, GSD_RANGE_M))
    print(f"{args.train} and {args.val} samples in {args.root}")


if __name__ == "__main__":
    main()
