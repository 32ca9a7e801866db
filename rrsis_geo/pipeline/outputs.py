"""Where the results of a run go: checked before the work."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.masks import Kind
from rrsis_geo.geo.staging import check_writable
from rrsis_geo.geo.vector_io import check_layer_path, layer_name

RASTER_SUFFIXES = (".tif", ".tiff")
SUFFIXES = {"preview": (".png",), "report": (".html", ".htm")}
BYTES_PER_PX = {"mask": 0.05, "probability": 0.5}
"""Of a compressed raster with its overviews, as results of real scenes come out, and some more."""
VECTOR_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that a run writes.

    Attributes:
        vector: the polygons; the suffix says the format.
        mask: GeoTIFF of 0, 1 and 255 (no data), before small objects are left out.
        probability: GeoTIFF of probabilities, to set another threshold without another run.
        preview: PNG of the scene with the objects drawn.
        report: one HTML page of the result: the picture, the largest objects, facts of the run.
        overwrite: replace files that exist.
        windows_layer: a second layer in the GeoPackage, of what was said of each window.
    """

    vector: Path
    mask: Path | None = None
    probability: Path | None = None
    preview: Path | None = None
    report: Path | None = None
    overwrite: bool = False
    windows_layer: bool = False

    def __post_init__(self) -> None:
        for name, path in self.files().items():  # who calls from a notebook gives strings
            object.__setattr__(self, name, path)

    def files(self) -> dict[str, Path]:
        """What is wanted, by kind, the polygons first."""
        names = ("vector", "mask", "probability", "preview", "report")
        found = {name: getattr(self, name) for name in names}
        return {name: Path(path) for name, path in found.items() if path is not None}

    def rasters(self) -> tuple[Kind, ...]:
        """The rasters that are wanted."""
        kinds: tuple[Kind, ...] = ("mask", "probability")
        return tuple(kind for kind in kinds if kind in self.files())

    def check(self, sources: Iterable[Path]) -> None:
        """Refuse what could not be written in the end.

        Args:
            sources: files that are read, which no output may replace.

        Raises:
            OutputError: an unknown suffix, a folder that is missing or not writable, a file that
                exists, an input, or one place for two outputs.
        """
        if self.windows_layer and self.vector.suffix.lower() != ".gpkg":
            raise OutputError(f"{self.vector}: a layer of windows needs a GeoPackage, .gpkg")
        taken: dict[Path, str] = {}
        for name, path in self.files().items():
            place = path.resolve()
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

    def check_space(self, n_pixels: int, *, n_missing: int | None = None) -> None:
        """Refuse a run whose results would not fit on the disk, by a rough estimate.

        Args:
            n_pixels: of the results.
            n_missing: pixels of them that lie in no finished shard yet; None means all.

        Raises:
            OutputError: too little space; says how much there should be.
        """
        job = self.vector.absolute().parent
        needs: list[tuple[Path, float]] = [(job, VECTOR_BYTES)]
        for kind in self.rasters():
            place = self.files()[kind].absolute().parent
            in_shards = n_pixels if n_missing is None else n_missing
            in_place = 2 * n_pixels  # a COG is copied from a tiled file that lies beside it
            needs += [(job, BYTES_PER_PX[kind] * in_shards), (place, BYTES_PER_PX[kind] * in_place)]
        devices: dict[int, tuple[Path, float]] = {}
        for folder, n_bytes in needs:
            device = folder.stat().st_dev
            devices[device] = folder, n_bytes + devices.get(device, (folder, 0.0))[1]
        for folder, n_bytes in devices.values():
            free = shutil.disk_usage(folder).free
            if free < n_bytes:
                raise OutputError(
                    f"{folder}: about {n_bytes / 2**20:.0f} MiB are needed, {free / 2**20:.0f} MiB "
                    "are free; make room, or write elsewhere"
                )


def default_output(scene: str | Path, expression: str) -> Path:
    """Where polygons go if nobody says: scene and expression name a GeoPackage in this folder."""
    name = urlsplit(str(scene)).path if "://" in str(scene) else scene
    return Path(f"{Path(name).stem}_{layer_name(expression)}.gpkg")
