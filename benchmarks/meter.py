"""What a program takes for a scene, in a process of its own. Needs the standard library only.

A script for a program ends with `main(work, "its-package", ...)`. Without arguments it tells the
versions of these packages, with a scene and a folder it does the work and tells what that took: as
one line of JSON, the last that it prints.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class Meter:
    """Seconds and memory of this process from here on: imports are left out.

    Attributes:
        seconds: of each part that was closed with `lap`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._before = status_bytes("VmRSS")
        self._lap_started = time.perf_counter()

    def lap(self, name: str) -> None:
        """Close a part: "mask", when the mask is written; "polygons", when these are."""
        now = time.perf_counter()
        self.seconds[name] = now - self._lap_started
        self._lap_started = now

    def memory(self) -> int:
        """Bytes of the peak, beyond what was held at the beginning."""
        return status_bytes("VmHWM") - self._before


def main(work: Callable[[str, Path, Meter], dict[str, Any]], *packages: str) -> None:
    """Tell versions, or do the work.

    Args:
        work: takes a scene, a folder for its results and a meter; gives "mask", the path of the
            mask, None where it makes none, and whatever else is worth telling.
        packages: whose versions are told.
    """
    if len(sys.argv) == 1:
        print(json.dumps({name: version_of(name) for name in packages}))
        return
    meter = Meter()
    facts = work(sys.argv[1], Path(sys.argv[2]), meter)
    facts = {**facts, "seconds": meter.seconds, "memory": meter.memory()}
    print(json.dumps(facts, default=str), flush=True)


def version_of(package: str) -> str:
    """Of a package that is installed, or else lies on the path."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(import_module(package.replace("-", "_")).__version__)


def status_bytes(name: str, pid: int | str = "self") -> int:
    """What Linux says of a process; getrusage would begin with the peak of the parent's."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
