"""Runs of the main job that are cut short, and what they leave."""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from predictor_stubs import RedPredictor, StubOutput

from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results.report import PartReport, SegmentReport
from rrsis_geo.segment.scene import segment_part, segment_scene

EXPRESSION = "red discs"
OPTIONS = SegmentOptions(overlap_px=16, rows_per_shard=512)


class DyingPredictor(RedPredictor):
    """Ends its process without a word when it first meets a window with a mark in it."""

    def __init__(self, flag: Path, *, always: bool = False) -> None:
        super().__init__(restless=True)
        self.flag = flag
        self.always = always

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if is_marked(images).any() and (self.always or not self.flag.exists()):
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(images, words)


class SleepingPredictor(RedPredictor):
    """Writes down who it is, and takes its time."""

    def __init__(self, told: Path) -> None:
        super().__init__(restless=True)
        self.told = told

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        part = self.told.with_suffix(f".{os.getpid()}")
        part.write_text(str(os.getpid()))
        part.replace(self.told)
        time.sleep(3600)
        return super().predict(images, words)


class StubbornPredictor(RedPredictor):
    """Fails on windows with a mark in them, so many times."""

    def __init__(self, times: int = 10**9, error: Exception | None = None) -> None:
        super().__init__(restless=True)
        self.times = times
        self.error = error or RuntimeError("cuDNN error")

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if is_marked(images).any() and self.times > 0:
            self.times -= 1
            raise self.error
        return super().predict(images, words)


# Manifests tell models without a bundle by their names: these are to pass for the one they imitate.
for imitator in (DyingPredictor, SleepingPredictor, StubbornPredictor):
    imitator.__name__ = RedPredictor.__name__


def is_marked(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of some windows hold a pixel of pure blue; bool [B]."""
    found: NDArray[np.bool_] = (images == (0, 0, 255)).all(axis=-1).any(axis=(1, 2))
    return found


def marked(content: Callable[..., NDArray[Any]], *places: tuple[int, int]) -> Callable[..., Any]:
    """Scene content with pixels of pure blue in it."""

    def with_marks(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[Any]:
        values = content(row, col, band)
        for place in places:
            values = np.where((row == place[0]) & (col == place[1]), (0, 0, 255)[band - 1], values)
        return values

    return with_marks


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scene, and outputs in a folder of their own."""

    scene: Path
    folder: Path

    @property
    def outputs(self) -> Outputs:
        return Outputs(
            self.folder / "o.gpkg", mask=self.folder / "m.tif", probability=self.folder / "p.tif"
        )

    @property
    def job(self) -> Path:
        return self.folder / "o.gpkg.job"

    def run(
        self,
        existing: Any = "refuse",
        predictor: RedPredictor | None = None,
        *,
        options: SegmentOptions = OPTIONS,
        expression: str = EXPRESSION,
        stop: Callable[[], bool] = lambda: False,
        **run: Any,
    ) -> SegmentReport:
        self.folder.mkdir(exist_ok=True)
        return segment_scene(
            self.scene,
            expression,
            self.outputs,
            options,
            run=RunOptions(existing=existing, **run),
            predictor=predictor or RedPredictor(restless=True),
            stop=stop,
        )

    def part(self, number: int, n_parts: int, **run: Any) -> PartReport:
        self.folder.mkdir(exist_ok=True)
        return segment_part(
            self.scene,
            EXPRESSION,
            self.outputs,
            (number, n_parts),
            OPTIONS,
            run=RunOptions(**run),
            predictor=RedPredictor(restless=True),
        )

    def written(self) -> list[str]:
        """Names of all that lies in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def result(self) -> tuple[str, str, gpd.GeoDataFrame]:
        """What must not depend on how a run went: bytes of the rasters, rows of the layer."""
        left = [name for name in self.written() if ".part" in name or name.endswith(".job")]
        assert not left, left
        digests = [
            hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            for name in ("m.tif", "p.tif")
        ]
        return digests[0], digests[1], gpd.read_file(self.folder / "o.gpkg", layer="red_discs")


def same(one: tuple[str, str, gpd.GeoDataFrame], other: tuple[str, str, gpd.GeoDataFrame]) -> bool:
    """Whether two results are equal: rasters to the byte, layers in every value."""
    assert len(one[2]) > 20, "a result that says little"
    return one[:2] == other[:2] and bool(one[2].equals(other[2]))


def in_child(work: Callable[[], object]) -> int:
    """Start a process that has all modules loaded; its number. It ends with 0 if the work does."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        work()
        code = 0
    finally:
        os._exit(code)


def ended(pid: int, *, kill_after: float | None = None) -> int:
    """Wait for a process, or kill it; its exit code, or minus the signal."""
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def after(n_calls: int) -> Callable[[], bool]:
    """Says to stop, from the n-th time on that it is asked."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= n_calls

    return stop
