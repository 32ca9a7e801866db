"""Reports of a run: what it found, which files it wrote, and what went wrong."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rrsis_geo.segment.plan.outputs import holds_layers
from rrsis_geo.segment.shards.failures import FailedWindow, merge_failed
from rrsis_geo.units import format_area, format_count

if TYPE_CHECKING:
    import geopandas as gpd


PICTURE_PX = 800
"""Longest side of the picture in a notebook; half of it with several pictures."""


class ShownResult(Protocol):
    """A result that a notebook shows."""

    @property
    def expression(self) -> str: ...
    @property
    def n_objects(self) -> int: ...
    @property
    def area_m2(self) -> float | None: ...
    @property
    def outputs(self) -> dict[str, Path]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionResult:
    """Result of one expression.

    Attributes:
        expression: the expression.
        layer: name of its layer.
        outputs: its files by kind.
        n_objects: number of polygons.
        area_m2: total area on the ground; None if the scene has no CRS.
        failed: windows that could not be read or predicted. They are no data in the result.
        presence_max: highest probability in any window that the target is in the window; None if
            the model does not predict it.
        reading: how the expression was understood; "" where the network alone answers it.
        n_candidates: number of polygons in the layer, those that are not chosen included; None if
            the layer has only the chosen ones.
        n_dropped: number of objects that were too small.
    """

    expression: str
    layer: str
    outputs: dict[str, Path]
    n_objects: int
    area_m2: float | None
    failed: tuple[FailedWindow, ...] = ()
    presence_max: float | None = None
    reading: str = ""
    n_candidates: int | None = None
    n_dropped: int = 0

    def to_geodataframe(self) -> "gpd.GeoDataFrame":
        """The polygons of the expression, read from its vector file.

        The columns are those of the file, see docs/segment.md. The CRS is that of the scene;
        GeoJSON has longitude and latitude.

        Raises:
            InputError: the file does not exist any more, or cannot be read.
        """
        return read_objects(self.outputs["vector"], self.layer)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        failed = [window.to_dict() for window in self.failed]
        return {**fields, "outputs": paths_to_text(self.outputs), "failed": failed}

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "ExpressionResult":
        """The inverse of `to_dict`."""
        failed = tuple(FailedWindow.from_dict(window) for window in record["failed"])
        outputs = _paths_from_text(record["outputs"])
        return ExpressionResult(**{**record, "outputs": outputs, "failed": failed})


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class SegmentReport:
    """Report of a run on one scene.

    Attributes:
        scene: path as given.
        model: name of the bundle, or of the predictor's class.
        results: result of each expression, in the order given.
        outputs: all files by kind, or by "kind:layer" if each expression has its own file.
        windows: windows that the network predicted, each counted once for all expressions.
        skipped: windows without valid pixels.
        seconds: duration of the whole run.
        load_seconds: part of it spent importing torch and loading the model.
        network_seconds: time in the network, summed over expressions, processes and resumed runs.
        plan_hash: hash of everything that determines the result.
        smallest: in words, what was too small.
        warnings: all warnings of the run, each once.
        unwritten: by kind, as in `outputs`, why a picture or the page could not be made. All other
            outputs are written.
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
    smallest: str = ""
    warnings: tuple[str, ...] = field(default=())
    unwritten: dict[str, str] = field(default_factory=dict)

    @property
    def expressions(self) -> tuple[str, ...]:
        """The expressions, in the order given."""
        return tuple(result.expression for result in self.results)

    @property
    def n_objects(self) -> int:
        """Number of polygons of all expressions."""
        return sum(result.n_objects for result in self.results)

    @property
    def dropped(self) -> str:
        """In words, how many objects were too small; "" if none was."""
        return dropped_text(sum(result.n_dropped for result in self.results), self.smallest)

    @property
    def area_m2(self) -> float | None:
        """Total area of all expressions on the ground; None if the scene has no CRS."""
        areas = [result.area_m2 for result in self.results]
        known = [area for area in areas if area is not None]
        return sum(known) if len(known) == len(areas) else None

    @property
    def failed(self) -> tuple[FailedWindow, ...]:
        """Windows without a result for at least one expression, each once."""
        return merge_failed(window for result in self.results for window in result.failed)

    @property
    def presence_max(self) -> float | None:
        """Highest `presence_max` of the expressions; None if the model predicts none."""
        known = (result.presence_max for result in self.results)
        return max((presence for presence in known if presence is not None), default=None)

    def to_geodataframe(self) -> "gpd.GeoDataFrame":
        """The polygons of all expressions; the column `expression` tells them apart.

        See `ExpressionResult.to_geodataframe`.

        Raises:
            InputError: a file does not exist any more, or cannot be read.
        """
        import pandas as pd

        return pd.concat([each.to_geodataframe() for each in self.results], ignore_index=True)

    def _repr_html_(self) -> str:
        """The previews and a table, as a notebook shows them."""
        return notebook_html(self.results, self.dropped, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The run, its totals, and the result of each expression, ready for JSON."""
        expression = {"expression": self.expressions[0]} if len(self.results) == 1 else {}
        return {
            "scene": self.scene,
            **expression,
            "model": self.model,
            "outputs": paths_to_text(self.outputs),
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
            "smallest": self.smallest,
            "dropped": self.dropped,
            "warnings": list(self.warnings),
            "unwritten": self.unwritten,
            "results": [result.to_dict() for result in self.results],
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "SegmentReport":
        """The inverse of `to_dict`."""
        fields = {name: record[name] for name in SegmentReport.__slots__ if name in record}
        return SegmentReport(
            **{
                **fields,
                "outputs": _paths_from_text(record["outputs"]),
                "results": tuple(ExpressionResult.from_dict(each) for each in record["results"]),
                "warnings": tuple(record["warnings"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """Report of a run that computed a part of the shards.

    Attributes:
        job: folder of the job, which the other parts and `merge_job` use.
        part: (k, n): the k-th of n parts.
        n_shards: number of shards of the whole job.
        shards: first and last shard of this part, numbered from 1; () if there are fewer shards
            than parts.
        missing: number of shards of the whole job that are not completed yet.
        failed: windows of this part that could not be read or predicted.
        warnings: all warnings of this run, each once.
    """

    job: Path
    part: tuple[int, int]
    n_shards: int
    shards: tuple[int, ...]
    missing: int
    failed: tuple[FailedWindow, ...]
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        failed = [window.to_dict() for window in self.failed]
        return {
            "job": str(self.job),
            "part": list(self.part),
            "n_shards": self.n_shards,
            "shards": list(self.shards),
            "missing": self.missing,
            "failed": failed,
            "warnings": list(self.warnings),
        }


def read_objects(vector: Path, layer: str) -> "gpd.GeoDataFrame":
    """The polygons of a layer.

    Args:
        vector: file of polygons.
        layer: name of the layer in a GeoPackage. Other formats hold one.

    Raises:
        InputError: the file does not exist any more, or cannot be read.
    """
    from rrsis_geo.geo.scene.vector_files import read_vectors  # loads geopandas

    return read_vectors(vector, layer=layer if holds_layers(vector) else None)


def notebook_html(results: Sequence[ShownResult], dropped: str, warnings: Sequence[str]) -> str:
    """Results as a notebook shows them: their previews, a table, and warnings.

    Args:
        results: of each expression. Previews are shown if they are among its outputs.
        dropped: in words, how many objects were too small; "" if none was.
        warnings: of the run.
    """
    from rrsis_geo.pages.render import render, thumbnail_url

    max_px = PICTURE_PX if len(results) == 1 else PICTURE_PX // 2
    previews = [(each.expression, each.outputs.get("preview")) for each in results]
    urls = [(text, path and thumbnail_url(path, max_px)) for text, path in previews]
    pictures = [(text, url) for text, url in urls if url]
    notes = [*([f"Dropped: {dropped}"] if dropped else []), *warnings]
    values = {"pictures": pictures, "results": results, "notes": notes}
    return render("notebook.html", values)


def dropped_text(n_dropped: int, smallest: str) -> str:
    """How many objects were dropped because they were too small; "" if none was."""
    return f"{format_count(n_dropped, 'object')} {smallest}" if n_dropped else ""


def smallest_text(min_area_m2: float | None, min_pixels: int, gsd_m: float | None) -> str:
    """What is dropped for its size.

    Args:
        min_area_m2: as the user chose; None for the default.
        min_pixels: the default, in pixels of the scene.
        gsd_m: ground pixel of the scene; None if unknown.
    """
    if min_area_m2 is not None:
        return f"under {format_area(min_area_m2)}"
    size = f"{min_pixels} pixels" if gsd_m is None else format_area(min_pixels * gsd_m**2)
    return f"under {size} (--min-area 0 keeps them)"


def paths_to_text(paths: Mapping[str, Path]) -> dict[str, str]:
    """Paths by kind, ready for JSON."""
    return {kind: str(path) for kind, path in paths.items()}


def _paths_from_text(paths: Mapping[str, str]) -> dict[str, Path]:
    return {kind: Path(text) for kind, text in paths.items()}


_collected: ContextVar[tuple[list[str], ...]] = ContextVar("_collected", default=())
"""The lists that collect warnings in this context: that of a run and of its background threads."""


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the texts of all warnings that the package logs in this context, each once.

    Runs in other threads have contexts of their own, so their warnings are not mixed.

    Yields:
        The list of texts, which grows while the block runs.
    """
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text, is_ours = record.getMessage(), any(each is texts for each in _collected.get())
            if is_ours and text not in texts:
                texts.append(text)

    package = logging.getLogger("rrsis_geo")
    collector = Collector(logging.WARNING)
    package.addHandler(collector)
    token = _collected.set((*_collected.get(), texts))
    try:
        yield texts
    finally:
        _collected.reset(token)
        package.removeHandler(collector)
