"""rrsis-geo: referring segmentation of georeferenced overhead scenes.

    from pathlib import Path
    from rrsis_geo import Outputs, segment_scene

    report = segment_scene("scene.tif", "the truck on the road", Outputs(Path("trucks.gpkg")))

The public names load on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrsis_geo.bundle import Bundle, list_bundles, load_bundle
    from rrsis_geo.errors import (
        ConfigError,
        DeviceError,
        IncompleteError,
        InputError,
        ModelError,
        OutputError,
        RrsisError,
        Stopped,
    )
    from rrsis_geo.geo.scene import Scene, SceneInfo, open_scene
    from rrsis_geo.pipeline.engines import RunOptions
    from rrsis_geo.pipeline.outputs import Outputs
    from rrsis_geo.pipeline.plan import SegmentOptions
    from rrsis_geo.pipeline.polygonize import PolygonReport, polygonize
    from rrsis_geo.pipeline.report import PartReport, SegmentReport
    from rrsis_geo.pipeline.scenes import segment_scenes
    from rrsis_geo.pipeline.scenes_report import ScenesReport
    from rrsis_geo.pipeline.segment import merge_job, segment_part, segment_scene
    from rrsis_geo.predictor import Predictor

__version__ = "0.1.0"

_PUBLIC = {
    "Bundle": "bundle",
    "list_bundles": "bundle",
    "load_bundle": "bundle",
    "ConfigError": "errors",
    "DeviceError": "errors",
    "IncompleteError": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "RrsisError": "errors",
    "Stopped": "errors",
    "Scene": "geo.scene",
    "SceneInfo": "geo.scene",
    "open_scene": "geo.scene",
    "SegmentOptions": "pipeline.plan",
    "Outputs": "pipeline.outputs",
    "PartReport": "pipeline.report",
    "PolygonReport": "pipeline.polygonize",
    "polygonize": "pipeline.polygonize",
    "SegmentReport": "pipeline.report",
    "RunOptions": "pipeline.engines",
    "merge_job": "pipeline.segment",
    "segment_part": "pipeline.segment",
    "segment_scene": "pipeline.segment",
    "segment_scenes": "pipeline.scenes",
    "ScenesReport": "pipeline.scenes_report",
    "Predictor": "predictor",
}

__all__ = [
    "Bundle",
    "ConfigError",
    "DeviceError",
    "IncompleteError",
    "InputError",
    "ModelError",
    "OutputError",
    "Outputs",
    "PartReport",
    "PolygonReport",
    "Predictor",
    "RrsisError",
    "RunOptions",
    "Scene",
    "SceneInfo",
    "ScenesReport",
    "SegmentOptions",
    "SegmentReport",
    "Stopped",
    "__version__",
    "list_bundles",
    "load_bundle",
    "merge_job",
    "open_scene",
    "polygonize",
    "segment_part",
    "segment_scene",
    "segment_scenes",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"rrsis_geo.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
