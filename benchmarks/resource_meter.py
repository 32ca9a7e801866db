"""Measure the seconds and memory of a program on a scene, in a process of its own.

A script for a program ends with `run_program(work, "its-package", ...)`. Without arguments it
prints the versions of these packages. With a scene and a folder it does the work and prints what
that took. Both are one line of JSON, the last line of its output. Needs only the standard library.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class ResourceMeter:
    """Seconds and memory of this process from now on, which excludes its imports.

    Attributes:
        seconds: of each phase that ended with `end_phase`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._start_bytes = read_status_bytes("VmRSS")
        self._phase_started = time.perf_counter()

    def end_phase(self, name: str) -> None:
        """End a phase: "mask" when the mask is written, "polygons" when the polygons are."""
        now = time.perf_counter()
        self.seconds[name] = now - self._phase_started
        self._phase_started = now

    def peak_bytes(self) -> int:
        """Peak memory in excess of the memory at the start."""
        return read_status_bytes("VmHWM") - self._start_bytes


def run_program(work: Callable[[str, Path, ResourceMeter], dict[str, Any]], *packages: str) -> None:
    """Print versions, or do the work and print its costs.

    Args:
        work: takes a scene, a folder for its results and a meter; returns "mask", the path of the
            mask or None if the program makes none, and any other facts.
        packages: distributions whose versions to print.
    """
    if len(sys.argv) == 1:
        print(json.dumps({name: package_version(name) for name in packages}))
        return
    meter = ResourceMeter()
    facts = work(sys.argv[1], Path(sys.argv[2]), meter)
    facts = {**facts, "seconds": meter.seconds, "memory": meter.peak_bytes()}
    print(json.dumps(facts, default=str), flush=True)


def package_version(package: str) -> str:
    """Version of a package that is installed or on the path."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(import_module(package.replace("-", "_")).__version__)


def read_status_bytes(name: str, pid: int | str = "self") -> int:
    """A field of /proc/PID/status. Unlike getrusage, its peak does not include the parent's."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
