"""Arguments of rrsis-geo for what a user asks in a dialog."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

JSON_LINES = ("--json", "--progress", "json")
OUTLINES = {
    "": "Along the pixels",
    "smooth": "Smooth curves",
    "regularize": "Straight walls and right angles (buildings)",
}
"""How outlines are drawn: the option of the program, and what the dialog calls it."""


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is read, and which part of it; all of it without values.

    Attributes:
        bbox: (left, bottom, right, top) in the CRS of the scene.
        aoi: vector file with polygons.
        aoi_layer: its layer, "" if it has only one.
        bands: band numbers such as "3,2,1", "" for the default of the program.
    """

    bbox: tuple[float, float, float, float] | None = None
    aoi: str = ""
    aoi_layer: str = ""
    bands: str = ""

    def arguments(self) -> list[str]:
        """The options of the scene."""
        box = "" if self.bbox is None else ",".join(repr(float(edge)) for edge in self.bbox)
        values = {"bbox": box, "aoi": self.aoi, "aoi-layer": self.aoi_layer, "bands": self.bands}
        return [f"--{name}={value}" for name, value in values.items() if value]


@dataclass(frozen=True)
class Result:
    """What to write, and which objects.

    Attributes:
        polygons: vector file.
        threshold: probability above which a pixel belongs to an object.
        min_area_m2: objects below this area are dropped; None for the default of the program.
        simplify_m: tolerance for simplifying outlines; None for the default of the program.
        outline: an option that draws outlines otherwise than along pixels, "" for none; see
            `OUTLINES`.
        files: further outputs, option name -> path: "mask", "probability", "preview", "report".
        has_windows_layer: also write the layer of the windows.
        is_appended: keep all else in the vector file, a GeoPackage, if it exists.
    """

    polygons: str
    threshold: float = 0.5
    min_area_m2: float | None = None
    simplify_m: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    has_windows_layer: bool = False
    outline: str = ""
    is_appended: bool = False

    def arguments(self) -> list[str]:
        """The options of the result.

        Existing files are replaced, as QGIS asked before; of a file that is appended to, the layers
        of the same sentences.
        """
        return [
            f"--out={self.polygons}",
            f"--threshold={self.threshold!r}",
            *([] if self.min_area_m2 is None else [f"--min-area={self.min_area_m2!r}"]),
            *([] if self.simplify_m is None else [f"--simplify={self.simplify_m!r}"]),
            *([f"--{self.outline}"] if self.outline else []),
            *(f"--{name}={path}" for name, path in self.files.items() if path),
            *(["--windows-layer"] if self.has_windows_layer else []),
            *(["--append"] if self.is_appended else []),
            "--overwrite",
        ]


@dataclass(frozen=True)
class Network:
    """The model, and where it runs.

    Attributes:
        model: name, folder or hf:// address of a bundle.
        device: "auto", "cpu", "cuda" and so on.
    """

    model: str = "btdnet-lite"
    device: str = "auto"


def segment_arguments(
    scene: str,
    expressions: Sequence[str],
    result: Result,
    *,
    options: SceneOptions,
    network: Network,
    further: Sequence[str] = (),
) -> list[str]:
    """Arguments that segment a scene.

    Args:
        scene: path or address of the raster.
        expressions: what to find.
        result: what to write.
        options: how the scene is read.
        network: model and device.
        further: options as on the command line, such as ["--resume", "--split"].
    """
    return [
        "segment",
        *JSON_LINES,
        f"--model={network.model}",
        f"--device={network.device}",
        *options.arguments(),
        *result.arguments(),
        *further,
        "--",  # an expression or a file may begin with "-"
        scene,
        *expressions,
    ]


def polygon_arguments(probability: str, expression: str, result: Result) -> list[str]:
    """Arguments that make polygons from a probability raster.

    Args:
        probability: raster that segment wrote.
        expression: what was found, "" if the raster names it.
        result: what to write.
    """
    options = ["segment", *JSON_LINES, f"--from-probability={probability}", *result.arguments()]
    # SCENE comes before EXPRESSION; the raster itself is the background of pictures.
    return [*options, "--", probability, expression] if expression else options


def info_arguments(scene: str, options: SceneOptions, model: str) -> list[str]:
    """Arguments that describe how a scene is read and what a run costs."""
    return ["info", f"--model={model}", *options.arguments(), "--", scene]


def read_expressions(text: str) -> list[str]:
    """The expressions of a text, one per line, without blank lines and comments (#)."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def split_options(text: str) -> list[str]:
    """Options as a user types them on a command line, such as ``--nodata 0 --split``.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    return shlex.split(text)


def stop_message(stopped: str, command: Sequence[str], job: str) -> str:
    """What became of a run that the user canceled, and how it continues.

    Args:
        stopped: what the program said at its end; "" if it was killed.
        command: the program and its arguments.
        job: vector file of a run that can be resumed, "" for other runs.
    """
    if not job or not Path(f"{job}.job").is_dir():
        return "stopped; nothing was saved"
    return (
        f"{stopped or f'stopped; completed work is saved in {job}.job'}\n"
        f"To resume, run the algorithm again with the same settings and {job} as its file, or run "
        f"in a terminal:\n  {_resume_command(command)}"
    )


def _resume_command(command: Sequence[str]) -> str:
    """The command that continues a stopped run, quoted for a shell of POSIX."""
    words = [word for word in command if word not in ("--resume", "--restart")]
    start = words.index(JSON_LINES[0])
    words[start : start + len(JSON_LINES)] = ["--resume"]
    return shlex.join(words)
