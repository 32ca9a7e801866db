"""Runs on a Dask cluster."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_stubs import DyingPredictor, Scenario, add_marks, is_same
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
