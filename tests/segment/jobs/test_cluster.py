"""Runs on a Dask cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_stubs import DyingPredictor, Scenario, SleepingPredictor, add_marks, is_same
from predictor_stubs import blobs

from rrsis_geo.errors import ConfigError, DeviceError
from rrsis_geo.segment.jobs import cluster

distributed = pytest.importorskip("distributed")
MakeScene = Callable[..., Path]


@pytest.fixture
def scene(make_blobs: MakeScene) -> Path:
    return make_blobs(2000, 130, content=add_marks(blobs(), (1200, 60)))  # four shards


@pytest.fixture
def address() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as local:
        yield local.scheduler_address


@pytest.mark.slow
def test_a_worker_of_the_cluster_dies(scene: Path, tmp_path: Path, address: str) -> None:
    reference, run = Scenario(scene, tmp_path / "reference"), Scenario(scene, tmp_path / "run")
    reference_report = reference.run()
    report = run.run(predictor=DyingPredictor(tmp_path / "died"), scheduler=address)
    assert (tmp_path / "died").exists()
    assert report.failed == ()
    assert report.windows == reference_report.windows
    assert is_same(run.result(), reference.result())


@pytest.mark.slow
def test_the_scheduler_dies(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import distributed\n"
        "if __name__ == '__main__':\n"
        "    local = distributed.LocalCluster(n_workers=1, dashboard_address=None)\n"
        "    print(local.scheduler_address, flush=True)\n"
        "    input()\n"
    )
    (tmp_path / "cluster.py").write_text(code)
    child = subprocess.Popen(
        [sys.executable, tmp_path / "cluster.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    address = child.stdout.readline().strip()
    run, pid_file = Scenario(scene, tmp_path / "run"), tmp_path / "pid"
    monkeypatch.setattr(cluster, "WORKERS_EVERY_S", 0.5)
    monkeypatch.setattr(cluster, "ANSWER_S", 5)

    def kill_the_cluster() -> bool:
        if pid_file.exists() and child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return False

    try:
        with pytest.raises(DeviceError, match="the Dask scheduler does not answer any more"):
            run.run(predictor=SleepingPredictor(pid_file), scheduler=address, stop=kill_the_cluster)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.slow
def test_all_workers_die(
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cluster, "WORKERS_EVERY_S", 0.2)
    monkeypatch.setattr(cluster, "NO_WORKERS_S", 2.0)
    run, pid_file = Scenario(scene, tmp_path / "run"), tmp_path / "pid"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as local:

        def remove_workers() -> bool:
            if pid_file.exists():
                local.scale(0)
            return False

        with pytest.raises(DeviceError, match="all workers of the cluster have ended; start some"):
            run.run(
                predictor=SleepingPredictor(pid_file),
                scheduler=local.scheduler_address,
                stop=remove_workers,
            )
    assert "all workers of the cluster have ended; waiting 2 s for new ones" in caplog.text


def test_no_scheduler_at_the_address(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    run = Scenario(scene, tmp_path / "run")
    with pytest.raises(DeviceError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        run.run(scheduler="tcp://127.0.0.1:9")
    assert run.file_names() == []


def test_without_dask(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    run = Scenario(scene, tmp_path / "run")
    with pytest.raises(ConfigError, match=r'pip install "rrsis-geo\[dask\]"'):
        run.run(scheduler="tcp://127.0.0.1:9")
