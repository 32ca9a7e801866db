"""The files of a run: their names, and the checks that they can be written."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rrsis_geo.errors import OutputError
from rrsis_geo.files import check_name, check_writable
from rrsis_geo.geo.creation_options import (
    check_creation_options,
    raster_options,
    vector_options,
)
from rrsis_geo.geo.grid.rasters import Kind, check_compression, check_raster_path
from rrsis_geo.geo.layers.layer_files import check_layer_path, check_new_layers, layer_name
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS
from rrsis_geo.units import format_bytes

OUTPUT_FLAGS = ("windows_layer", "keep_candidates", "landmarks", "phrase_layers", "append")
"""Fields of `Outputs` that decide what is in the files."""
MAX_STEM_BYTES = 150
"""Longest part of a default name that comes from the scene."""
VECTOR_BYTES = 16 * 2**20
"""Space required for the vector file of one expression."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that a run writes.

    With several expressions, a GeoPackage holds one layer per expression, and the report and the
    STAC item describe all of them. Every other file is written once per expression, with the name
    of the layer appended, as in ``mask_the_red_truck.tif``.

    Attributes:
        vector: the polygons; the suffix selects the format.
        mask: GeoTIFF of 0, 1 and 255 (no data), before small objects are removed.
        probability: GeoTIFF of probabilities, from which `polygonize` makes polygons with another
            threshold.
        preview: PNG of the scene with the objects.
        report: HTML page with the picture, the largest objects and the facts of the run.
        qgis_project: QGIS project with the scene and all layers.
        stac_item: JSON file that describes the result for catalogues and lists its files.
        overwrite: replace files that exist; with `append`, a layer of this program too.
        windows_layer: add a layer of the windows and their scores to the GeoPackage.
        keep_candidates: write all objects of the target, with a column "chosen" that tells those
            that the expression means. All else is about the chosen ones only.
        landmarks: add a layer for each landmark that the network finds to the GeoPackage.
        phrase_layers: do not apply rules: write what was found for the target, and for each phrase
            of the expression in a layer of its own. Batches use it to join scenes.
        append: add the layers to the GeoPackage if it exists. All else in it stays.
        creation_options: creation options of GDAL by name. Each goes to the files that have it:
            the polygons, or the mask and the probability; see
            `geo.creation_options`.
    """

    vector: Path
    mask: Path | None = None
    probability: Path | None = None
    preview: Path | None = None
    report: Path | None = None
    qgis_project: Path | None = None
    stac_item: Path | None = None
    overwrite: bool = False
    windows_layer: bool = False
    keep_candidates: bool = False
    landmarks: bool = False
    phrase_layers: bool = False
    append: bool = False
    creation_options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, path in self.files().items():  # strings are accepted too
            check_name(path)  # before anything looks the file up
            object.__setattr__(self, name, path)
        by_name = {name.upper(): value for name, value in self.creation_options.items()}
        object.__setattr__(self, "creation_options", by_name)

    def files(self) -> dict[str, Path]:
        """The paths as given, by kind. The vector file comes first."""
        paths = {name: getattr(self, name) for name in OUTPUT_KINDS}
        return {name: Path(path) for name, path in paths.items() if path is not None}

    def per_expression(self, expressions: Sequence[str]) -> tuple["Outputs", ...]:
        """The files of each expression. A single expression gets the files as given."""
        if len(expressions) == 1:
            return (self,)
        return tuple(self._for_layer(layer) for layer in layer_names(expressions))

    def all_files(self, expressions: Sequence[str]) -> dict[str, Path]:
        """All files of a run by kind, or by "kind:layer" if each expression has its own file."""
        layers = list(zip(layer_names(expressions), self.per_expression(expressions), strict=True))
        paths = {}
        for kind, path_given in self.files().items():
            for layer, outputs in layers:
                path = outputs.files()[kind]
                paths[kind if path == path_given else f"{kind}:{layer}"] = path
        return paths

    def _for_layer(self, layer: str) -> "Outputs":
        paths: dict[str, Any] = {
            kind: path.with_name(f"{path.stem}_{layer}{path.suffix}")
            for kind, path in self.files().items()
            if OUTPUT_KINDS[kind].is_per_expression
            and not (kind == "vector" and holds_layers(path))
        }
        return replace(self, **paths)

    def vector_options(self) -> dict[str, str]:
        """The creation options of the polygons."""
        return vector_options(self.creation_options, self.vector.suffix)

    def raster_options(self) -> dict[str, str]:
        """The creation options of the mask and of the probability."""
        return raster_options(self.creation_options)

    def rasters(self) -> tuple[Kind, ...]:
        """The kinds of rasters to write."""
        kinds: tuple[Kind, ...] = ("mask", "probability")
        return tuple(kind for kind in kinds if kind in self.files())

    def check(self, sources: Iterable[Path], expressions: Sequence[str] = ("",)) -> None:
        """Check that every file can be written.

        Args:
            sources: input files, which no output may replace.
            expressions: of the run.

        Raises:
            ConfigError: a creation option cannot be set.
            OutputError: a suffix is unknown, a name is too long, a folder is missing or not
                writable, a file exists or is an input, or two outputs have the same path.
        """
        self.check_format()
        self.check_creation_options()
        if self.append:
            names = self._layers_to_append(expressions)
            check_new_layers(self.vector, names, overwrite=self.overwrite)
        input_paths = {source.resolve() for source in sources if source.exists()}
        kind_by_path: dict[Path, str] = {}
        for key, path in self.all_files(expressions).items():
            check_name(path)
            name, absolute_path = key.partition(":")[0], path.resolve()
            if absolute_path in input_paths:
                raise OutputError(f"{path}: is an input of this run; choose another name")
            is_appended = name == "vector" and self.append
            _check_path(name, path, overwrite=self.overwrite or is_appended)
            if absolute_path in kind_by_path:
                raise OutputError(
                    f"{path}: is the path of both the {kind_by_path[absolute_path]} and the {name}"
                )
            kind_by_path[absolute_path] = name

    def _layers_to_append(self, expressions: Sequence[str]) -> list[str]:
        names = layer_names(expressions)
        windows = [windows_layer_name(name) for name in names] if self.windows_layer else []
        return [*names, *windows]

    def check_format(self) -> None:
        """Check that the format of the polygons can hold all layers that are asked for.

        Raises:
            OutputError: it holds one layer and more are asked for, or landmarks are to be appended.
        """
        if self.append and self.landmarks:
            raise OutputError(
                f"{self.vector}: landmarks cannot be appended, since runs may share them; write "
                "this run to a file of its own"
            )
        for name, is_asked in (
            ("the windows layer needs", self.windows_layer),
            ("landmarks are layers of their own and need", self.landmarks),
            ("appending a layer needs", self.append),
        ):
            if is_asked and not holds_layers(self.vector):
                raise OutputError(f"{self.vector}: {name} a GeoPackage (.gpkg)")

    def check_creation_options(self) -> None:
        """Check the creation options.

        Raises:
            ConfigError: see `geo.creation_options.check_creation_options`.
            OutputError: the GDAL of rasterio was built without a compression.
        """
        check_creation_options(
            self.creation_options,
            self.vector.suffix,
            has_rasters=bool(self.rasters()),
            is_new=not (self.append and self.vector.exists()),
        )
        check_compression(self.raster_options())

    def check_crs(self, scene: SceneInfo) -> None:
        """Check that the format of the polygons can hold the positions of a scene.

        Raises:
            OutputError: see `check_layer_crs`.
        """
        from rrsis_geo.geo.layers.crs_check import check_layer_crs  # loads GDAL's vector drivers

        check_layer_crs(self.vector, scene.crs, scene.transform, scene.shape)

    def check_space(
        self, n_pixels: int, *, n_missing: int | None = None, n_expressions: int = 1
    ) -> None:
        """Check that the disks have enough free space, by a rough estimate.

        Args:
            n_pixels: pixels of the result.
            n_missing: pixels in shards that are not completed yet; None means all.
            n_expressions: number of expressions.

        Raises:
            OutputError: too little space; the message says how much is required.
        """
        job_folder = self.vector.absolute().parent
        required: list[tuple[Path, float]] = [(job_folder, VECTOR_BYTES * n_expressions)]
        for kind in self.rasters():
            raster_folder = self.files()[kind].absolute().parent
            px_in_shards = n_pixels if n_missing is None else n_missing
            px_in_rasters = 2 * n_pixels  # a COG is copied from a tiled file beside it
            bytes_per_px = OUTPUT_KINDS[kind].bytes_per_px * n_expressions
            required += [
                (job_folder, bytes_per_px * px_in_shards),
                (raster_folder, bytes_per_px * px_in_rasters),
            ]
        _check_free_space(required)


def _check_path(kind: str, path: Path, *, overwrite: bool) -> None:
    if kind == "vector":
        check_layer_path(path, overwrite=overwrite)
        return
    suffixes = OUTPUT_KINDS[kind].suffixes
    if path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path}: unknown suffix {path.suffix!r}; the {kind} is written as "
            + " or ".join(suffixes)
        )
    check = check_raster_path if kind in ("mask", "probability") else check_writable
    check(path, overwrite=overwrite)


def _check_free_space(required: Iterable[tuple[Path, float]]) -> None:
    """Compare the bytes required in each folder with the free space of its disk."""
    by_device: dict[int, tuple[Path, float]] = {}
    for folder, n_bytes in required:
        device = folder.stat().st_dev
        by_device[device] = folder, n_bytes + by_device.get(device, (folder, 0.0))[1]
    for folder, n_bytes in by_device.values():
        free = shutil.disk_usage(folder).free
        if free < n_bytes:
            raise OutputError(
                f"{folder}: about {format_bytes(n_bytes)} are needed, {format_bytes(free)} "
                "are free; free some space, or write to another disk"
            )


def holds_layers(vector: Path) -> bool:
    """Whether the format of a vector file can hold more than one layer."""
    return vector.suffix.lower() == ".gpkg"


def layer_names(expressions: Sequence[str]) -> tuple[str, ...]:
    """A unique layer name for each expression; see `layer_name`."""
    names: dict[str, str] = {}
    for expression in expressions:
        base = name = layer_name(expression)
        number = 1
        while {name, windows_layer_name(name)} & {*names, *names.values()}:
            number += 1
            name = f"{base}_{number}"
        names[name] = windows_layer_name(name)
    return tuple(names)


def landmark_layer_names(expressions: Sequence[str], landmarks: Sequence[str]) -> tuple[str, ...]:
    """A unique layer name for each landmark, beside those of the expressions."""
    names = layer_names([*expressions, *(f"landmark {landmark}" for landmark in landmarks)])
    return names[len(expressions) :]


def windows_layer_name(layer: str) -> str:
    """Name of the windows layer that belongs to one of several layers of objects."""
    return f"windows_{layer}"


def default_output(scene: str | Path, expressions: Sequence[str]) -> Path:
    """The default vector file: a GeoPackage in the current folder.

    It is named after the scene and the expression, or the number of expressions. Of a very long
    name of a scene, only the beginning is used.
    """
    name = urlsplit(str(scene)).path if "://" in str(scene) else scene
    n_expressions = len(set(expressions))
    target = expressions[0] if n_expressions == 1 else f"{n_expressions} expressions"
    stem = Path(name).stem.encode(errors="replace")[:MAX_STEM_BYTES].decode(errors="ignore")
    return Path(f"{stem}_{layer_name(target)}.gpkg")
