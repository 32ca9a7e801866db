"""Describe a scene before a run. Nothing is computed or written."""

from dataclasses import dataclass
from typing import Any

from rrsis_geo.geo.crs import crs_name
from rrsis_geo.geo.scene.options import open_part
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.sources import CACHE_MB
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.catalog import bundle_name, find_bundle
from rrsis_geo.model.facts import ModelFacts, describe_presence
from rrsis_geo.model.manifest import image_source, read_manifest
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import BYTES_PER_ROW_PX, make_plan

SECONDS_PER_WINDOW = 0.15
"""For bundles whose card does not give the time: that of btdnet-lite on two CPU cores."""

START_SECONDS = 3.0
"""Time before the first window on a CPU: 0.9 for imports, the rest for torch and btdnet-lite."""

BANDS_BY = {
    "option": "as chosen",
    "palette": "colour table",
    "gray": "one band, shown as gray",
    "colorinterp": "marked red, green, blue",
    "order": "the first three: none is marked",
}
VALIDITY = {
    "nodata": "by nodata value",
    "mask": "by mask band",
    "alpha": "by alpha band",
    "palette": "by transparent colours",
    "all": "every pixel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFacts:
    """Facts of a scene and of a run on it, ready for JSON.

    Attributes:
        path: of the scene.
        width: number of columns of the part to segment.
        height: number of rows of the part to segment.
        crs: name of the CRS, or None.
        gsd_m: ground pixel in metres, None if unknown.
        dtype: data type of the pixels.
        bands: band numbers, from 1.
        bands_by: how the bands were chosen.
        validity: what marks pixels without data.
        nodata: value of pixels without data, as text because it may be NaN; or None.
        stretch: conversion of values to 8-bit colours.
        model: name of the bundle.
        model_presence: how the model tells windows without the target.
        model_gsd_m: ground pixel that the model gets, in metres; None if unknown.
        model_height: number of rows that the model gets.
        model_width: number of columns that the model gets.
        windows: number of windows; those without data are skipped in a run.
        shards: number of shards.
        memory_bytes: approximate memory of a run, without the program and the network.
        seconds: time of a run, from its start: loading, and the network on the machine of the
            model's card; other machines may take several times as long.
    """

    path: str
    width: int
    height: int
    crs: str | None
    gsd_m: float | None
    dtype: str
    bands: tuple[int, ...]
    bands_by: str
    validity: str
    nodata: str | None
    stretch: dict[str, Any]
    model: str
    model_presence: str
    model_gsd_m: float | None
    model_height: int
    model_width: int
    windows: int
    shards: int
    memory_bytes: int
    seconds: float


def describe_scene(path: str, options: SegmentOptions) -> SceneFacts:
    """Describe what a run with these options would segment.

    Raises:
        InputError: the scene cannot be used.
        ConfigError: an option does not fit the scene.
        ModelError: the bundle is missing or damaged.
    """
    model = read_model_facts(options.model)
    with open_part(path, options.scene) as (whole, part):
        plan = make_plan(part.info, ("objects",), model, options, measure_stretch(whole))
    info, grid = plan.scene, plan.grid
    row_bytes = max(grid.padded_width * grid.size_px, info.width * grid.size_px)
    per_window = model.about.get("seconds_per_window", SECONDS_PER_WINDOW)
    return SceneFacts(
        path=info.path,
        width=info.width,
        height=info.height,
        crs=None if info.crs is None else crs_name(info.crs),
        gsd_m=info.gsd_m,
        dtype=info.dtypes[info.bands[0] - 1],
        bands=info.bands,
        bands_by=BANDS_BY[info.bands_by],
        validity=VALIDITY[info.validity],
        nodata=None if info.nodata is None else f"{info.nodata:g}",
        stretch=plan.stretch.to_dict(),
        model=model.name,
        model_presence=describe_presence(
            estimates=model.estimates_presence, threshold=model.presence
        ),
        model_gsd_m=plan.model_px.gsd_m,
        model_height=grid.height,
        model_width=grid.width,
        windows=grid.n_windows,
        shards=len(plan.shards),
        memory_bytes=CACHE_MB * 2**20 + BYTES_PER_ROW_PX * row_bytes,
        seconds=START_SECONDS + grid.n_windows * float(per_window),
    )


def read_model_facts(name: str) -> ModelFacts:
    """Facts of a bundle, without loading its weights.

    Raises:
        ModelError: the bundle is missing or damaged.
    """
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    image = ImageSpec.from_dict(manifest.image, source=image_source(folder))
    return ModelFacts(
        name=bundle_name(folder),
        image=image,
        language=manifest.language,
        about=manifest.about,
        estimates_presence=manifest.estimates_presence,
        presence=manifest.presence,
        calibration=manifest.calibration,
    )
