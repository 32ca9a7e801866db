"""Rules give the same layers however the shards of a scene are computed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import shapely
from job_stubs import stop_after
from noun_scenes import NORTH_UP, NounPredictor, content_of, tall_boxes
from scene_files import write_scene

from rrsis_geo.errors import Stopped
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.plan.landmarks import GivenLandmark
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene

EXPRESSIONS = [
    "the five largest buildings",
    "buildings within 60 m of the car",
    "buildings within 100 m of the pier in the northern half",
    "buildings that are not within 60 m of the car",
    "buildings",
]


class Run:
    """A scene of three shards, and files of runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = write_scene(
            folder / "scene.tif", 1300, 210, transform=NORTH_UP, content=content_of(tall_boxes())
        )
        pier = shapely.LineString([NORTH_UP @ (150, 300), NORTH_UP @ (150, 900)])
        gpd.GeoSeries([pier], crs="EPSG:32632").to_file(folder / "piers.gpkg")
        self.options = SegmentOptions(
            overlap_px=16,
            rows_per_shard=512,
            landmarks=(GivenLandmark("pier", folder / "piers.gpkg"),),
        )

    def outputs(self, name: str) -> Outputs:
        return Outputs(self.folder / f"{name}.gpkg", keep_candidates=True, landmarks=True)

    def segment(self, name: str, **run: Any) -> SegmentReport:
        stop = run.pop("stop", lambda: False)
        return segment_scene(
            self.scene,
            EXPRESSIONS,
            self.outputs(name),
            self.options,
            run=RunOptions(**run),
            predictor=NounPredictor(),
            stop=stop,
        )

    def check_same(self, name: str) -> None:
        paths = [self.folder / f"{each}.gpkg" for each in ("whole", name)]
        names = [each for each, kind in pyogrio.list_layers(paths[0]) if kind]
        assert names == [each for each, kind in pyogrio.list_layers(paths[1]) if kind]
        for layer in names:
            whole, other = (gpd.read_file(path, layer=layer) for path in paths)
            assert len(whole) > 0
            assert whole.equals(other)


N_WINDOWS = 28 * 5  # of 64 px with an overlap of 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run(tmp_path_factory.mktemp("runs"))
    assert found.segment("whole").windows == N_WINDOWS
    return found


def test_the_whole_run(run: Run) -> None:
    layers = [name for name, kind in pyogrio.list_layers(run.folder / "whole.gpkg") if kind]
    assert layers[-1] == "landmark_cars"
    tables = [gpd.read_file(run.folder / "whole.gpkg", layer=name) for name in layers]
    everything = tables[4]
    assert len(everything) == len(tall_boxes()) - 1
    largest = tables[0][tables[0].chosen]
    assert sorted(largest.area_m2) == sorted(everything.area_m2)[-5:]
    near, far = tables[1], tables[3]
    assert (near.chosen == ~far.chosen).all()
    assert (near.chosen == (near.distance_m <= 60)).all()
    assert 0 < near.chosen.sum() < 10
    by_pier = tables[2]
    is_north = by_pier.geometry.centroid.y > (NORTH_UP @ (0, 650))[1]
    assert (by_pier.chosen == (is_north & (by_pier.distance_m <= 100))).all()


def test_parts(run: Run) -> None:
    outputs = run.outputs("parts")
    for part in (2, 1):
        segment_part(
            run.scene, EXPRESSIONS, outputs, (part, 2), run.options, predictor=NounPredictor()
        )
    assert merge_job(run.folder / "parts.gpkg.job").windows == N_WINDOWS
    run.check_same("parts")


def test_workers(run: Run) -> None:
    run.segment("workers", workers=2)
    run.check_same("workers")


@pytest.mark.parametrize("n_calls", [2, 5])
def test_stopped_and_resumed(run: Run, n_calls: int) -> None:
    name = f"resumed-{n_calls}"
    with pytest.raises(Stopped):
        run.segment(name, stop=stop_after(n_calls))
    n_done = len(Job.open(run.folder / f"{name}.gpkg.job").completed_stats())
    assert n_done == min(n_calls, 4) - 1
    assert run.segment(name, existing="resume").windows == N_WINDOWS
    run.check_same(name)


def test_each_expression_alone(run: Run) -> None:
    for number, expression in enumerate(EXPRESSIONS):
        options = run.options
        if "pier" not in expression:
            options = SegmentOptions(overlap_px=16, rows_per_shard=512)
        path = run.folder / f"alone-{number}.gpkg"
        outputs = Outputs(path, keep_candidates=True)
        segment_scene(run.scene, expression, outputs, options, predictor=NounPredictor())
        whole = gpd.read_file(run.folder / "whole.gpkg", layer=number)
        assert whole.equals(gpd.read_file(path, layer=0))


@pytest.fixture
def address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as local:
        yield local.scheduler_address


@pytest.mark.slow
def test_a_cluster(run: Run, address: str) -> None:
    run.segment("cluster", scheduler=address)
    run.check_same("cluster")
