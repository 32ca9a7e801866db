"""What a run tells of itself when it is done."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrsis_geo.pipeline.failures import FailedWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """What a run did.

    Attributes:
        scene: as given.
        expression: as looked for.
        model: name of the bundle, or of the predictor's class.
        outputs: files written, by kind.
        n_objects: polygons written.
        area_m2: of all of them on the ground; None where unknown, for want of a CRS.
        windows: that the network saw.
        skipped: windows that hold no valid pixel.
        failed: windows that could not be read or predicted; without data in the result.
        presence_max: the highest probability that the target is in a window, None where the model
            does not say.
        seconds: of the whole run.
        load_seconds: of it to load the model.
        network_seconds: in the network, all processes and resumed runs together.
        plan_hash: of all that decides the result.
        warnings: what the user was told.
    """

    scene: str
    expression: str
    model: str
    outputs: dict[str, Path]
    n_objects: int
    area_m2: float | None
    windows: int
    skipped: int
    failed: tuple[FailedWindow, ...]
    presence_max: float | None
    seconds: float
    load_seconds: float
    network_seconds: float
    plan_hash: str
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        outputs = {name: str(path) for name, path in self.outputs.items()}
        failed = [window.to_dict() for window in self.failed]
        return {**fields, "outputs": outputs, "failed": failed, "warnings": list(self.warnings)}


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
