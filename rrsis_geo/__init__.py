"""rrsis-geo: referring segmentation of georeferenced overhead scenes.

    from pathlib import Path
    from rrsis_geo import Outputs, segment_scene

    report = segment_scene("scene.tif", "the truck on the road", Outputs(Path("trucks.gpkg")))

Public functions:

- Segment: `segment_scene` (one scene), `segment_array` (pixels in memory), `segment_scenes` (many
  scenes), `segment_part` and `merge_job` (one scene on many machines), `polygonize` (polygons from
  a probability raster).
  Settings: `SegmentOptions` with `SceneOptions` and `GivenLandmark` (what decides the result),
  `RunOptions` (how it is computed), `Outputs` (the files). Results: `SegmentReport` of
  `ExpressionResult`, `ScenesReport` of `SceneResult`, `PartReport`, `PolygonReport`.
- Models: `list_bundles`, `load_bundle`, `Bundle`, `Predictor`. Any object with the methods of
  `WindowPredictor` can be used instead of a `Predictor`; it describes itself in `ModelFacts`.
- Scenes: `open_scene`, `Scene`, `SceneInfo`.
- Train: `load_train_config`, `TrainConfig`, `train_model`, `TrainProgress`.
- Evaluate: `evaluate_bundle`, `EvaluateOptions`, `ScoreOutputs`, `EvaluationReport`, `Scores`.
- Errors: all are an `RrsisError`; see `rrsis_geo.errors`.

All other names are private and may change. Names are loaded on first use, so that importing the
package is fast.
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
    from rrsis_geo.model.bundle import Bundle, load_bundle
    from rrsis_geo.model.catalog import list_bundles
    from rrsis_geo.model.facts import ModelFacts
    from rrsis_geo.model.predictor import Predictor
    from rrsis_geo.segment.array import segment_array
    from rrsis_geo.segment.batch.job import SceneResult
    from rrsis_geo.segment.batch.report import ScenesReport
    from rrsis_geo.segment.batch.scenes import segment_scenes
    from rrsis_geo.segment.from_probability import PolygonReport, polygonize
    from rrsis_geo.segment.jobs.engines import RunOptions
    from rrsis_geo.segment.plan.landmarks import GivenLandmark
    from rrsis_geo.segment.plan.options import SegmentOptions
    from rrsis_geo.segment.plan.outputs import Outputs
    from rrsis_geo.segment.plan.predictor import WindowPredictor
    from rrsis_geo.segment.results.report import ExpressionResult, PartReport, SegmentReport
    from rrsis_geo.segment.scene import merge_job, segment_part, segment_scene
    from rrsis_geo.train.config import TrainConfig, load_train_config
    from rrsis_geo.train.training import TrainProgress, train_model

_NAMES_BY_MODULE = {
    "errors": (
        "ConfigError",
        "DeviceError",
        "IncompleteError",
        "InputError",
        "ModelError",
        "OutputError",
        "RrsisError",
        "Stopped",
    ),
    "evaluate.evaluation": ("EvaluationReport", "evaluate_bundle"),
    "evaluate.options": ("EvaluateOptions",),
    "evaluate.score_files": ("ScoreOutputs",),
    "geo.scene.options": ("SceneOptions",),
    "geo.scene.scene": ("Scene", "SceneInfo", "open_scene"),
    "metrics": ("Scores",),
    "model.bundle": ("Bundle", "load_bundle"),
    "model.catalog": ("list_bundles",),
    "model.facts": ("ModelFacts",),
    "model.predictor": ("Predictor",),
    "segment.array": ("segment_array",),
    "segment.batch.job": ("SceneResult",),
    "segment.batch.report": ("ScenesReport",),
    "segment.batch.scenes": ("segment_scenes",),
    "segment.from_probability": ("PolygonReport", "polygonize"),
    "segment.jobs.engines": ("RunOptions",),
    "segment.plan.landmarks": ("GivenLandmark",),
    "segment.plan.options": ("SegmentOptions",),
    "segment.plan.outputs": ("Outputs",),
    "segment.plan.predictor": ("WindowPredictor",),
    "segment.results.report": ("ExpressionResult", "PartReport", "SegmentReport"),
    "segment.scene": ("merge_job", "segment_part", "segment_scene"),
    "train.config": ("TrainConfig", "load_train_config"),
    "train.training": ("TrainProgress", "train_model"),
}
_PUBLIC = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [
    "Bundle",
    "ConfigError",
    "DeviceError",
    "EvaluateOptions",
    "EvaluationReport",
    "ExpressionResult",
    "GivenLandmark",
    "IncompleteError",
    "InputError",
    "ModelError",
    "ModelFacts",
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
    "SceneResult",
    "ScenesReport",
    "ScoreOutputs",
    "Scores",
    "SegmentOptions",
    "SegmentReport",
    "Stopped",
    "TrainConfig",
    "TrainProgress",
    "WindowPredictor",
    "__version__",
    "evaluate_bundle",
    "list_bundles",
    "load_bundle",
    "load_train_config",
    "merge_job",
    "open_scene",
    "polygonize",
    "segment_array",
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
