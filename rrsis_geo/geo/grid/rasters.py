"""Write result rasters as Cloud Optimized GeoTIFFs (COG), whole or not at all."""

import errno
import functools
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import BandOverviewError, NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file, check_writable, follow_link, sync, write_error
from rrsis_geo.geo.grid.arrays import HOST, Array, Arrays
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.scene.sources import geo_env
from rrsis_geo.geo.styles import MASK_COLOURS, mask_qml, probability_qml

Kind = Literal["mask", "probability"]

NODATA = 255
"""Nodata value of both kinds of raster. 0 means "no target"."""

PROBABILITY_STEP = 0.004
"""Probability = value x 0.004, so 0 to 250 stand for 0 to 1. It is the scale tag of the file."""

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""Files that GDAL reads as parts of a raster, by what is appended to its name."""

# Rasterio passes on some errors of GDAL as they are, and raises a warning of its own.
_WRITE_ERRORS = (RasterioError, CPLE_BaseError, BandOverviewError, OSError)


def encode_mask(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Encode bool [n, W] arrays as uint8 [n, W]: 1 target, 0 no target, 255 no data."""
    values = mask.astype(np.uint8)
    values[~valid] = NODATA
    return values


def encode_probability(probability: Array, valid: Array | None, *, arrays: Arrays = HOST) -> Array:
    """Encode probabilities as uint8 [n, W]: steps of 0.004, 255 no data.

    Args:
        probability: float32 [n, W], in [0, 1].
        valid: bool [n, W], None if all pixels are.
        arrays: where the probabilities are.
    """
    steps = arrays.round_to_uint8(probability * (1 / PROBABILITY_STEP))
    if valid is not None:
        steps[~valid] = NODATA
    return steps


