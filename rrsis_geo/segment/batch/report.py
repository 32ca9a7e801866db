"""What a run on several scenes tells of itself."""

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrsis_geo.segment.batch.job import SceneResult
from rrsis_geo.segment.results.report import paths_to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesReport:
    """What became of several scenes.

    Attributes:
        expressions: as looked for.
        model: name of the bundle, or of the predictor's class.
        outputs: the folders of the results by kind; and the files that all scenes share.
        scenes: each, in the order given.
        seconds: of the whole run.
        load_seconds: of it to load the model.
    """

    expressions: tuple[str, ...]
    model: str
    outputs: dict[str, Path]
    scenes: tuple[SceneResult, ...]
    seconds: float
    load_seconds: float

    @property
    def failed(self) -> tuple[SceneResult, ...]:
        """Scenes without a result, or with gaps in it."""
        return tuple(result for result in self.scenes if not result.is_whole)

    @property
    def n_objects(self) -> int:
        """Polygons of all scenes and expressions."""
        return sum(result.report.get("n_objects", 0) for result in self.scenes)

    @property
    def area_m2(self) -> float | None:
        """Of all of them on the ground; None where one of the areas is unknown."""
        areas = [result.report["area_m2"] for result in self.scenes if result.report]
        return None if None in areas else sum(areas)

    def to_dict(self) -> dict[str, Any]:
        """What was done, ready for JSON: the sums, and each scene as a run of its own tells it."""
        return {
            "expressions": list(self.expressions),
            "model": self.model,
            "outputs": paths_to_text(self.outputs),
            "n_objects": self.n_objects,
            "area_m2": self.area_m2,
            "n_failed": len(self.failed),
            "seconds": self.seconds,
            "load_seconds": self.load_seconds,
            "scenes": [result.to_dict() for result in self.scenes],
        }


@contextmanager
def one_warning_a_kind() -> Iterator[None]:
    """Of warnings that differ by numbers and paths only, who listens now hears but the first.

    Ten thousand scenes would say the same ten thousand times. The report of each scene has its own.
    """
    seen: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
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
        yield
