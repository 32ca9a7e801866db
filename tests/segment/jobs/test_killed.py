"""A run that dies at any operation on a file is resumed, with the same result and no leftovers."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import pytest
from job_stubs import DIED, EXPRESSION, OPTIONS, die_at, run_in_child, wait_for_exit
from predictor_stubs import RedPredictor

from rrsis_geo.segment.batch.scenes import segment_scenes
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

MakeScene = Callable[..., Path]
Kind = Literal["single", "workers", "parts", "batch", "batch with workers", "joined"]
OUT = {"batch": "tiles", "batch with workers": "tiles", "joined": "all.gpkg"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run of one kind, with all of its files in one folder."""

    scenes: tuple[Path, ...]
    folder: Path
    kind: Kind

    @property
    def outputs(self) -> Outputs:
        out = self.folder / OUT.get(self.kind, "o.gpkg")
        return Outputs(out, mask=self.folder / ("m.tif" if self.kind not in OUT else "masks"))

    def __call__(self, existing: Any, *, workers: int | None = None) -> None:
        run = RunOptions(existing=existing, workers=workers or (2 if "workers" in self.kind else 1))
        predictor = RedPredictor(position_dependent=True)
        if self.kind == "parts":
            self._compute_parts(run, predictor, overwrite=existing != "refuse")
        elif self.kind in OUT:
            segment_scenes(
                self.scenes, EXPRESSION, self.outputs, OPTIONS, run=run, predictor=predictor
            )
        else:
            segment_scene(
                self.scenes[0], EXPRESSION, self.outputs, OPTIONS, run=run, predictor=predictor
            )

    def _compute_parts(self, run: RunOptions, predictor: RedPredictor, overwrite: bool) -> None:
        job = self.folder / "o.gpkg.job"
        if not (self.folder / ".o.gpkg.job-done").exists():
            for part in (1, 2):
                segment_part(
                    self.scenes[0],
                    EXPRESSION,
                    replace(self.outputs, overwrite=overwrite),
                    (part, 2),
                    OPTIONS,
                    run=run,
                    predictor=predictor,
                )
        merge_job(job)

    def result(self) -> dict[str, Any]:
        """The content of each file, by its path."""
        return {
            str(path.relative_to(self.folder)): gpd.read_file(path, layer="red_discs").to_json()
            if path.suffix == ".gpkg"
            else hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if not path.is_dir() or path.name.endswith((".job", "layers")) or ".part" in path.name
        }


def check_deaths(make_run: Callable[[str], Run], first: int, stride: int, twice: bool) -> int:
    """Let runs die at every `stride`-th operation and resume them; returns how many died."""
    reference = make_run("reference")
    reference.folder.mkdir()
    reference("refuse")
    expected, n_deaths = reference.result(), 0
    while True:
        step = first + n_deaths * stride
        run = make_run(f"step-{step}")
        run.folder.mkdir()

        def die(existing: str, at: int, run: Run = run) -> int:
            def work() -> None:
                die_at(at, run.folder)
                run(existing)

            return wait_for_exit(run_in_child(work))

        code = die("refuse", step)
        if code == 0:
            assert run.result() == expected
            return n_deaths
        assert code == DIED
        if twice:  # while it resumes, too
            code = die("resume", 7 * step % 60)
            assert code in (0, DIED), f"step {step}"
        if code == DIED:
            run("resume", workers=1)
        assert run.result() == expected, f"step {step}"
        n_deaths += 1


SLOW = pytest.mark.slow


@pytest.mark.parametrize("twice", [pytest.param(False, marks=SLOW), True])
@pytest.mark.parametrize(
    ("kind", "stride"),
    [
        ("single", 17),
        ("joined", 41),
        *(pytest.param(kind, 1, marks=SLOW) for kind in ("single", "parts", "batch", "joined")),
        pytest.param("workers", 4, marks=SLOW),
        pytest.param("batch with workers", 9, marks=SLOW),
    ],
)
def test_a_run_dies_at_any_operation(
    make_blobs: MakeScene, tmp_path: Path, kind: Kind, stride: int, twice: bool
) -> None:
    scenes = [make_blobs(600, 130)]  # two shards
    if kind in OUT:
        scenes = [make_blobs(90 + k, 130) for k in range(2)]

    def make_run(name: str) -> Run:
        return Run(tuple(scenes), tmp_path / name, kind)

    n_deaths = check_deaths(make_run, stride // 2, stride, twice)
    print(f"{kind}: {n_deaths} of {n_deaths} deaths resumed")
    assert n_deaths >= 30 // stride
