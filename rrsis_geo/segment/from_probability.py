"""Polygons again, from a probability that a run has written: no network is needed.

The result is that of the run with the other threshold, but for pixels whose probability lies within
half a step of the file (0.002) of it.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from rrsis_geo.errors import ConfigError, InputError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.grid.rasters import Georeference, RasterWriter, encode_mask
from rrsis_geo.geo.grid.windows import BLOCK_PX
from rrsis_geo.geo.layers.vector_io import layer_name
from rrsis_geo.geo.objects.features import make_features
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.strips import close_strip
from rrsis_geo.geo.objects.vectorize import BandVectorizer
from rrsis_geo.geo.scene.acquisition_time import acquisition_time
from rrsis_geo.geo.scene.aoi import bbox_area
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import Scene, open_scene
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import check_size
from rrsis_geo.segment.results.layer import (
    ObjectLayer,
    Painting,
    needs_picture,
    scene_painting,
    write_objects,
)
from rrsis_geo.segment.results.page import RunFacts, write_page
from rrsis_geo.segment.results.report import collected_warnings
from rrsis_geo.segment.results.stac_item import ItemFacts, write_item
from rrsis_geo.version import __version__

BAND_PX = 2**24
"""Pixels that are worked on at once, about."""
_ROUNDING = 1e-6  # 175 x 0.004 is not quite 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class PolygonReport:
    """What was made of a probability.

    Attributes:
        probability: the raster, as given.
        expression: what it is the probability of.
        model: what looked, "" where the raster does not say.
        threshold: probability above which a pixel counts.
        outputs: files written, by kind.
        n_objects: polygons written.
        area_m2: of all of them on the ground; None where unknown, for want of a CRS.
        seconds: it took.
        warnings: what the user was told.
    """

    probability: str
    expression: str
    model: str
    threshold: float
    outputs: dict[str, Path]
    n_objects: int
    area_m2: float | None
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        outputs = {name: str(path) for name, path in self.outputs.items()}
        return {**fields, "outputs": outputs, "warnings": list(self.warnings)}


def polygonize(
    probability: str | Path,
    outputs: Outputs,
    options: SegmentOptions | None = None,
    *,
    expression: str | None = None,
    scene: str | Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> PolygonReport:
    """Make polygons of a probability, with another threshold.

    Args:
        probability: raster whose first band holds probabilities, scaled as the file says.
        outputs: files to write; a probability is not among them.
        options: the threshold, the smallest area and the tolerance are looked at, no others.
        expression: what it is the probability of; None asks the file.
        scene: shown behind the objects of a picture; None shows the probability.
        command: that began this, for the report.
        progress: told how far it is.

    Raises:
        ConfigError: nobody says what it is the probability of, or metres are asked for without CRS.
        InputError: the raster cannot be used.
        OutputError: a result cannot be written.
    """
    started = time.perf_counter()
    options = options or SegmentOptions()
    if outputs.probability is not None:
        raise ConfigError("a probability is what this begins with; it is not written again")
    sources = [probability] if scene is None else [probability, scene]
    outputs.check([Path(source) for source in sources])
    with (
        collected_warnings() as warnings,
        open_scene(probability, bands=[1], allow_no_crs=True) as raster,
    ):
        info, tags = raster.info, raster.reader.dataset.tags()
        check_size(info)
        expression = expression or tags.get("expression")
        if not expression:
            raise ConfigError(f"{probability}: does not say what it shows; give the EXPRESSION too")
        model = tags.get("model", "")
        features = make_features(
            _objects(raster, outputs, options.threshold, tags, progress or no_progress),
            transform=info.transform,
            crs=info.crs,
            gsd_m=info.gsd_m,
            expression=expression,
            model=model,
            min_area_m2=options.min_area_m2,
            simplify_m=options.simplify_m,
        )
        layer = ObjectLayer(outputs, expression, layer_name(expression), info.crs)
        names = ("threshold", "min_area_m2", "simplify_m")
        provenance = {
            "software": f"rrsis-geo {__version__}",
            "probability": {
                "path": absolute_path(probability),
                "size_bytes": info.size_bytes,
                "mtime": info.mtime,
                "tags": tags,
            },
            "options": {name: getattr(options, name) for name in names},
        }
        painting = _painting(raster, scene) if needs_picture(outputs) else None
        write_objects([layer], [features], [provenance], info.crs, painting)
        result = layer.result()
        report = PolygonReport(
            probability=str(probability),
            expression=expression,
            model=model,
            threshold=options.threshold,
            outputs=outputs.files(),
            n_objects=result.n_objects,
            area_m2=result.area_m2,
            seconds=time.perf_counter() - started,
            warnings=tuple(warnings),
        )
        if outputs.report is not None:
            facts = RunFacts(
                scene=info,
                results=[result],
                model=model or "unknown",
                work=(
                    ("made of", f"{probability}, without running the network"),
                    ("threshold", f"{options.threshold:g}"),
                ),
                seconds=report.seconds,
                warnings=report.warnings,
                command=command,
                outputs=report.outputs,
            )
            write_page(outputs.report, facts, [layer], overwrite=outputs.overwrite)
        if outputs.stac_item is not None:
            item = ItemFacts(
                grid=info,
                acquisition=acquisition_time(str(probability), raster.reader.dataset),
                made=datetime.now(UTC),
                results=[result],
                model=model,
                threshold=options.threshold,
                outputs=report.outputs,
            )
            write_item(outputs.stac_item, item, overwrite=outputs.overwrite)
    return report


def _objects(
    raster: Scene, outputs: Outputs, threshold: float, tags: dict[str, str], progress: Progress
) -> Iterator[Objects]:
    """The closed objects, band by band; writes the mask, if it is wanted, as they pass."""
    info = raster.info
    vectorizer = BandVectorizer(info.width)
    with ExitStack() as stack:
        mask_out = None
        if outputs.mask is not None:
            kept = {name: text for name, text in tags.items() if name in ("expression", "model")}
            mask_out = stack.enter_context(
                RasterWriter(
                    outputs.mask,
                    "mask",
                    Georeference(info.shape, info.crs, info.transform),
                    tags={"software": f"rrsis-geo {__version__}", **kept},
                )
            )
        n_rows = max(BAND_PX // info.width, 1)
        if n_rows > BLOCK_PX:
            n_rows -= n_rows % BLOCK_PX  # so that no block is read twice
        for row in range(0, info.height, n_rows):
            progress("rows", row, info.height)
            window = Window(0, row, info.width, min(n_rows, info.height - row))
            probability, valid = _read(raster, window)
            mask = valid & (probability > threshold + _ROUNDING)
            if mask_out is not None:
                mask_out.write_band(row, encode_mask(mask, valid))
            yield vectorizer.add_band(row, mask, probability).in_reading_order()
    progress("rows", info.height, info.height)
    yield close_strip(vectorizer.finish())


def _read(raster: Scene, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities float32 [h, w], and bool [h, w]: which are known."""
    dataset = raster.reader.dataset
    values, valid = raster.read(window)
    probability = values[0] * np.float32(dataset.scales[0]) + np.float32(dataset.offsets[0])
    probability[~valid] = 0
    least, most = float(probability.min()), float(probability.max())
    if least < 0 or most > 1 + _ROUNDING:
        raise InputError(
            f"{raster.info.path}: holds values from {least:g} to {most:g}, probabilities are 0 to "
            "1; give a raster that was written with --probability"
        )
    return probability, valid


def _painting(raster: Scene, scene: str | Path | None) -> Painting:
    """Ready to draw on the scene, or on the probability itself."""
    info = raster.info
    if scene is None:
        scale = float(raster.reader.dataset.scales[0]) or 1.0
        return scene_painting(raster, Stretch(kind="linear", lo=(0.0,), hi=(1 / scale,)))
    corners = [(0, 0), (info.width, 0), (0, info.height), (info.width, info.height)]
    xs, ys = zip(*(info.transform @ corner for corner in corners), strict=True)
    with open_scene(scene, allow_no_crs=True) as whole:
        part = whole.crop(bbox_area(whole.info, (min(xs), min(ys), max(xs), max(ys)), info.crs))
        return scene_painting(part, measure_stretch(whole))
