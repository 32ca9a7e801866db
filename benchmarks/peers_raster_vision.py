"""raster-vision as a library: sliding windows, smooth labels, polygons."""

from pathlib import Path
from typing import Any

from rastervision.core.data import (
    ClassConfig,
    PolygonVectorOutputConfig,
    SemanticSegmentationLabels,
)
from rastervision.pytorch_learner import (
    SemanticSegmentationGeoDataConfig,
    SemanticSegmentationLearner,
    SemanticSegmentationLearnerConfig,
    SemanticSegmentationSlidingWindowGeoDataset,
    SolverConfig,
)
from resource_meter import ResourceMeter, run_program
from stub import BoxNet


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    classes = ClassConfig(names=["ground", "bright", "null"], null_class="null")
    windows = SemanticSegmentationSlidingWindowGeoDataset.from_uris(
        class_config=classes, image_uri=scene, size=512, stride=384
    )
    learner = SemanticSegmentationLearner(
        SemanticSegmentationLearnerConfig(
            data=SemanticSegmentationGeoDataConfig(class_config=classes, num_workers=0),
            solver=SolverConfig(batch_sz=4),
        ),
        model=BoxNet(scale=255, output="classes"),
        training=False,
    )
    predictions = learner.predict_dataset(windows, raw_out=True, numpy_out=True)
    labels = SemanticSegmentationLabels.from_predictions(
        windows.windows,
        predictions,
        smooth=True,
        extent=windows.scene.extent,
        num_classes=2,
    )
    labels.save(
        str(folder),
        crs_transformer=windows.scene.raster_source.crs_transformer,
        class_config=classes,
        smooth_output=False,
        vector_outputs=[PolygonVectorOutputConfig(class_id=1, denoise=0)],
    )
    meter.end_phase("all")
    return {"mask": folder / "labels.tif"}


if __name__ == "__main__":
    run_program(work, "rastervision", "torch", "rasterio")
