"""Measure what keeping freed memory is worth on a CPU (rrsis_geo/model/malloc.py).

    python benchmarks/malloc.py

Processes with and without the setting take turns to run the network alone. Time is CPU time,
including system time.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import NamedTuple

import torch
from markdown_table import print_header, print_row

from rrsis_geo.model import predictor
from rrsis_geo.model.bundle import load_bundle

SIZE_PX = 512


class Cost(NamedTuple):
    """CPU seconds and peak memory of a process."""

    seconds: float
    peak_kib: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--windows", type=int, default=32, help="windows per process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", help=argparse.SUPPRESS)  # JSON; this process measures one case
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_windows(args, **json.loads(args.case))))
        return
    print_header("", "time with / without the setting", "peak memory with / without the setting")
    for dtype in args.dtypes:
        for batch in args.batch_sizes:
            runs: dict[bool, list[Cost]] = {True: [], False: []}
            for _ in range(args.repeats):
                for keep, costs in runs.items():
                    costs.append(run_case({"keep": keep, "dtype": dtype, "batch": batch}))
            kept, released = (Cost(*map(min, zip(*runs[keep], strict=True))) for keep in runs)
            seconds, peak = kept.seconds / released.seconds, kept.peak_kib / released.peak_kib
            print_row(f"{dtype}, batch {batch}", f"{seconds:.2f}", f"{peak:.2f}")


def run_case(case: dict[str, object]) -> Cost:
    """Measure a case in its own process."""
    command = [sys.executable, *sys.argv, "--case", json.dumps(case)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(*json.loads(done.stdout))


def run_windows(args: argparse.Namespace, *, keep: bool, dtype: str, batch: int) -> Cost:
    if not keep:
        predictor.keep_freed_memory = lambda: False
    net = predictor.Predictor(load_bundle(args.model), "cpu", dtype, threads=args.threads)
    words = net.encode("the truck on the road")
    images = torch.randint(0, 256, (batch, SIZE_PX, SIZE_PX, 3), dtype=torch.uint8).numpy()
    net.predict(images, words)
    start = time.process_time()
    for _ in range(args.windows // batch):
        net.predict(images, words)
    seconds = time.process_time() - start
    return Cost(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
