"""geoai: `predict_geotiff`, its newest function for this, and `raster_to_vector`."""

from pathlib import Path
from typing import Any

import numpy as np
from geoai.inference import predict_geotiff
from geoai.utils.raster import raster_to_vector
from resource_meter import ResourceMeter, run_program
from stub import BoxNet


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    mask = folder / "mask.tif"
    predict_geotiff(
        BoxNet(scale=255),
        scene,
        str(mask),
        tile_size=512,
        overlap=128,
        output_dtype="uint8",
        output_nodata=255,
        postprocess_fn=lambda logits: (logits > 0).astype(np.uint8),
        device="cpu",
    )
    meter.end_phase("mask")
    polygons = raster_to_vector(str(mask), str(folder / "polygons.gpkg"), min_area=0)
    meter.end_phase("polygons")
    return {"mask": mask, "objects": len(polygons)}


if __name__ == "__main__":
    run_program(work, "geoai-py", "torch", "rasterio")
