"""What the tool sees in a scene, and which models there are: nothing is computed or written."""

from dataclasses import dataclass
from typing import Any

from rrsis_geo.geo.crs import crs_name
from rrsis_geo.geo.scene.options import open_part
from rrsis_geo.geo.scene.pixels import CACHE_MB
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.catalog import bundle_folders, bundle_name, find_bundle, list_bundles
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.model.manifest import read_manifest
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.plan import BYTES_PER_ROW_PX, make_plan

SECONDS_PER_WINDOW = 0.15
"""Of a network of the size of btdnet-lite on two processor cores, where its card does not say."""

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
    "all": "every pixel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFacts:
    """What is known of a scene before a run, ready for JSON.

    Attributes:
        path: of the scene.
        width: columns of the part to work on.
        height: rows of it.
        crs: its name, None without.
        gsd_m: metres on the ground per pixel, None where unknown.
        dtype: of the pixels.
        bands: those used, and how they were chosen.
        bands_by: likewise.
        validity: what tells which pixels hold data.
        nodata: the value, as text since it may be NaN, or None.
        stretch: how values become colours.
        model: name of the bundle.
        model_gsd_m: metres per pixel that the model sees, None where unknown.
        model_height: rows that it sees.
        model_width: columns.
        windows: at most; those without data are skipped.
        shards: units of work.
        memory_bytes: about what a run holds beside program and network.
        seconds: about what the network takes on two cores.
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
    model_gsd_m: float | None
    model_height: int
    model_width: int
    windows: int
    shards: int
    memory_bytes: int
    seconds: float


def describe_scene(path: str, options: SegmentOptions) -> SceneFacts:
    """What a run with these options would work on.

    Raises:
        InputError: the scene cannot be worked on.
        ConfigError: options that do not fit it.
        ModelError: no such model.
    """
    model = _model_facts(options.model)
    with open_part(path, options.scene) as (whole, part):
        plan = make_plan(part.info, ("",), model, options, measure_stretch(whole))
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
        model_gsd_m=plan.model_px.gsd_m,
        model_height=grid.height,
        model_width=grid.width,
        windows=grid.n_windows,
        shards=len(plan.shards),
        memory_bytes=CACHE_MB * 2**20 + BYTES_PER_ROW_PX * row_bytes,
        seconds=grid.n_windows * float(per_window),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """One bundle, ready for JSON.

    Attributes:
        name: to be given as the model.
        path: its folder.
        net: name of the network, "" where unreadable.
        size_bytes: of the weights.
        sha256: of the weights, "" where unreadable.
        about: one line, "" where the card has none.
        problem: why it cannot be used, "" where nothing speaks against it.
    """

    name: str
    path: str
    net: str
    size_bytes: int
    sha256: str
    about: str
    problem: str


def list_models() -> list[BundleFacts]:
    """The bundles that can be named."""
    return [
        BundleFacts(
            name=summary.name,
            path=str(summary.path),
            net=summary.net,
            size_bytes=summary.size_bytes,
            sha256=summary.sha256,
            about=str(summary.about.get("summary", "")),
            problem=summary.problem,
        )
        for summary in list_bundles()
    ]


def bundle_places() -> list[str]:
    """The folders in which bundles are looked for by name."""
    return [str(folder) for folder in bundle_folders()]


def _model_facts(name: str) -> ModelFacts:
    """What a bundle says of itself; its weights are not read.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    image = ImageSpec.from_dict(manifest["image"])
    return ModelFacts(name=bundle_name(folder), image=image, about=manifest["about"])
