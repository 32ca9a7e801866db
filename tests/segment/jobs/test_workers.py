"""Runs in several processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from job_stubs import (
    DyingPredictor,
    Scenario,
    SleepingPredictor,
    add_marks,
    is_same,
    run_in_child,
    wait_for_exit,
)
from predictor_stubs import RedPredictor, blobs

from rrsis_geo.errors import DeviceError, InputError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs import workers
from rrsis_geo.segment.jobs.compute import WorkerSetup, split_consecutive, split_shards
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.workers import options_of_worker, run_workers
from rrsis_geo.segment.plan.options import SegmentOptions

MakeScene = Callable[..., Path]


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(2000, 130, content=add_marks(blobs(), (1200, 60)))  # four shards


def shards(*indexes: int) -> list[Shard]:
    return [Shard(index, index * 512, (index + 1) * 512, 0, 1) for index in indexes]


def test_runs_are_consecutive() -> None:
    assert split_consecutive([]) == []
    found = [[shard.index for shard in run] for run in split_consecutive(shards(0, 1, 4, 5, 6, 9))]
    assert found == [[0, 1], [4, 5, 6], [9]]


@pytest.mark.parametrize("n_runs", [1, 2, 3, 5, 50])
def test_split_covers_all_once_and_in_order(n_runs: int) -> None:
    indexes = [0, 1, 2, 5, 6, 7, 8, 9, 20]
    runs = split_shards(shards(*indexes), n_runs)
    assert [index for run in runs for index in run] == indexes
    assert all(run == list(range(run[0], run[-1] + 1)) for run in runs)
    assert max(map(len, runs)) <= -(-len(indexes) // n_runs)


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: range(8), raising=False)
    cpu = SegmentOptions(device="cpu")
    assert [options_of_worker(cpu, k, 3).threads for k in range(3)] == [2, 2, 2]
    assert options_of_worker(cpu, 0, 20).threads == 1
    assert options_of_worker(SegmentOptions(device="cpu", threads=4), 0, 2).threads == 2


def test_gpus_are_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    options = SegmentOptions(device="auto")
    devices = [options_of_worker(options, k, 3).device for k in range(3)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    chosen = SegmentOptions(device="cuda:1")
    assert options_of_worker(chosen, 0, 2).device == "cuda:1"


@pytest.mark.slow
def test_a_worker_dies(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    report = run.run(predictor=DyingPredictor(tmp_path / "died"), workers=2)
    assert (tmp_path / "died").exists()
    (warning,) = report.warnings
    assert f"died (killed by signal {int(signal.SIGKILL)}) in shard 3 of 4" in warning
    assert is_same(run.result(), reference.result())
    assert report.windows == reference_report.windows


@pytest.mark.slow
def test_two_workers_die_in_one_shard(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    dying = DyingPredictor(tmp_path / "died", always=True)
    with pytest.raises(
        DeviceError, match=r"in shard 3 of 4, as another worker did before; .*--resume"
    ):
        run.run(predictor=dying, workers=2)
    run.run("resume")
    assert is_same(run.result(), reference.result())


@pytest.mark.slow
def test_error_of_a_worker(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    run.part(1, 4)
    job = Job.open(run.job)
    setup = WorkerSetup(
        job_folder=run.job,
        stop_file=job.stop_file(),
        options=SegmentOptions(),
        predictor=RedPredictor(position_dependent=True),
    )
    scene.unlink()
    with pytest.raises(InputError, match="no such file"):
        run_workers(job, job.missing_shards(), setup, 2)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_workers_end_with_the_process_that_started_them(scene: Path, tmp_path: Path) -> None:
    run = Scenario(scene, tmp_path / "run")
    pid_file = tmp_path / "pid"
    pid = run_in_child(lambda: run.run(predictor=SleepingPredictor(pid_file), workers=2))
    wait_for(pid_file.exists)
    worker = int(pid_file.read_text())
    assert wait_for_exit(pid, kill_after=0) == -signal.SIGKILL
    wait_for(lambda: not is_running(worker))
    run.run("resume")
    assert run.result()


def wait_for(state: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process that is not our child is running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_workers_stop_after_the_current_shard(scene: Path, tmp_path: Path) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference.run()
    with pytest.raises(Stopped, match=r"[123] of 4 shards are saved"):
        run.run(workers=2, stop=lambda: any(run.job.glob("shard-?????")))
    assert not list(run.job.glob("stop*"))
    run.run("resume", workers=2)
    assert is_same(run.result(), reference.result())


@pytest.mark.slow
@pytest.mark.parametrize("function", ["segment_scene", "segment_scenes"])
def test_script_without_main_guard(scene: Path, tmp_path: Path, function: str) -> None:
    script = tmp_path / "script.py"
    guard = 'if __name__ == "__main__":\n    '
    call = (
        f"{function}({str(scene)!r}, 'red discs', Outputs({str(tmp_path / 'o.gpkg')!r}), OPTIONS, "
        "run=RunOptions(workers=2), predictor=RedPredictor(position_dependent=True))"
    )
    head = (
        "from job_stubs import OPTIONS\nfrom predictor_stubs import RedPredictor\n"
        f"from rrsis_geo import Outputs, RunOptions, {function}\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, script], env=env, capture_output=True, text=True, check=False
        )

    script.write_text(head + call)
    done = run()
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    assert last_line.startswith("rrsis_geo.errors.ConfigError: worker ")
    assert 'put the call under: if __name__ == "__main__":' in last_line
    assert not (tmp_path / "o.gpkg.job").exists()
    if function == "segment_scene":
        script.write_text(head + guard + call)
        done = run()
        assert done.returncode == 0, done.stderr
