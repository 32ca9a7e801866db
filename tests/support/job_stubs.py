"""Interrupted runs of `segment`, and predictors that fail."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """Kills its process at the first window with a mark."""

    def __init__(self, flag: Path, *, always: bool = False) -> None:
        super().__init__(position_dependent=True)
        self.flag = flag
        self.always = always

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if is_marked(images).any() and (self.always or not self.flag.exists()):
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(images, words)


class SleepingPredictor(RedPredictor):
    """Writes the number of its process to a file, and sleeps."""

    def __init__(self, pid_file: Path) -> None:
        super().__init__(position_dependent=True)
        self.pid_file = pid_file

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        part = self.pid_file.with_suffix(f".{os.getpid()}")
        part.write_text(str(os.getpid()))
        part.replace(self.pid_file)
        time.sleep(3600)
        return super().predict(images, words)


class FailingPredictor(RedPredictor):
    """Fails on windows with a mark, a limited number of times."""

    def __init__(self, times: int = 10**9, error: Exception | None = None) -> None:
        super().__init__(position_dependent=True)
        self.times = times
        self.error = error or RuntimeError("cuDNN error")

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        if is_marked(images).any() and self.times > 0:
            self.times -= 1
            raise self.error
        return super().predict(images, words)


# A manifest identifies a model without a bundle by its name. All of these count as the same model.
for predictor_class in (DyingPredictor, SleepingPredictor, FailingPredictor):
    predictor_class.__name__ = RedPredictor.__name__


def is_marked(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which windows contain a pixel of pure blue; bool [B]."""
    found: NDArray[np.bool_] = (images == (0, 0, 255)).all(axis=-1).any(axis=(1, 2))
    return found


def add_marks(content: Callable[..., NDArray[Any]], *places: tuple[int, int]) -> Callable[..., Any]:
    """Scene content with pixels of pure blue added."""

    def with_marks(row: NDArray[np.intp], col: NDArray[np.intp], band: int) -> NDArray[Any]:
        values = content(row, col, band)
        for place in places:
            values = np.where((row == place[0]) & (col == place[1]), (0, 0, 255)[band - 1], values)
        return values

    return with_marks


@dataclass(frozen=True, slots=True)
class Scenario:
    """Runs on one scene, with outputs in one folder."""

    scene: Path
    folder: Path
    creation_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> Outputs:
        return Outputs(
            self.folder / "o.gpkg",
            mask=self.folder / "m.tif",
            probability=self.folder / "p.tif",
            creation_options=self.creation_options,
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
            predictor=predictor or RedPredictor(position_dependent=True),
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
            predictor=RedPredictor(position_dependent=True),
        )

    def file_names(self) -> list[str]:
        """Names of all files in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def result(self) -> tuple[str, str, gpd.GeoDataFrame]:
        """The result: digests of the rasters, and the rows of the layer."""
        left = [name for name in self.file_names() if ".part" in name or name.endswith(".job")]
        assert not left, left
        digests = [
            hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            for name in ("m.tif", "p.tif")
        ]
        return digests[0], digests[1], gpd.read_file(self.folder / "o.gpkg", layer="red_discs")


def is_same(
    one: tuple[str, str, gpd.GeoDataFrame], other: tuple[str, str, gpd.GeoDataFrame]
) -> bool:
    """Whether two results are equal: the bytes of the rasters and all values of the layer."""
    assert len(one[2]) > 20, "too few objects for a meaningful comparison"
    return one[:2] == other[:2] and bool(one[2].equals(other[2]))


def run_in_child(work: Callable[[], object]) -> int:
    """Fork a process that does some work; returns its number. Its exit code is 0 after success."""
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


def wait_for_exit(pid: int, *, kill_after: float | None = None) -> int:
    """Wait for a process, or kill it; returns its exit code, or minus the signal."""
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def stop_after(n_calls: int) -> Callable[[], bool]:
    """A `stop` callback that returns True from the n-th call on."""
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= n_calls

    return stop


DIED = 9
"""Exit code of a process that `die_at` has ended."""
_OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def die_at(step: int, folder: Path) -> None:
    """End this process before its step-th operation, from 0, that changes something in a folder.

    It counts what Python tells its audit hooks: files that are opened for writing, and all that is
    renamed, removed or created.
    """
    left, place = step, str(folder)

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in _OPERATIONS or isinstance(arguments[0], int):
            return
        if event == "open" and not arguments[2] & _WRITES:
            return
        path = os.fsdecode(arguments[0])
        if path.startswith(place) or not Path(path).is_absolute():  # in an open folder, by its name
            left -= 1
            if left < 0:
                os._exit(DIED)

    sys.addaudithook(count)
