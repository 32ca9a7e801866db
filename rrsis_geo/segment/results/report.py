"""What a run tells of itself when it is done."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrsis_geo.segment.shards.failures import FailedWindow, merged


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionResult:
    """What a run found of one expression.

    Attributes:
        expression: as looked for.
        layer: its name, in a format that names layers.
        outputs: files that hold it, by kind.
        n_objects: polygons written.
        area_m2: of all of them on the ground; None where unknown, for want of a CRS.
        failed: windows that could not be read or predicted; without data in the result.
        presence_max: the highest probability that the target is in a window, None where the model
            does not say.
    """

    expression: str
    layer: str
    outputs: dict[str, Path]
    n_objects: int
    area_m2: float | None
    failed: tuple[FailedWindow, ...] = ()
    presence_max: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        failed = [window.to_dict() for window in self.failed]
        return {**fields, "outputs": as_text(self.outputs), "failed": failed}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """What a run did.

    Attributes:
        scene: as given.
        model: name of the bundle, or of the predictor's class.
        results: of each expression, in the order in which they were given.
        outputs: all files written, by kind; where there are several expressions, a file that holds
            only one of them by "kind:layer".
        windows: that the network saw, counted once, whatever the number of expressions.
        skipped: windows that hold no valid pixel.
        seconds: of the whole run.
        load_seconds: of it to load the model.
        network_seconds: in the network, all expressions, processes and resumed runs together.
        plan_hash: of all that decides the result.
        warnings: what the user was told.
    """

    scene: str
    model: str
    results: tuple[ExpressionResult, ...]
    outputs: dict[str, Path]
    windows: int
    skipped: int
    seconds: float
    load_seconds: float
    network_seconds: float
    plan_hash: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def expressions(self) -> tuple[str, ...]:
        """What was looked for."""
        return tuple(result.expression for result in self.results)

    @property
    def n_objects(self) -> int:
        """Polygons written, of all expressions."""
        return sum(result.n_objects for result in self.results)

    @property
    def area_m2(self) -> float | None:
        """Of all of them on the ground, summed; None where unknown, for want of a CRS."""
        areas = [result.area_m2 for result in self.results]
        known = [area for area in areas if area is not None]
        return sum(known) if len(known) == len(areas) else None

    @property
    def failed(self) -> tuple[FailedWindow, ...]:
        """Windows that have no result for an expression, each once."""
        return merged(window for result in self.results for window in result.failed)

    @property
    def presence_max(self) -> float | None:
        """The highest probability that a target is in a window, None where the model is silent."""
        known = (result.presence_max for result in self.results)
        return max((presence for presence in known if presence is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """What was done, ready for JSON: the run, its sums, and the result of each expression."""
        alone = {"expression": self.expressions[0]} if len(self.results) == 1 else {}
        return {
            "scene": self.scene,
            **alone,
            "model": self.model,
            "outputs": as_text(self.outputs),
            "n_objects": self.n_objects,
            "area_m2": self.area_m2,
            "windows": self.windows,
            "skipped": self.skipped,
            "failed": [window.to_dict() for window in self.failed],
            "presence_max": self.presence_max,
            "seconds": self.seconds,
            "load_seconds": self.load_seconds,
            "network_seconds": self.network_seconds,
            "plan_hash": self.plan_hash,
            "warnings": list(self.warnings),
            "results": [result.to_dict() for result in self.results],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """What a run that computes a part of the shards did.

    Attributes:
        job: the folder that the other parts, and `merge_job`, go on with.
        shards: of this part, numbered from 1: first and last; () where there are fewer shards
            than parts.
        missing: shards of the whole job that nobody has done yet.
        failed: windows of this part that could not be read or predicted.
        warnings: what the user was told.
    """

    job: Path
    shards: tuple[int, ...]
    missing: int
    failed: tuple[FailedWindow, ...]
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        failed = [window.to_dict() for window in self.failed]
        return {
            "job": str(self.job),
            "shards": list(self.shards),
            "missing": self.missing,
            "failed": failed,
            "warnings": list(self.warnings),
        }


def as_text(paths: Mapping[str, Path]) -> dict[str, str]:
    """Files by kind, ready for JSON."""
    return {kind: str(path) for kind, path in paths.items()}


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The texts of all warnings that are logged below us, each once."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text not in texts:
                texts.append(text)

    package = logging.getLogger("rrsis_geo")
    collector = Collector(logging.WARNING)
    package.addHandler(collector)
    try:
        yield texts
    finally:
        package.removeHandler(collector)
