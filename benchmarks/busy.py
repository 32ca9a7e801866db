"""Measure how other programs slow the network down, by how OpenMP threads wait for each other.

python benchmarks/busy.py          # nothing beside it, then one busy program for each core

Prints seconds per window on a CPU, relative to the command line's setting (OMP_WAIT_POLICY=PASSIVE)
on a quiet machine.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_table import print_header, print_row

NETWORK = Path(__file__).with_name("network.py")
POLICIES = {
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "not set": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    command = [sys.executable, NETWORK, "--model", args.model, "--dtypes", args.dtype]
    command += ["--device", "cpu", "--batch-sizes", "1", "--repeats", str(args.repeats)]
    print_header("busy programs", *POLICIES)
    base = None
    for count in (0, os.cpu_count() or 1):
        with busy_programs(count):
            seconds = [seconds_per_window(command, policy) for policy in POLICIES.values()]
        base = base or seconds[0]
        print_row(count, *(f"{each / base:.2f}" for each in seconds))


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """Keep as many cores busy while the context is open."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def seconds_per_window(command: list[str], policy: dict[str, str]) -> float:
    """The median of `network.py` in a process with the variables of a policy."""
    names = set().union(*POLICIES.values())
    env = {name: value for name, value in os.environ.items() if name not in names} | policy
    printed = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    found = re.search(r"\(median ([\d.]+)\)", printed)
    if found is None:
        raise ValueError(f"no median in: {printed}")
    return float(found[1])


if __name__ == "__main__":
    main()
