"""Where the results of a run go: checked before the work."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rrsis_geo.errors import OutputError
from rrsis_geo.files import check_writable
from rrsis_geo.geo.grid.rasters import Kind
from rrsis_geo.geo.layers.vector_io import check_layer_path, layer_name
from rrsis_geo.units import format_bytes

RASTER_SUFFIXES = (".tif", ".tiff")
SUFFIXES = {"preview": (".png",), "report": (".html", ".htm"), "stac_item": (".json",)}
BYTES_PER_PX = {"mask": 0.05, "probability": 0.5}
"""Of a compressed raster with its overviews, as results of real scenes come out, and some more."""
VECTOR_BYTES = 16 * 2**20
SHARED = ("report", "stac_item")
"""Kinds that are one file, whatever the number of expressions; so is a GeoPackage."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that a run writes.

    Of several expressions, each gets a layer of its own in a GeoPackage and a part of its own on
    the page. What holds only one is a file an expression: the name of its layer is appended to
    the one that stands here, as in ``mask_the_red_truck.tif``.

    Attributes:
        vector: the polygons; the suffix says the format.
        mask: GeoTIFF of 0, 1 and 255 (no data), before small objects are left out.
        probability: GeoTIFF of probabilities, to set another threshold without another run.
        preview: PNG of the scene with the objects drawn.
        report: one HTML page of the result: the picture, the largest objects, facts of the run.
        stac_item: JSON by which catalogues describe the result and list its files.
        overwrite: replace files that exist.
        windows_layer: a second layer in the GeoPackage, of what was said of each window.
    """

    vector: Path
    mask: Path | None = None
    probability: Path | None = None
    preview: Path | None = None
    report: Path | None = None
    stac_item: Path | None = None
    overwrite: bool = False
    windows_layer: bool = False

    def __post_init__(self) -> None:
        for name, path in self.files().items():  # who calls from a notebook gives strings
            object.__setattr__(self, name, path)

    def files(self) -> dict[str, Path]:
        """What is wanted, by kind, the polygons first, as it was named."""
        names = ("vector", "mask", "probability", "preview", "report", "stac_item")
        found = {name: getattr(self, name) for name in names}
        return {name: Path(path) for name, path in found.items() if path is not None}

    def each(self, expressions: Sequence[str]) -> tuple["Outputs", ...]:
        """The files of each expression; where there is but one, it gets what was named."""
        if len(expressions) == 1:
            return (self,)
        return tuple(self._of(layer) for layer in layer_names(expressions))

    def written(self, expressions: Sequence[str]) -> dict[str, Path]:
        """All files of a run by kind; one of a single expression by "kind:layer"."""
        owners = list(zip(layer_names(expressions), self.each(expressions), strict=True))
        found = {}
        for kind, named in self.files().items():
            for layer, own in owners:
                path = own.files()[kind]
                found[kind if path == named else f"{kind}:{layer}"] = path
        return found

    def _of(self, layer: str) -> "Outputs":
        paths: dict[str, Any] = {
            kind: path.with_name(f"{path.stem}_{layer}{path.suffix}")
            for kind, path in self.files().items()
            if kind not in SHARED and not (kind == "vector" and holds_layers(path))
        }
        return replace(self, **paths)

    def rasters(self) -> tuple[Kind, ...]:
        """The rasters that are wanted."""
        kinds: tuple[Kind, ...] = ("mask", "probability")
        return tuple(kind for kind in kinds if kind in self.files())

    def check(self, sources: Iterable[Path], expressions: Sequence[str] = ("",)) -> None:
        """Refuse what could not be written in the end.

        Args:
            sources: files that are read, which no output may replace.
            expressions: of the run.

        Raises:
            OutputError: an unknown suffix, a folder that is missing or not writable, a file that
                exists, an input, or one place for two outputs.
        """
        if self.windows_layer and not holds_layers(self.vector):
            raise OutputError(f"{self.vector}: a layer of windows needs a GeoPackage, .gpkg")
        taken: dict[Path, str] = {}
        for key, path in self.written(expressions).items():
            name, place = key.partition(":")[0], path.resolve()
            if any(source.exists() and place == source.resolve() for source in sources):
                raise OutputError(f"{path}: is an input of this run; give another name")
            if name == "vector":
                check_layer_path(path, overwrite=self.overwrite)
            else:
                known = SUFFIXES.get(name, RASTER_SUFFIXES)
                if path.suffix.lower() not in known:
                    raise OutputError(
                        f"{path}: unknown suffix {path.suffix!r}; the {name} is written as "
                        + " or ".join(known)
                    )
                check_writable(path, overwrite=self.overwrite)
            if place in taken:
                raise OutputError(f"{path}: is to hold both the {taken[place]} and the {name}")
            taken[place] = name

    def check_space(
        self, n_pixels: int, *, n_missing: int | None = None, n_expressions: int = 1
    ) -> None:
        """Refuse a run whose results would not fit on the disk, by a rough estimate.

        Args:
            n_pixels: of the results.
            n_missing: pixels of them that lie in no finished shard yet; None means all.
            n_expressions: that there is a result of.

        Raises:
            OutputError: too little space; says how much there should be.
        """
        job = self.vector.absolute().parent
        needs: list[tuple[Path, float]] = [(job, VECTOR_BYTES * n_expressions)]
        for kind in self.rasters():
            place = self.files()[kind].absolute().parent
            in_shards = n_pixels if n_missing is None else n_missing
            in_place = 2 * n_pixels  # a COG is copied from a tiled file that lies beside it
            n_bytes = BYTES_PER_PX[kind] * n_expressions
            needs += [(job, n_bytes * in_shards), (place, n_bytes * in_place)]
        devices: dict[int, tuple[Path, float]] = {}
        for folder, n_bytes in needs:
            device = folder.stat().st_dev
            devices[device] = folder, n_bytes + devices.get(device, (folder, 0.0))[1]
        for folder, n_bytes in devices.values():
            free = shutil.disk_usage(folder).free
            if free < n_bytes:
                raise OutputError(
                    f"{folder}: about {format_bytes(n_bytes)} are needed, {format_bytes(free)} "
                    "are free; make room, or write elsewhere"
                )


def holds_layers(vector: Path) -> bool:
    """Whether a file of polygons can hold more than one layer."""
    return vector.suffix.lower() == ".gpkg"


def layer_names(expressions: Sequence[str]) -> tuple[str, ...]:
    """A name for the layer of each expression, no two alike; see `layer_name`."""
    names: dict[str, str] = {}
    for expression in expressions:
        first = name = layer_name(expression)
        number = 1
        while {name, windows_name(name)} & {*names, *names.values()}:
            number += 1
            name = f"{first}_{number}"
        names[name] = windows_name(name)
    return tuple(names)


def windows_name(layer: str) -> str:
    """The name of the layer of windows that belongs to one of several layers of objects."""
    return f"windows_{layer}"


def default_output(scene: str | Path, expressions: Sequence[str]) -> Path:
    """Where polygons go if nobody says: a GeoPackage in this folder, named for the scene and for
    what is looked for, or for its number where that is several things."""
    name = urlsplit(str(scene)).path if "://" in str(scene) else scene
    number = len(set(expressions))
    found = expressions[0] if number == 1 else f"{number} expressions"
    return Path(f"{Path(name).stem}_{layer_name(found)}.gpkg")
