"""A run that was killed at any moment can be resumed, with the same result."""

import os
import random
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
