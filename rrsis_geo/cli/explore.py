"""``rrsis-geo explore``: a scene on a local page, to search and look before a run."""

import webbrowser
from typing import Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    AllowNoCrsOption,
    AoiLayerOption,
    AoiOption,
    BandsOption,
    BboxOption,
    DeviceOption,
    DtypeOption,
    GsdOption,
    ModelOption,
    NodataOption,
    NoResampleOption,
    OverlapOption,
    PresenceOption,
    SceneArgument,
    ThreadsOption,
    TtaOption,
    VerboseOption,
    scene_options,
)
from rrsis_geo.errors import ConfigError
from rrsis_geo.model.names import DEFAULT_BUNDLE

PACKAGES = {"starlette", "uvicorn", "js_lib_leaflet"}


@app.command()
def explore(
    scene: SceneArgument,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port of this machine. Default: any that is free.",
            show_default=False,
        ),
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address of the page.")
    ] = False,
    model: ModelOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    presence: PresenceOption = None,
    tta: TtaOption = False,
    overlap: OverlapOption = 128,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    aoi_layer: AoiLayerOption = None,
    bands: BandsOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    no_resample: NoResampleOption = False,
    allow_no_crs: AllowNoCrsOption = False,
    threads: ThreadsOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Open a page in the browser to search SCENE, look at the objects and save them.

    The page is served by this program, on this machine only, until Ctrl-C.
    """
    console.setup_logging(verbose=verbose)
    try:
        from rrsis_geo.explore.scene import explore_scene
    except ModuleNotFoundError as err:
        if err.name is None or err.name.partition(".")[0] not in PACKAGES:
            raise
        raise ConfigError(
            f"{err.name} is not installed; the page needs it: pip install 'rrsis-geo[explore]'"
        ) from err
    from rrsis_geo.segment.plan.options import SegmentOptions

    def start(address: str) -> None:
        console.print_text(f"{address}\n")
        if not no_browser:
            webbrowser.open(address)

    options = SegmentOptions(
        model=model,
        device=device,
        dtype=dtype,
        threads=threads,
        presence=presence,
        tta=tta,
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
    explore_scene(scene, options, port=port, on_start=start)
