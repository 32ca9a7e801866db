"""The whole pipeline beside other programs: the same scenes, windows and stub network.

    python benchmarks/peers.py --envs ENVS --folder FOLDER

ENVS/NAME/bin/python is an environment in which the program NAME is installed, such as
ENVS/geoai; without `--envs` only ours and the floor are measured. Programs run one after the other,
each in a process of its own, stopped at a limit of seconds or of memory; what a smaller scene shows
to go beyond a limit is not tried. FOLDER keeps scenes and results.json, so that the same command
goes on where the time was up; the tables are printed each time, and kept in results.md.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Self

from meter import status_bytes
from scenes import PATTERNS, Pattern, count_wrong, make_scene, truth_path

HERE = Path(__file__).resolve().parent
OURS = "rrsis-geo"
FLOOR = "floor"
PEERS = ("terratorch", "geoai", "samgeo", "raster-vision", "geo-inference")
CELL_SECONDS = 150.0
MEMORY_GIB = 14.0


class Scene(NamedTuple):
    """What one table is about."""

    pattern: Pattern
    size_px: int

    @classmethod
    def of(cls, name: str) -> Self:
        """The one of a name such as small-8000."""
        pattern, _, size_px = name.partition("-")
        if pattern not in PATTERNS or not size_px.isdigit():
            sys.exit(
                f"{name} is no scene; a pattern ({', '.join(PATTERNS)}) and pixels, small-8000"
            )
        return cls(pattern, int(size_px))

    @property
    def name(self) -> str:
        return f"{self.pattern}-{self.size_px}"

    def path(self, folder: Path) -> Path:
        return folder / f"{self.name}.tif"


SCENES = (
    Scene("small", 8_000),
    Scene("small", 20_000),
    Scene("small", 50_000),
    Scene("nodata", 8_000),
    Scene("huge", 8_000),
    Scene("speckle", 8_000),
)
"""The most telling first: where time is up, the last are missing."""


class Limits(NamedTuple):
    """What a program may take for a scene."""

    seconds: float
    bytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--envs", type=Path, help="folder of the programs' environments")
    parser.add_argument("--folder", type=Path, required=True, help="for scenes and results")
    parser.add_argument("--minutes", type=float, default=20, help="for all of it but making scenes")
    parser.add_argument("--scenes", nargs="*", help="such as huge-5000, in place of all")
    parser.add_argument("--programs", nargs="*", default=(FLOOR, OURS, *PEERS))
    parser.add_argument("--cell-seconds", type=float, default=CELL_SECONDS, help="for one program")
    parser.add_argument("--memory-gib", type=float, default=MEMORY_GIB, help="for one program")
    parser.add_argument("--make-scenes", action="store_true", help="make them, and measure nothing")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    scenes = [Scene.of(name) for name in args.scenes] if args.scenes else SCENES
    for scene in scenes:
        made(scene, args.folder)
    if args.make_scenes:
        return
    end = time.monotonic() + 60 * args.minutes
    path = args.folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {"programs": {}, "cells": {}}
    results.update(date=str(date.today()), machine=machine())
    pythons = find_pythons(args.envs, args.programs)
    for scene in scenes:
        for program, python in pythons.items():
            cells = results["cells"].setdefault(scene.name, {})
            if program in cells:
                continue
            if program not in results["programs"]:  # and its files come into the machine's cache
                results["programs"][program] = versions(program, python)
            left = end - time.monotonic()
            limits = Limits(left if program == OURS else args.cell_seconds, args.memory_gib * 2**30)
            cell = too_much(results["cells"], program, scene, limits)
            cell = cell or measure(program, python, scene, args.folder, limits, left)
            if cell is None:
                print(
                    f"{scene.name}, {program}: time is up; the same command goes on",
                    file=sys.stderr,
                )
                continue
            print(scene.name, program, cell, file=sys.stderr, flush=True)
            cells[program] = cell
            path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(tables(results) + "\n")
    print(tables(results))


def made(scene: Scene, folder: Path) -> Path:
    """The file of a scene, made where it is missing."""
    path = scene.path(folder)
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        make_scene(part, scene.pattern, scene.size_px, scene.size_px)
        truth_path(part).replace(truth_path(path))
        part.replace(path)
        print(f"made {path}", file=sys.stderr, flush=True)
    return path


def find_pythons(envs: Path | None, programs: list[str]) -> dict[str, str]:
    """The interpreter of each program that there is one for."""
    found = {}
    for program in programs:
        python = envs / program / "bin" / "python" if envs else None
        if program in (OURS, FLOOR):
            found[program] = sys.executable
        elif python and python.exists():
            found[program] = str(python)
        else:
            print(f"{program}: no environment; left out", file=sys.stderr)
    return found


def script(program: str) -> Path:
    name = program if program == FLOOR else f"peers_{program.replace('-', '_')}"
    return HERE / f"{name}.py"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent), "CUDA_VISIBLE_DEVICES": ""}


def versions(program: str, python: str) -> dict[str, str]:
    """Of the program and of what it stands on, and of Python."""
    command = [python, script(program)]
    said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    about = json.loads(said.stdout.splitlines()[-1])
    ask = [python, "-c", "import platform; print(platform.python_version())"]
    about["python"] = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    return dict(about)


def too_much(
    cells: dict[str, Any], program: str, scene: Scene, limits: Limits
) -> dict[str, Any] | None:
    """Why a scene is not tried: a smaller one says so, if all grows with the number of pixels."""
    others = [Scene.of(name) for name, programs in cells.items() if program in programs]
    smaller = [
        (other.size_px, cells[other.name][program])
        for other in sorted(others)
        if other.pattern == scene.pattern and other.size_px < scene.size_px
    ]
    if program == OURS or not smaller:
        return None
    size_px, before = smaller[-1]
    if "failed" in before:
        return {"failed": f"not tried: see {size_px:,} px"}
    times = (scene.size_px / size_px) ** 2
    seconds, memory = times * before["after_imports"], times * before["memory"]
    why = []
    if seconds > limits.seconds:
        why.append(f"{seconds:.0f} s")
    if memory > limits.bytes and program != FLOOR:
        why.append(f"{memory / 2**30:.0f} GiB")
    return {"failed": f"not tried: {' and '.join(why)} to be expected"} if why else None


def measure(
    program: str, python: str, scene: Scene, folder: Path, limits: Limits, left: float
) -> dict[str, Any] | None:
    """Seconds, memory and wrong pixels of a program; or how it failed.

    None where it would have taken more than the seconds that are left.
    """
    if left < 5:
        return None
    source = scene.path(folder)
    results = folder / f"of-{program}"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    log = folder / f"{program}-{source.stem}.log"
    if shutil.disk_usage(folder).free < 2 * source.stat().st_size + 2**31:
        return {"failed": "not tried: the disk is too full"}
    started = time.monotonic()
    with log.open("w") as out:
        command = [python, script(program), source, results]
        process = subprocess.Popen(command, env=environment(), stdout=out, stderr=out, cwd=results)
        stopped = watch(process, Limits(min(limits.seconds, left), limits.bytes))
    whole = time.monotonic() - started
    if stopped and whole >= left:
        return None
    if stopped or process.returncode:
        said = log.read_text(errors="replace").split()[-40:]
        return {"failed": stopped or f"exit code {process.returncode}: {' '.join(said)}"}
    facts = json.loads(log.read_text().splitlines()[-1])
    seconds = facts["seconds"]
    cell = {
        "whole": whole,
        "after_imports": sum(seconds.values()) - (seconds["read"] if program == FLOOR else 0),
        "seconds": seconds,
        "memory": facts["memory"],
        "network": facts.get("network"),
    }
    if facts["mask"]:
        cell["wrong"] = count_wrong(source, Path(facts["mask"]))._asdict()
    shutil.rmtree(results)
    return cell


def watch(process: subprocess.Popen[bytes], limits: Limits) -> str | None:
    """Wait for the end; stop it at a limit, and say at which."""
    end = time.monotonic() + limits.seconds
    while process.poll() is None:
        memory = resident(process.pid)
        why = None
        if time.monotonic() > end:
            why = f"stopped after {limits.seconds:.0f} s"
        elif memory > limits.bytes:
            why = f"stopped at {memory / 2**30:.0f} GiB"
        if why:
            process.kill()
            process.wait()
            return why
        time.sleep(0.1)
    return None


def resident(pid: int) -> int:
    """Bytes that a process holds, 0 when it has ended."""
    try:
        return status_bytes("VmRSS", pid)
    except (OSError, StopIteration):
        return 0


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.split(":")[1].strip() for line in info if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(names)) or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def tables(results: dict[str, Any]) -> str:
    """All of it in Markdown."""
    lines = [
        f"{results['date']}, {results['machine']['cores']} cores, load before "
        f"{results['machine']['load']:.1f}"
    ]
    lines += ["", "| program | versions |", "|---|---|"]
    for program, about in results["programs"].items():
        lines.append(f"| {program} | {', '.join(f'{k} {v}' for k, v in about.items())} |")
    for name, cells in results["cells"].items():
        scene = Scene.of(name)
        lines += ["", f"{scene.pattern}, {scene.size_px:,} x {scene.size_px:,} px", ""]
        lines += [
            "| program | s, whole process | s, after imports | MiB beyond imports "
            "| wrong at the border | wrong inside | target on no data |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {program} | {_columns(cell)} |" for program, cell in cells.items()]
    return "\n".join(lines)


def _columns(cell: dict[str, Any]) -> str:
    if "failed" in cell:
        return f"{cell['failed'][:120]} | | | | |"
    measured = f"{cell['whole']:.1f} | {cell['after_imports']:.1f} | {cell['memory'] / 2**20:,.0f}"
    wrong = cell.get("wrong")
    if wrong is None:
        return f"{measured} | | |"
    border = f"{wrong['border']:,} ({1000 * wrong['border'] / wrong['border_px']:.2f} ‰)"
    inside = f"{wrong['inside']:,} ({1000 * wrong['inside'] / wrong['inside_px']:.3f} ‰)"
    return f"{measured} | {border} | {inside} | {wrong['outside']:,}"


if __name__ == "__main__":
    main()
