"""A run may be killed at any moment: what goes on from there gives what it would have given."""

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_stubs import Scenario, ended, in_child, same

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

MakeScene = Callable[..., Path]


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(1800, 130)  # four shards


def fresh(scene: Path, folder: Path) -> tuple[Any, float]:
    """The result of a run that nobody disturbs, and the seconds that it took."""
    started = time.perf_counter()
    calm = Scenario(scene, folder)
    calm.run()
    return calm.result(), time.perf_counter() - started


def check_killed_again_and_again(scene: Path, tmp_path: Path, n_kills: int, seed: int) -> None:
    """One run, killed so many times, each time gone on with."""
    wanted, seconds = fresh(scene, tmp_path / "calm")
    chance = random.Random(seed)
    run = Scenario(scene, tmp_path / "disturbed")
    kills = 0
    while True:
        pid = in_child(lambda: run.run("resume"))
        wait = chance.uniform(0, seconds) if kills < n_kills else None
        kills += 1
        if ended(pid, kill_after=wait) == 0:
            break
    assert same(run.result(), wanted)


def test_killed_three_times(scene: Path, tmp_path: Path) -> None:
    check_killed_again_and_again(scene, tmp_path, 3, seed=1)


@pytest.mark.slow
def test_killed_at_twenty_moments_of_one_run(scene: Path, tmp_path: Path) -> None:
    check_killed_again_and_again(scene, tmp_path, 20, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_once_and_resumed(scene: Path, tmp_path: Path, seed: int) -> None:
    wanted, seconds = fresh(scene, tmp_path / "calm")
    run = Scenario(scene, tmp_path / "disturbed")
    pid = in_child(lambda: run.run())
    killed = ended(pid, kill_after=random.Random(seed).uniform(0.1, 0.95) * seconds) != 0
    if killed:
        run.run("resume")
    assert same(run.result(), wanted)


def dying_at(step: int) -> None:
    """Let this process die in place of the step-th time it names, moves or removes a file."""
    left = step

    def count(before: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return before(*arguments, **named)

        return counted

    for name in ("rename", "replace", "mkdir", "unlink", "rmdir", "fsync"):
        setattr(os, name, count(getattr(os, name)))


@pytest.mark.parametrize("stride", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_dead_at_any_step_on_the_disk(make_blobs: MakeScene, tmp_path: Path, stride: int) -> None:
    """Moments at which something appears or vanishes, one by one."""
    scene = make_blobs(600, 130)  # two shards
    wanted, _ = fresh(scene, tmp_path / "calm")
    for step in itertools.count(stride // 2, stride):
        run = Scenario(scene, tmp_path / f"step-{step}")
        run.folder.mkdir()

        def die(run: Scenario = run, step: int = step) -> None:
            dying_at(step)
            run.run()

        code = ended(in_child(die))
        if code == 0:
            break
        assert code == 9
        if any(run.job.glob("[!l]*")) or not (run.folder / "o.gpkg").exists():
            run.run("resume")
        elif run.job.exists():  # all was done but to release the lock and remove the empty folder
            shutil.rmtree(run.job)
        assert same(run.result(), wanted), f"step {step}"
    assert step > 36