@functools.cache
def _can_compress(compress: str) -> bool:
    """Whether the GDAL of rasterio was built with a kind of compression."""
    shape = {"width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    transform = Affine.translation(0, 1)  # rasterio warns of files without a place
    try:
        with geo_env(), MemoryFile() as file:
            file.open(driver="GTiff", transform=transform, **shape, compress=compress).close()
            with file.open() as dataset:  # GDAL ignores what it does not have
                return dataset.compression is not None
    except _WRITE_ERRORS:
        return False


def _temporary_compression() -> dict[str, Any]:
    """Creation options of files that are read once: quick matters more than small."""
    if _can_compress("zstd"):
        return {"compress": "zstd", "zstd_level": 1}
    return {"compress": "deflate", "zlevel": 1}


def check_compression(creation_options: Mapping[str, str]) -> None:
    """Check that GDAL has the compression that the creation options of a raster name.

    Raises:
        OutputError: it was built without it.
    """
    compress = creation_options.get("COMPRESS", "NONE")
    if compress.upper() != "NONE" and not _can_compress(compress.lower()):
        raise OutputError(
            f"the GDAL of rasterio was built without {compress}; choose another COMPRESS"
        )


def check_raster_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check that a raster can be written, before any work is done for it.

    Raises:
        OutputError: the folder is missing or not writable, or the raster or a file that GDAL would
            read as a part of it exists.
    """
    return check_writable(path, overwrite=overwrite, companions=_sidecars(Path(path)))


def _sidecars(path: Path) -> list[Path]:
    target = follow_link(path)
    return [target.with_name(target.name + ending) for ending in SIDECARS]


class Georeference(NamedTuple):
    """Size and position of a raster: shape (height, width), CRS, and transform pixel to world."""

    shape: tuple[int, int]
    crs: CRS | None
    transform: Affine


class RasterWriter:
    """Write a raster of one uint8 band from top to bottom, in bands of any height.

    Use as a context manager. Rows are written to a file in a temporary folder next to the target,
    which is moved at the end, or removed after an error. Rows are buffered until whole blocks are
    complete. After `finish`, only the move is left, so that several outputs can appear at once.

    In a COG the overviews come before the pixels, so it is copied from a tiled file when all rows
    are written. Both files are on the disk at the same time.

    GDAL writes a CRS that GeoTIFF cannot hold, such as one with a rotated pole, to a file beside
    the raster (``.aux.xml``), which is kept.
    """

    def __init__(
        self,
        path: str | Path,
        kind: Kind,
        georeference: Georeference,
        *,
        tags: Mapping[str, str] | None = None,
        cog: bool = True,
        creation_options: Mapping[str, str] | None = None,
    ) -> None:
        """Create the temporary file.

        Args:
            path: path of the raster.
            kind: content of the raster; see ``encode_mask`` and ``encode_probability``.
            georeference: size and position of the raster.
            tags: provenance, written to the metadata of the file.
            cog: write a COG with overviews, and a style for QGIS next to it unless there is one.
                Rasters that will be merged need neither.
            creation_options: of GDAL for the COG; see `geo.creation_options`.

        Raises:
            OutputError: the file cannot be created.
        """
        self._path = Path(path)
        self._kind: Kind = kind
        self._height, self._width = georeference.shape
        self._cog = cog
        self._creation_options = {
            name.lower(): value for name, value in (creation_options or {}).items()
        }
        self._row = 0
        self._buffer = np.empty((min(BLOCK_PX, self._height), self._width), np.uint8)
        self._dataset: rasterio.io.DatasetWriter | None = None
        self._folder = ExitStack()
        self._part = self._folder.enter_context(atomic_file(self._path, overwrite=True))
        self._tiled = self._part.with_suffix(".tiled") if cog else self._part
        try:
            with (
                geo_env(),
                warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            ):
                self._dataset = self._create(georeference)
            self._dataset.update_tags(**(tags or {}))
            self._dataset.set_band_description(1, kind)
            if kind == "probability":
                self._dataset.scales, self._dataset.offsets = (PROBABILITY_STEP,), (0.0,)
            elif cog:
                self._dataset.write_colormap(1, MASK_COLOURS)
        except _WRITE_ERRORS as err:
            self._discard(err)
            raise write_error(self._path, err) from err

    @property
    def _predictor(self) -> int:
        return 2 if self._kind == "probability" else 1

    def _create(self, georeference: Georeference) -> rasterio.io.DatasetWriter:
        return rasterio.open(
            self._tiled,
            "w",
            driver="GTiff",
            width=self._width,
            height=self._height,
            count=1,
            dtype="uint8",
            crs=georeference.crs,
            transform=georeference.transform,
            nodata=NODATA,
            tiled=True,
            blockxsize=BLOCK_PX,
            blockysize=BLOCK_PX,
            **_temporary_compression(),
            predictor=self._predictor,
            bigtiff="if_safer",
        )

    def write_band(self, row_start: int, rows: NDArray[np.uint8]) -> None:
        """Write the next rows, uint8 [n, W].

        Raises:
            OutputError: the disk is full, or the file cannot be written.
            ValueError: the rows are out of order.
        """
        if row_start != self._row or row_start + len(rows) > self._height:
            raise ValueError(f"rows from {row_start} are out of order: expected {self._row}")
        while len(rows):
            filled = self._row % BLOCK_PX
            n_copied = min(len(rows), len(self._buffer) - filled)
            self._buffer[filled : filled + n_copied] = rows[:n_copied]
            self._row += n_copied
            rows = rows[n_copied:]
            if self._row % BLOCK_PX == 0 or self._row == self._height:
                self._write_blocks(filled + n_copied)

    def _write_blocks(self, n_rows: int) -> None:
        assert self._dataset is not None
        window = Window(0, self._row - n_rows, self._width, n_rows)
        try:
            with geo_env():
                self._dataset.write(self._buffer[:n_rows], 1, window=window)
        except _WRITE_ERRORS as err:
            raise write_error(self._path, err) from err

    def finish(self) -> None:
        """Convert the file to a COG, after the last row. It appears when the context ends.

        Raises:
            OutputError: the disk is full, or the file cannot be written.
            ValueError: rows are missing.
        """
        if self._row != self._height:
            raise ValueError(f"{self._height - self._row} rows were not written")
        assert self._dataset is not None
        try:
            with geo_env():
                self._dataset.close()
                if self._cog:
                    self._copy_to_cog()
                    self._write_style()
                self._check_blocks(self._part)
            sync(self._part)  # here, so that the move takes no time
        except _WRITE_ERRORS as err:
            raise write_error(self._path, err) from err
        self._dataset = None
        self._buffer = self._buffer[:0].copy()

    def _move(self) -> None:
        """Move the file to its place, and remove sidecars of the raster that it replaces."""
        try:
            is_kept = {path.name for path in _sidecars(self._part) if path.exists()}
            self._folder.close()
            for sidecar in _sidecars(self._path):
                if sidecar.name not in is_kept:
                    sidecar.unlink(missing_ok=True)
        except OSError as err:
            raise write_error(self._path, err) from err

    def _factors(self) -> list[int]:
        """Overview factors: powers of 2, until the overview fits a block."""
        largest = max(self._height, self._width) if self._cog else 1
        return [2 ** (k + 1) for k in range(20) if largest > BLOCK_PX * 2**k]

    def _copy_to_cog(self) -> None:
        """Add overviews to the tiled file, copy it to a COG, and remove it."""
        resampling = Resampling.mode if self._kind == "mask" else Resampling.average
        if factors := self._factors():
            env = rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=BLOCK_PX)
            with env, self._open(self._tiled, "r+") as dataset:
                dataset.build_overviews(factors, resampling)
        self._check_blocks(self._tiled)
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            rasterio.shutil.copy(
                self._tiled,
                self._part,
                driver="COG",
                blocksize=BLOCK_PX,
                predictor="standard" if self._predictor == 2 else "no",
                overviews="force_use_existing" if factors else "none",
                **{"compress": "deflate", "bigtiff": "if_safer", **self._creation_options},
            )
        for path in (self._tiled, *_sidecars(self._tiled)):
            path.unlink(missing_ok=True)

    def _write_style(self) -> None:
        """Write the style file that QGIS loads, unless there is one, which may be the user's."""
        if not follow_link(self._path).with_suffix(".qml").exists():
            style = mask_qml() if self._kind == "mask" else probability_qml()
            self._part.with_suffix(".qml").write_text(style, encoding="utf-8")

    def _check_blocks(self, path: Path) -> None:
        """Check that no block is missing: GDAL only logs errors that occur in closing a file."""
        n_bytes = path.stat().st_size
        with self._open(path, "r") as dataset:
            for level, factor in enumerate([1, *self._factors()]):
                n_rows = -(-self._height // (BLOCK_PX * factor))
                n_cols = -(-self._width // (BLOCK_PX * factor))
                for block in (f"{j}_{i}" for i in range(n_rows) for j in range(n_cols)):
                    offset_size = [
                        dataset.get_tag_item(
                            f"BLOCK_{name}_{block}",
                            "TIFF",
                            bidx=1,
                            ovr=level - 1 if level else None,
                        )
                        for name in ("OFFSET", "SIZE")
                    ]
                    if None in offset_size or sum(map(int, offset_size)) > n_bytes:
                        raise OSError(errno.ENOSPC, "blocks are missing")

    def _open(self, path: Path, mode: str) -> Any:
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            # with the driver: rasterio raises TypeError if it does not recognise a damaged file
            return rasterio.open(path, mode, driver="GTiff")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._discard(error)
            return
        try:
            if self._dataset is not None:
                self.finish()
            self._move()
        except BaseException as err:
            self._discard(err)
            raise

    def _discard(self, error: BaseException) -> None:
        """Close the file and remove it."""
        dataset, self._dataset = self._dataset, None
        try:
            if dataset is not None:
                dataset.close()
        except _WRITE_ERRORS:
            pass  # the file is removed anyway
        self._folder.__exit__(type(error), error, error.__traceback__)
