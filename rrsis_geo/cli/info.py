"""``rrsis-geo info``: describe a scene."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    AllowNoCrsOption,
    AoiLayerOption,
    AoiOption,
    BandsOption,
    BboxOption,
    GsdOption,
    JsonOption,
    ModelOption,
    NodataOption,
    NoResampleOption,
    OverlapOption,
    SceneArgument,
    VerboseOption,
    scene_options,
)
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.units import format_bytes, format_count, format_duration, format_length

if TYPE_CHECKING:
    from rrsis_geo.segment.info import SceneFacts


@app.command()
def info(
    scene: SceneArgument,
    model: ModelOption = DEFAULT_BUNDLE,
    overlap: OverlapOption = 128,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    aoi_layer: AoiLayerOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    no_resample: NoResampleOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the properties of SCENE and the estimated cost of segmenting it."""
    console.setup_logging(verbose=verbose)
    from rrsis_geo.segment.info import describe_scene
    from rrsis_geo.segment.plan.options import SegmentOptions

    options = SegmentOptions(
        model=model,
        overlap_px=overlap,
        scene=scene_options(
            bbox=bbox,
            aoi=aoi,
            aoi_layer=aoi_layer,
            bands=bands,
            nodata=nodata,
            gsd=gsd,
            no_resample=no_resample,
            allow_no_crs=allow_no_crs,
        ),
    )
    facts = describe_scene(scene, options)
    if as_json:
        console.print_json(asdict(facts))
    else:
        console.print_facts(scene, _scene_lines(facts))


def _scene_lines(facts: "SceneFacts") -> list[tuple[str, str]]:
    """The properties of a scene as names and values."""
    stretch = facts.stretch
    ends = ", ".join(f"{lo:g}-{hi:g}" for lo, hi in zip(stretch["lo"], stretch["hi"], strict=True))
    model_size = (
        f"{facts.model_height} x {facts.model_width} pixels of {format_length(facts.model_gsd_m)}"
    )
    is_resampled = (facts.model_height, facts.model_width) != (facts.height, facts.width)
    return [
        ("size", f"{facts.height} rows x {facts.width} columns, {facts.dtype}"),
        ("CRS", facts.crs or "none"),
        ("ground pixel", format_length(facts.gsd_m)),
        ("bands", f"{','.join(map(str, facts.bands))} ({facts.bands_by})"),
        ("validity", facts.validity + (f" {facts.nodata}" if facts.nodata else "")),
        ("stretch", f"{stretch['kind']} {ends}".strip()),
        ("model", f"{facts.model}, sees {model_size}" + (" (resampled)" if is_resampled else "")),
        ("presence", facts.model_presence),
        ("windows", f"at most {facts.windows}, in {format_count(facts.shards, 'shard')}"),
        (
            "memory",
            f"about {format_bytes(facts.memory_bytes)} in addition to the program and the network",
        ),
        (
            "time",
            f"about {format_duration(facts.seconds)} on the machine of the model's card; "
            "others may take several times as long",
        ),
    ]
