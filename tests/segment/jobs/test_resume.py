"""A run that was killed at any moment can be resumed, with the same result."""

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_stubs import Scenario, is_same, run_in_child, wait_for_exit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

MakeScene = Callable[..., Path]


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(1800, 130)  # four shards


def run_reference(scene: Path, folder: Path) -> tuple[Any, float]:
    """The result of an uninterrupted run, and its duration in seconds."""
    started = time.perf_counter()
    reference = Scenario(scene, folder)
    reference.run()
    return reference.result(), time.perf_counter() - started


def check_killed_run(scene: Path, tmp_path: Path, n_kills: int, seed: int) -> None:
    """Kill one run several times and resume it each time."""
    expected, seconds = run_reference(scene, tmp_path / "reference")
    rng = random.Random(seed)
    run = Scenario(scene, tmp_path / "killed")
    kills = 0
    while True:
        pid = run_in_child(lambda: run.run("resume"))
        wait = rng.uniform(0, seconds) if kills < n_kills else None
        kills += 1
        if wait_for_exit(pid, kill_after=wait) == 0:
            break
    assert is_same(run.result(), expected)


def test_killed_three_times(scene: Path, tmp_path: Path) -> None:
    check_killed_run(scene, tmp_path, 3, seed=1)


@pytest.mark.slow
def test_killed_twenty_times(scene: Path, tmp_path: Path) -> None:
    check_killed_run(scene, tmp_path, 20, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_once_and_resumed(scene: Path, tmp_path: Path, seed: int) -> None:
    expected, seconds = run_reference(scene, tmp_path / "reference")
    run = Scenario(scene, tmp_path / "killed")
    pid = run_in_child(lambda: run.run())
    killed = wait_for_exit(pid, kill_after=random.Random(seed).uniform(0.1, 0.95) * seconds) != 0
    if killed:
        run.run("resume")
    assert is_same(run.result(), expected)


def die_at(step: int) -> None:
    """End this process instead of its step-th operation on a file or folder."""
    left = step

    def patch(function: Callable[..., Any]) -> Callable[..., Any]:
        def patched(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return function(*arguments, **named)

        return patched

    for name in ("rename", "replace", "mkdir", "unlink", "rmdir", "fsync"):
        setattr(os, name, patch(getattr(os, name)))


@pytest.mark.parametrize("stride", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_process_dies_at_any_file_operation(
    make_blobs: MakeScene, tmp_path: Path, stride: int
) -> None:
    scene = make_blobs(600, 130)  # two shards
    expected, _ = run_reference(scene, tmp_path / "reference")
    for step in itertools.count(stride // 2, stride):
        run = Scenario(scene, tmp_path / f"step-{step}")
        run.folder.mkdir()

        def die(run: Scenario = run, step: int = step) -> None:
            die_at(step)
            run.run()

        code = wait_for_exit(run_in_child(die))
        if code == 0:
            break
        assert code == 9
        if any(run.job.glob("[!l]*")) or not (run.folder / "o.gpkg").exists():
            run.run("resume")
        elif run.job.exists():  # only the lock and the empty folder were left to remove
            shutil.rmtree(run.job)
        assert is_same(run.result(), expected), f"step {step}"
    assert step > 36
