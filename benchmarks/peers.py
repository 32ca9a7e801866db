"""Compare the whole pipeline with other programs on the same scenes, windows and stub network.

    python benchmarks/peers.py --envs ENVS --folder FOLDER

ENVS/NAME/bin/python is an environment in which the program NAME is installed, for example
ENVS/geoai. Without `--envs`, only rrsis-geo and the baseline "rasterio" (copy the scene) run. The
programs run one after the other, each in its own process, which is stopped at a limit of seconds or
of memory. A program is skipped if its result on a smaller scene predicts that it exceeds a limit.
FOLDER keeps the scenes and results.json: run the same command again to continue after the time is
up. The tables are printed each time and written to results.md.
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

from resource_meter import read_status_bytes
from scenes import PATTERNS, Pattern, count_errors, make_scene, truth_path

HERE = Path(__file__).resolve().parent
OURS = "rrsis-geo"
BASELINE = "rasterio"
PEERS = ("terratorch", "geoai", "samgeo", "raster-vision", "geo-inference")
RUN_SECONDS = 150.0
MEMORY_GIB = 14.0


class Scene(NamedTuple):
    """A generated scene: the subject of one table."""

    pattern: Pattern
    size_px: int

    @classmethod
    def parse(cls, name: str) -> Self:
        pattern, _, size_px = name.partition("-")
        if pattern not in PATTERNS or not size_px.isdigit():
            patterns = ", ".join(PATTERNS)
            sys.exit(f"{name}: expected a pattern ({patterns}) and a size, such as small-8000")
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
"""Most informative first, because the last ones are skipped when the time is up."""


class Limits(NamedTuple):
    """Limits of one program on one scene."""

    seconds: float
    bytes: float


class Program(NamedTuple):
    """A program to measure."""

    name: str
    python: str  # path of its interpreter

    @property
    def script(self) -> Path:
        return HERE / f"peers_{self.name.replace('-', '_')}.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", type=Path, help="folder of the programs' environments")
    parser.add_argument("--folder", type=Path, required=True, help="for scenes and results")
    parser.add_argument("--minutes", type=float, default=20, help="for all runs, without scenes")
    parser.add_argument("--scenes", nargs="*", help="scenes to use, such as huge-5000")
    parser.add_argument("--programs", nargs="*", default=(BASELINE, OURS, *PEERS))
    parser.add_argument("--run-seconds", type=float, default=RUN_SECONDS, help="for one run")
    parser.add_argument("--memory-gib", type=float, default=MEMORY_GIB, help="for one run")
    parser.add_argument("--make-scenes", action="store_true", help="only make the scenes")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    scenes = [Scene.parse(name) for name in args.scenes] if args.scenes else SCENES
    for scene in scenes:
        ensure_scene(scene, args.folder)
    if not args.make_scenes:
        measure_all(scenes, find_programs(args.envs, args.programs), args)


def measure_all(
    scenes: list[Scene] | tuple[Scene, ...], programs: list[Program], args: argparse.Namespace
) -> None:
    """Measure what results.json does not have yet, until the time is up."""
    end = time.monotonic() + 60 * args.minutes
    path = args.folder / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {"programs": {}, "runs": {}}
    results.update(date=str(date.today()), machine=describe_machine())
    for scene in scenes:
        runs = results["runs"].setdefault(scene.name, {})
        for program in programs:
            if program.name in runs:
                continue
            if program.name not in results["programs"]:  # this also warms the file cache
                results["programs"][program.name] = find_versions(program)
            left = end - time.monotonic()
            seconds = left if program.name == OURS else args.run_seconds
            limits = Limits(seconds, args.memory_gib * 2**30)
            run = predict_failure(results["runs"], program.name, scene, limits)
            run = run or measure(program, scene, args.folder, limits, left)
            if run is None:
                note = "time is up; run the same command again to continue"
                print(f"{scene.name}, {program.name}: {note}", file=sys.stderr)
                continue
            print(scene.name, program.name, run, file=sys.stderr, flush=True)
            runs[program.name] = run
            path.write_text(json.dumps(results, indent=1) + "\n")
    tables = format_tables(results)
    path.with_suffix(".md").write_text(tables + "\n")
    print(tables)


def ensure_scene(scene: Scene, folder: Path) -> None:
    """Make the file of a scene unless it exists."""
    path = scene.path(folder)
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        make_scene(part, scene.pattern, scene.size_px, scene.size_px)
        truth_path(part).replace(truth_path(path))
        part.replace(path)
        print(f"made {path}", file=sys.stderr, flush=True)


def find_programs(envs: Path | None, names: list[str]) -> list[Program]:
    """The programs that have an environment."""
    programs = []
    for name in names:
        python = envs / name / "bin" / "python" if envs else None
        if name in (OURS, BASELINE):
            programs.append(Program(name, sys.executable))
        elif python and python.exists():
            programs.append(Program(name, str(python)))
        else:
            print(f"{name}: no environment; skipped", file=sys.stderr)
    return programs


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent), "CUDA_VISIBLE_DEVICES": ""}


def find_versions(program: Program) -> dict[str, str]:
    """Versions of the program, of its main dependencies and of Python."""
    command = [program.python, program.script]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    versions = dict(json.loads(done.stdout.splitlines()[-1]))
    command = [program.python, "-c", "import platform; print(platform.python_version())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {**versions, "python": done.stdout.strip()}


def predict_failure(
    runs: dict[str, Any], program: str, scene: Scene, limits: Limits
) -> dict[str, Any] | None:
    """The failed run to record for a program without trying it; None if it should be tried.

    Seconds and memory of the next smaller scene are scaled with the number of pixels.
    """
    others = [Scene.parse(name) for name, programs in runs.items() if program in programs]
    smaller = [
        (other.size_px, runs[other.name][program])
        for other in sorted(others)
        if other.pattern == scene.pattern and other.size_px < scene.size_px
    ]
    if program == OURS or not smaller:
        return None
    size_px, before = smaller[-1]
    if "failed" in before:
        return {"failed": f"not tried: see {size_px:,} px"}
    ratio = (scene.size_px / size_px) ** 2
    seconds, memory = ratio * before["after_imports"], ratio * before["memory"]
    excess = []
    if seconds > limits.seconds:
        excess.append(f"{seconds:.0f} s")
    if memory > limits.bytes and program != BASELINE:
        excess.append(f"{memory / 2**30:.0f} GiB")
    return {"failed": f"not tried: expected {' and '.join(excess)}"} if excess else None


def measure(
    program: Program, scene: Scene, folder: Path, limits: Limits, left: float
) -> dict[str, Any] | None:
    """Seconds, memory and mask errors of a program, or how it failed.

    Returns None if the program needs more than the `left` seconds.
    """
    if left < 5:
        return None
    source = scene.path(folder)
    results = folder / f"of-{program.name}"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    log = folder / f"{program.name}-{source.stem}.log"
    if shutil.disk_usage(folder).free < 2 * source.stat().st_size + 2**31:
        return {"failed": "not tried: too little disk space"}
    started = time.monotonic()
    with log.open("w") as out:
        command = [program.python, program.script, source, results]
        process = subprocess.Popen(command, env=environment(), stdout=out, stderr=out, cwd=results)
        reason = wait_or_kill(process, Limits(min(limits.seconds, left), limits.bytes))
    total = time.monotonic() - started
    if reason and total >= left:
        return None
    if reason or process.returncode:
        tail = " ".join(log.read_text(errors="replace").split()[-40:])
        return {"failed": reason or f"exit code {process.returncode}: {tail}"}
    facts = json.loads(log.read_text().splitlines()[-1])
    seconds = facts["seconds"]
    run = {
        "total": total,
        "after_imports": seconds["copy"] if program.name == BASELINE else sum(seconds.values()),
        "seconds": seconds,
        "memory": facts["memory"],
        "network": facts.get("network"),
    }
    if facts["mask"]:
        run["errors"] = count_errors(source, Path(facts["mask"]))._asdict()
    shutil.rmtree(results)
    return run


def wait_or_kill(process: subprocess.Popen[bytes], limits: Limits) -> str | None:
    """Wait for the process. Kill it at a limit and return which limit it was."""
    end = time.monotonic() + limits.seconds
    while process.poll() is None:
        memory = resident_bytes(process.pid)
        reason = None
        if time.monotonic() > end:
            reason = f"stopped after {limits.seconds:.0f} s"
        elif memory > limits.bytes:
            reason = f"stopped at {memory / 2**30:.0f} GiB"
        if reason:
            process.kill()
            process.wait()
            return reason
        time.sleep(0.1)
    return None


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, 0 after it ended."""
    try:
        return read_status_bytes("VmRSS", pid)
    except (OSError, StopIteration):
        return 0


