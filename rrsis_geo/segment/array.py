"""Segment pixels that are in memory: an array, its transform and its CRS."""

import hashlib
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.dtypes import check_dtype
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError
from rasterio.shutil import delete

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.geo.scene.sources import geo_env
from rrsis_geo.progress import Progress
from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import segment_scene

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_users: Counter[str] = Counter()
"""Number of runs that read each raster in memory. Runs of the same pixels share one."""
_lock = Lock()


def segment_array(
    pixels: NDArray[Any],
    transform: Affine,
    crs: CRS | str | None,
    expression: str | Sequence[str],
    outputs: Outputs | None = None,
    options: SegmentOptions | None = None,
    *,
    run: RunOptions | None = None,
    predictor: WindowPredictor | None = None,
    progress: Progress | None = None,
) -> SegmentReport:
    """Find objects in an array. The result is that of `segment_scene` for a file of these pixels.

    Args:
        pixels: [bands, rows, columns] as rasterio reads them, or [rows, columns] for one band; any
            integer or float type. Of three bands or more, the first three are red, green and blue,
            unless ``options.scene.bands`` chooses others. Pixels without data are those that a
            masked array (``dataset.read(masked=True)``) masks in all bands, those with the value
            ``options.scene.nodata`` in all bands, and those that are NaN or infinite in any band.
        transform: pixel to world.
        crs: CRS, or a text such as "EPSG:32632"; None needs ``options.scene.allow_no_crs``.
        expression: what to find, in English: one expression or a sequence of them.
        outputs: files to write. None writes polygons and previews to a temporary folder, which is
            deleted together with the report.
        options: None takes all defaults.
        run: None takes all defaults.
        predictor: used instead of the bundle that the options name.
        progress: called with progress.

    Raises:
        ConfigError: an option asks for other processes or for a file of the scene; or see
            `segment_scene`.
        InputError: the array has another shape or type, or see `segment_scene`.
        RrsisError: see `segment_scene`.
    """
    options, run = options or SegmentOptions(), run or RunOptions()
    _check_options(crs, outputs, options, run)
    with (
        _raster_in_memory(_as_bands(pixels), transform, _as_crs(crs)) as scene,
        ExitStack() as stack,
    ):
        if outputs is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="rrsis-geo-")))
            outputs = Outputs(folder / "objects.gpkg", preview=folder / "objects.png")
        report = segment_scene(
            scene, expression, outputs, options, run=run, predictor=predictor, progress=progress
        )
        weakref.finalize(report, stack.pop_all().close)
    return report


def _check_options(
    crs: object, outputs: Outputs | None, options: SegmentOptions, run: RunOptions
) -> None:
    if not run.is_alone:
        raise ConfigError("other processes cannot read an array; use one worker, or save a file")
    if crs is None and not options.scene.allow_no_crs:
        raise ConfigError("crs is None; give a CRS, or allow_no_crs=True to work without one")
    files = {} if outputs is None else outputs.files()
    for kind in ("qgis_project", "stac_item"):
        if kind in files:
            raise ConfigError(f"{kind} names the file of the scene; save the array to a file first")


def _as_bands(pixels: NDArray[Any]) -> NDArray[Any]:
    """The pixels as [bands, rows, columns].

    Raises:
        InputError: they have another shape, no pixels, or a type that no raster has.
    """
    pixels = np.ma.asanyarray(pixels)
    bands = pixels[None] if pixels.ndim == 2 else pixels
    if bands.ndim != 3 or not bands.size:
        raise InputError(f"pixels must be [bands, rows, columns], got an array of {pixels.shape}")
    if bands.shape[2] <= 4 < bands.shape[0]:
        raise InputError(
            f"pixels must be [bands, rows, columns], got an array of {pixels.shape}; "
            "use np.moveaxis(pixels, -1, 0)"
        )
    native = bands.dtype.newbyteorder("=")
    if native.kind not in "uif" or not check_dtype(native):
        raise InputError(
            f"pixels of type {bands.dtype} cannot be used; convert them to integers or floats"
        )
    return bands.astype(native, copy=False)


def _as_crs(crs: CRS | str | None) -> CRS | None:
    try:
        return None if crs is None else CRS.from_user_input(crs)
    except (CRSError, ValueError) as err:
        raise ConfigError(f'"{crs}" is not a CRS; use a form such as EPSG:4326') from err


@contextmanager
def _raster_in_memory(pixels: NDArray[Any], transform: Affine, crs: CRS | None) -> Iterator[str]:
    """A GeoTIFF in the memory of this process, named by its content, while the block runs.

    Yields:
        Its name, which GDAL opens like a path.
    """
    mask = None
    if np.ma.is_masked(pixels):
        mask = np.asarray(np.ma.getmaskarray(pixels).all(axis=0))
    bands = np.ma.getdata(pixels)
    name = f"/vsimem/rrsis-geo-{_digest(bands, mask, transform, crs)}/array.tif"
    with _lock:
        if not _users[name]:
            _write(name, bands, mask, transform, crs)
        _users[name] += 1
    try:
        yield name
    finally:
        with _lock:
            _users[name] -= 1
            if not _users[name]:
                del _users[name]
                delete(name)


def _digest(
    bands: NDArray[Any], mask: NDArray[np.bool_] | None, transform: Affine, crs: CRS | None
) -> str:
    facts = bands.dtype.str, bands.shape, tuple(transform), None if crs is None else crs.to_wkt()
    digest = hashlib.sha256(repr(facts).encode())
    for layer in (*bands, *(() if mask is None else (mask,))):
        digest.update(np.ascontiguousarray(layer).data)
    return digest.hexdigest()[:16]


def _write(
    name: str,
    bands: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    transform: Affine,
    crs: CRS | None,
) -> None:
    count, height, width = bands.shape
    colours = _RGB if count >= 3 else (ColorInterp.gray,)
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
    with (
        geo_env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            name,
            "w",
            **profile,
            dtype=bands.dtype,
            crs=crs,
            transform=transform,
            bigtiff="if_safer",
        ) as raster,
    ):
        raster.colorinterp = [*colours, *[ColorInterp.undefined] * (count - len(colours))]
        raster.write(bands)
        if mask is not None:
            raster.write_mask(~mask)
