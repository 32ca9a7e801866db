"""The report of a batch, and its warnings."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.scene_list import last_part
from rrsis_geo.segment.batch.job import SceneResult
from rrsis_geo.segment.plan.outputs import layer_names
from rrsis_geo.segment.results.report import SegmentReport, paths_to_text, read_objects

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesReport:
    """Report of a run on several scenes.

    Attributes:
        expressions: as given, each once.
        model: name of the bundle, or of the predictor's class.
        outputs: the folders of the results by kind, and the files that all scenes share.
        scenes: result of each scene, in the order given.
        seconds: duration of the whole run.
        load_seconds: part of it spent importing torch and loading the model.
        warnings: of the rules over all scenes together. Each scene has warnings of its own.
    """

    expressions: tuple[str, ...]
    model: str
    outputs: dict[str, Path]
    scenes: tuple[SceneResult, ...]
    seconds: float
    load_seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[SceneResult, ...]:
        """Scenes without a result, or whose result has gaps."""
        return tuple(result for result in self.scenes if not result.is_complete)

    @property
    def n_objects(self) -> int:
        """Number of polygons of all scenes and expressions."""
        return sum(result.report.get("n_objects", 0) for result in self.scenes)

    @property
    def area_m2(self) -> float | None:
        """Total area on the ground; None if the area of a scene is unknown."""
        areas = [result.report["area_m2"] for result in self.scenes if result.report]
        return None if None in areas else sum(areas)

    def to_geodataframe(self) -> "gpd.GeoDataFrame":
        """The polygons of all scenes and expressions, read from their files.

        The columns `scene`, the name of the file of the scene, and `expression` tell them apart.
        Scenes without a result are missing.

        Raises:
            InputError: a file does not exist any more or cannot be read; no scene has a result; or
                the scenes are in several CRSs.
        """
        import pandas as pd

        vector = self.outputs.get("vector")
        if vector is not None and vector.is_dir():
            frames = list(self._frames_of_scenes())
        else:
            frames = self._frames_of_expressions()
        if not frames:
            raise InputError("no scene has a result")
        if any(frame.crs != frames[0].crs for frame in frames):
            raise InputError(
                f"{vector}: the scenes are in several CRSs; read their files one by one"
            )
        return pd.concat(frames, ignore_index=True)

    def _frames_of_scenes(self) -> Iterator["gpd.GeoDataFrame"]:
        """The objects of each scene that has a result."""
        for result in self.scenes:
            if result.report:
                frame = SegmentReport.from_dict(result.report).to_geodataframe()
                frame.insert(0, "scene", last_part(result.scene))
                yield frame

    def _frames_of_expressions(self) -> list["gpd.GeoDataFrame"]:
        """The objects of each expression, in files or layers for all scenes."""
        names = layer_names(self.expressions)
        files = [self.outputs.get(f"vector:{name}", self.outputs.get("vector")) for name in names]
        return [
            read_objects(file, name)
            for file, name in zip(files, names, strict=True)
            if file is not None
        ]

    def to_dict(self) -> dict[str, Any]:
        """The totals, and the report of each scene, ready for JSON."""
        return {
            "expressions": list(self.expressions),
            "model": self.model,
            "outputs": paths_to_text(self.outputs),
            "n_objects": self.n_objects,
            "area_m2": self.area_m2,
            "n_failed": len(self.failed),
            "seconds": self.seconds,
            "load_seconds": self.load_seconds,
            "warnings": list(self.warnings),
            "scenes": [result.to_dict() for result in self.scenes],
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "ScenesReport":
        """The inverse of `to_dict`."""
        return ScenesReport(
            expressions=tuple(record["expressions"]),
            model=record["model"],
            outputs={kind: Path(text) for kind, text in record["outputs"].items()},
            scenes=tuple(SceneResult.from_dict(each) for each in record["scenes"]),
            seconds=record["seconds"],
            load_seconds=record["load_seconds"],
            warnings=tuple(record["warnings"]),
        )


_shown: ContextVar[set[str] | None] = ContextVar("_shown", default=None)
"""The warnings shown in this context: that of a batch and of its background threads."""


@contextmanager
def hide_repeated_warnings() -> Iterator[None]:
    """Show only the first of several warnings that differ by numbers and paths only.

    Otherwise the same warning would be shown for each of ten thousand scenes. The report of each
    scene still contains all of its warnings. Runs in other threads show theirs.
    """
    seen: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or _shown.get() is not seen:
            return True
        text = re.sub(r"\S*[/\\]\S*|\S+\.\w+:|\d+(?:\.\d+)?", "", record.getMessage())
        if text in seen:
            return False
        seen.add(text)
        return True

    with ExitStack() as stack:
        for handler in logging.getLogger("rrsis_geo").handlers:
            handler.addFilter(is_new)
            stack.callback(handler.removeFilter, is_new)
        stack.callback(_shown.reset, _shown.set(seen))
        yield
