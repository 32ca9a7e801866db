"""What it is worth that the process keeps freed memory (rrsis_geo/heap.py), on a processor.

    python benchmarks/heap.py

The network runs alone in processes that take turns, with the setting and without it. Time is the
processor's, the system's share of it included.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch

from rrsis_geo.model import predictor
from rrsis_geo.model.bundle import load_bundle

SIZE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--windows", type=int, default=32, help="that each process runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.model, args.windows, args.threads, **json.loads(args.one))))
        return
    print("| | time, kept / given back | peak memory, kept / given back |\n|---|---|---|")
    for dtype in args.dtypes:
        for batch in args.batch_sizes:
            runs = {True: [], False: []}
            for _ in range(args.repeats):
                for keep, results in runs.items():
                    results.append(in_a_process({"keep": keep, "dtype": dtype, "batch": batch}))
            kept, given = (tuple(map(min, zip(*runs[keep], strict=True))) for keep in (True, False))
            seconds, peak = kept[0] / given[0], kept[1] / given[1]
            print(f"| {dtype}, batch {batch} | {seconds:.2f} | {peak:.2f} |")


def in_a_process(case: dict[str, object]) -> tuple[float, float]:
    """Seconds and peak memory of a case, in a process of its own."""
    command = [sys.executable, *sys.argv, "--one", json.dumps(case)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def run_one(
    model: str, windows: int, threads: int, *, keep: bool, dtype: str, batch: int
) -> tuple[float, int]:
    """Seconds of the processor for some windows, and the most memory held, KiB."""
    if not keep:
        predictor.keep_freed_memory = lambda: False
    net = predictor.Predictor(load_bundle(model), "cpu", dtype, threads=threads)
    words = net.encode("the truck on the road")
    images = torch.randint(0, 256, (batch, SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    net.predict(images, words)
    start = time.process_time()
    for _ in range(windows // batch):
        net.predict(images, words)
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