def describe_machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.split(":")[1].strip() for line in info if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(names)) or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def format_tables(results: dict[str, Any]) -> str:
    """All results in Markdown."""
    cores, load = results["machine"]["cores"], results["machine"]["load"]
    lines = [f"{results['date']}, {cores} cores, load before {load:.1f}"]
    lines += ["", "| program | versions |", "|---|---|"]
    for program, versions in results["programs"].items():
        lines.append(f"| {program} | {', '.join(f'{k} {v}' for k, v in versions.items())} |")
    for name, runs in results["runs"].items():
        scene = Scene.parse(name)
        lines += ["", f"{scene.pattern}, {scene.size_px:,} x {scene.size_px:,} px", ""]
        lines += [
            "| program | s, whole process | s, after imports | MiB beyond imports "
            "| wrong at the border | wrong inside | target on no data |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {program} | {_format_run(run)} |" for program, run in runs.items()]
    return "\n".join(lines)


def _format_run(run: dict[str, Any]) -> str:
    if "failed" in run:
        return f"{run['failed'][:120]} | | | | |"
    cost = f"{run['total']:.1f} | {run['after_imports']:.1f} | {run['memory'] / 2**20:,.0f}"
    errors = run.get("errors")
    if errors is None:
        return f"{cost} | | |"
    border = f"{errors['border']:,} ({1000 * errors['border'] / errors['border_px']:.2f} ‰)"
    inside = f"{errors['inside']:,} ({1000 * errors['inside'] / errors['inside_px']:.3f} ‰)"
    return f"{cost} | {border} | {inside} | {errors['outside']:,}"


if __name__ == "__main__":
    main()
