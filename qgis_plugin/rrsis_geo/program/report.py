"""Which layers a run wrote, from the report that rrsis-geo prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RASTERS = ("mask", "probability")


@dataclass(frozen=True)
class ResultLayer:
    """A layer to show.

    Attributes:
        kind: "vector", "mask", "probability" or "windows".
        title: its name in the list of layers.
        source: path, with ``|layername=`` for a layer of a GeoPackage.
    """

    kind: str
    title: str
    source: str


def result_layers(report: Mapping[str, Any], *, has_windows: bool = False) -> list[ResultLayer]:
    """The layers of a run in the order of the expressions, polygons before rasters.

    Args:
        report: of ``segment --json``, also with ``--from-probability``.
        has_windows: whether the run wrote the layers of the windows.
    """
    results = report.get("results", [report])  # polygons of a probability raster are one result
    is_single = len(results) == 1
    layers = []
    for result in results:
        expression, files = str(result["expression"]), result["outputs"]
        name = result.get("layer", "")
        layers.append(ResultLayer("vector", expression, _source(files["vector"], name)))
        if has_windows:
            windows = "windows" if is_single else f"windows_{name}"
            title = f"{expression}: windows"
            layers.append(ResultLayer("windows", title, _source(files["vector"], windows)))
        layers.extend(
            ResultLayer(kind, f"{expression}: {kind}", files[kind])
            for kind in RASTERS
            if kind in files
        )
    return layers


def main_file(report: Mapping[str, Any], kind: str) -> str | None:
    """The file of a kind, of the first expression if each has its own; None if there is none."""
    results = report.get("results", [report])
    path = results[0]["outputs"].get(kind, report["outputs"].get(kind))
    return None if path is None else str(path)


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The number of objects of each expression, and how many were too small, as sentences."""
    lines = []
    for result in report.get("results", [report]):
        area = result.get("area_m2")
        size = "" if area is None else f", {area:,.1f} m²"
        reading = result.get("reading")
        understood = f' (understood as "{reading}")' if reading else ""
        count = f"{result['n_objects']} object" + ("" if result["n_objects"] == 1 else "s")
        lines.append(f'"{result["expression"]}"{understood}: {count}{size}')
    if report.get("dropped"):
        lines.append(f"dropped: {report['dropped']}")
    return lines


def _source(path: str, layer: str) -> str:
    return f"{path}|layername={layer}" if layer and path.endswith(".gpkg") else path
