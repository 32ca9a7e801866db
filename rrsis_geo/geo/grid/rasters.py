"""Write result rasters: Cloud Optimized GeoTIFF (COG), moved into place when whole."""

import errno
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window

from rrsis_geo.errors import OutputError
from rrsis_geo.files import sync
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.scene.pixels import geo_env
from rrsis_geo.geo.styles import MASK_COLOURS, mask_qml, probability_qml

Kind = Literal["mask", "probability"]

NODATA = 255
"""In both kinds of raster; 0 is "no target", not "no data"."""

PROBABILITY_STEP = 0.004
"""Probability = value x 0.004, so that 0 to 250 are 0 to 1; the file says so in its scale tag."""


def encode_mask(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bool [n, W] twice -> uint8 [n, W]: 1 target, 0 not, 255 no data."""
    values = mask.astype(np.uint8)
    values[~valid] = NODATA
    return values


def encode_probability(
    probability: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Float32 [n, W] in [0, 1], bool [n, W] -> uint8 [n, W]: steps of 0.004, 255 no data."""
    steps: NDArray[np.uint8] = np.rint(probability * np.float32(1 / PROBABILITY_STEP)).astype(
        np.uint8
    )
    steps[~valid] = NODATA
    return steps


class RasterWriter:
    """Writes one band of uint8, from the top down, in a temporary file beside its place.

    Use as a context manager: leaving it puts the raster in place, an error removes what was
    written. Rows may come in bands of any height; they are gathered to rows of whole blocks.

    A COG has its overviews before its pixels, which come first here: it is copied, block by block,
    from a tiled file when all rows are there. So both lie on the disk for a while.
    """

    def __init__(
        self,
        path: str | Path,
        kind: Kind,
        shape: tuple[int, int],
        crs: CRS | None,
        transform: Affine,
        *,
        tags: Mapping[str, str] | None = None,
        cog: bool = True,
    ) -> None:
        """Create the temporary file.

        Args:
            path: where the raster is to be.
            kind: what it holds; see ``encode_mask`` and ``encode_probability``.
            shape: (height, width).
            crs: of the scene, or None.
            transform: pixel to world.
            tags: provenance, kept in the file's metadata.
            cog: add overviews, lay the file out as a COG, and put a style for QGIS beside it, where
                none lies yet; pieces that will be merged need none of it.

        Raises:
            OutputError: it cannot be created there.
        """
        self._path = Path(path)
        self._part = self._path.with_name(self._path.name + ".part")
        self._copy = self._path.with_name(self._path.name + ".part-cog")
        self._kind: Kind = kind
        self._height, self._width = shape
        self._cog = cog
        self._row = 0
        self._buffer = np.empty((min(BLOCK_PX, self._height), self._width), np.uint8)
        self._dataset: rasterio.io.DatasetWriter | None = None
        try:
            with (
                geo_env(),
                warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            ):
                self._dataset = self._create(crs, transform)
            self._dataset.update_tags(**(tags or {}))
            self._dataset.set_band_description(1, kind)
            if kind == "probability":
                self._dataset.scales, self._dataset.offsets = (PROBABILITY_STEP,), (0.0,)
            elif cog:
                self._dataset.write_colormap(1, MASK_COLOURS)
        except (RasterioError, OSError) as err:
            self._abandon()
            raise self._error(err) from err

    @property
    def _predictor(self) -> int:
        return 2 if self._kind == "probability" else 1

    def _create(self, crs: CRS | None, transform: Affine) -> rasterio.io.DatasetWriter:
        return rasterio.open(
            self._part,
            "w",
            driver="GTiff",
            width=self._width,
            height=self._height,
            count=1,
            dtype="uint8",
            crs=crs,
            transform=transform,
            nodata=NODATA,
            tiled=True,
            blockxsize=BLOCK_PX,
            blockysize=BLOCK_PX,
            compress="deflate",
            zlevel=1 if self._cog else 6,  # of what is written twice, the first is read once
            predictor=self._predictor,
            bigtiff="if_safer",
        )

    def write_band(self, row_start: int, rows: NDArray[np.uint8]) -> None:
        """Add the next rows, uint8 [n, W].

        Raises:
            OutputError: the disk is full, or the file cannot be written.
            ValueError: these are not the next rows.
        """
        if row_start != self._row or row_start + len(rows) > self._height:
            raise ValueError(f"rows from {row_start} are out of order: {self._row} is next")
        while len(rows):
            filled = self._row % BLOCK_PX
            n_taken = min(len(rows), len(self._buffer) - filled)
            self._buffer[filled : filled + n_taken] = rows[:n_taken]
            self._row += n_taken
            rows = rows[n_taken:]
            if self._row % BLOCK_PX == 0 or self._row == self._height:
                self._write_blocks(filled + n_taken)

    def _write_blocks(self, n_rows: int) -> None:
        assert self._dataset is not None
        window = Window(0, self._row - n_rows, self._width, n_rows)
        try:
            with geo_env():
                self._dataset.write(self._buffer[:n_rows], 1, window=window)
        except (RasterioError, OSError) as err:
            raise self._error(err) from err

    def close(self) -> None:
        """Make it a COG and put it in place.

        Raises:
            OutputError: the disk is full, or the place cannot be written.
            ValueError: rows are missing.
        """
        if self._row != self._height:
            raise ValueError(f"{self._height - self._row} rows were not written")
        assert self._dataset is not None
        try:
            with geo_env():
                self._dataset.close()
                whole = self._as_cog() if self._cog else self._part
                self._check_whole(whole)
            sync(whole)
            whole.replace(self._path)
            self._part.unlink(missing_ok=True)
            if self._cog:
                self._write_style()
        except (RasterioError, OSError) as err:
            raise self._error(err) from err
        self._dataset = None

    def _factors(self) -> list[int]:
        """Overview factors: halves, until the raster fits a block."""
        largest = max(self._height, self._width) if self._cog else 1
        return [2 ** (k + 1) for k in range(20) if largest > BLOCK_PX * 2**k]

    def _as_cog(self) -> Path:
        """Add overviews to the tiled file; copy it, in the order that a COG has."""
        how = Resampling.mode if self._kind == "mask" else Resampling.average
        if factors := self._factors():
            env = rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=BLOCK_PX)
            with env, self._open(self._part, "r+") as dataset:
                dataset.build_overviews(factors, how)
        self._check_whole(self._part)
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            rasterio.shutil.copy(
                self._part,
                self._copy,
                driver="COG",
                blocksize=BLOCK_PX,
                compress="deflate",
                predictor="standard" if self._predictor == 2 else "no",
                overviews="force_use_existing" if factors else "none",
                bigtiff="if_safer",
            )
        return self._copy

    def _write_style(self) -> None:
        """Put the style where QGIS looks for it; one that lies there may be the user's own."""
        with suppress(FileExistsError), self._path.with_suffix(".qml").open("x") as file:
            file.write(mask_qml() if self._kind == "mask" else probability_qml())

    def _check_whole(self, path: Path) -> None:
        """See that each block is there: GDAL only logs a write that fails as it closes a file."""
        n_bytes = path.stat().st_size
        with self._open(path, "r") as dataset:
            for level, factor in enumerate([1, *self._factors()]):
                n_rows = -(-self._height // (BLOCK_PX * factor))
                n_cols = -(-self._width // (BLOCK_PX * factor))
                for block in (f"{j}_{i}" for i in range(n_rows) for j in range(n_cols)):
                    where = [
                        dataset.get_tag_item(
                            f"BLOCK_{what}_{block}",
                            "TIFF",
                            bidx=1,
                            ovr=level - 1 if level else None,
                        )
                        for what in ("OFFSET", "SIZE")
                    ]
                    if None in where or sum(map(int, where)) > n_bytes:
                        raise OSError(errno.ENOSPC, "parts of it are missing; is the disk full?")

    def _open(self, path: Path, mode: str) -> Any:
        with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
            return rasterio.open(path, mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abandon()
            return
        try:
            self.close()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Remove what was written."""
        dataset, self._dataset = self._dataset, None
        try:
            if dataset is not None:
                dataset.close()
        except RasterioIOError:
            pass  # it is removed anyway
        self._part.unlink(missing_ok=True)
        self._copy.unlink(missing_ok=True)

    def _error(self, err: BaseException) -> OutputError:
        return OutputError(f"{self._path}: cannot be written ({err.__cause__ or err})")
