"""rrsis-geo: referring segmentation of georeferenced overhead scenes.

    from pathlib import Path
    from rrsis_geo import Outputs, segment_scene

    report = segment_scene("scene.tif", "the truck on the road", Outputs(Path("trucks.gpkg")))

The public names load on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rrsis_geo.version import __version__

if TYPE_CHECKING:
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
    from rrsis_geo.evaluate.evaluation import EvaluationReport, evaluate_bundle
    from rrsis_geo.evaluate.options import EvaluateOptions
    from rrsis_geo.evaluate.score_files import ScoreOutputs
    from rrsis_geo.geo.scene.options import SceneOptions
    from rrsis_geo.geo.scene.scene import Scene, SceneInfo, open_scene
    from rrsis_geo.metrics import Scores
    from rrsis_geo.model.bundle import Bundle, list_bundles, load_bundle
    from rrsis_geo.model.predictor import Predictor
    from rrsis_geo.segment.batch.report import ScenesReport
    from rrsis_geo.segment.batch.scenes import segment_scenes
    from rrsis_geo.segment.from_probability import PolygonReport, polygonize
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs
    from rrsis_geo.segment.results.report import PartReport, SegmentReport
    from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene
    from rrsis_geo.train.config import TrainConfig, load_train_config
    from rrsis_geo.train.training import TrainProgress, train_model

_PUBLIC = {
    "Bundle": "model.bundle",
    "list_bundles": "model.bundle",
    "load_bundle": "model.bundle",
    "ConfigError": "errors",
    "DeviceError": "errors",
    "IncompleteError": "errors",
    "InputError": "errors",
    "ModelError": "errors",
    "OutputError": "errors",
    "RrsisError": "errors",
    "Stopped": "errors",
    "Scene": "geo.scene.scene",
    "SceneInfo": "geo.scene.scene",
    "SceneOptions": "geo.scene.options",
    "open_scene": "geo.scene.scene",
    "SegmentOptions": "segment.plan.options",
    "Outputs": "segment.plan.outputs",
    "PartReport": "segment.results.report",
    "PolygonReport": "segment.from_probability",
    "polygonize": "segment.from_probability",
    "SegmentReport": "segment.results.report",
    "RunOptions": "segment.jobs.engines",
    "merge_job": "segment.scene",
    "segment_part": "segment.scene",
    "segment_scene": "segment.scene",
    "segment_scenes": "segment.batch.scenes",
    "ScenesReport": "segment.batch.report",
    "Predictor": "model.predictor",
    "EvaluateOptions": "evaluate.options",
    "EvaluationReport": "evaluate.evaluation",
    "ScoreOutputs": "evaluate.score_files",
    "Scores": "metrics",
    "evaluate_bundle": "evaluate.evaluation",
    "TrainConfig": "train.config",
    "TrainProgress": "train.training",
    "load_train_config": "train.config",
    "train_model": "train.training",
}

__all__ = [
    "Bundle",
    "ConfigError",
    "DeviceError",
    "EvaluateOptions",
    "EvaluationReport",
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
    "SceneOptions",
    "ScenesReport",
    "ScoreOutputs",
    "Scores",
    "SegmentOptions",
    "SegmentReport",
    "Stopped",
    "TrainConfig",
    "TrainProgress",
    "__version__",
    "evaluate_bundle",
    "list_bundles",
    "load_bundle",
    "load_train_config",
    "merge_job",
    "open_scene",
    "polygonize",
    "segment_part",
    "segment_scene",
    "segment_scenes",
    "train_model",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"rrsis_geo.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
