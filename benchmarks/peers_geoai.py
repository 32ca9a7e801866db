"""geoai beside us: `predict_geotiff`, the newest of its ways, and `raster_to_vector`."""

from pathlib import Path
from typing import Any

import numpy as np
from geoai.inference import predict_geotiff
from geoai.utils.raster import raster_to_vector
from meter import Meter, main
from stub import BoxNet


def work(scene: str, folder: Path, meter: Meter) -> dict[str, Any]:
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
    meter.lap("mask")
    polygons = raster_to_vector(str(mask), str(folder / "polygons.gpkg"), min_area=0)
    meter.lap("polygons")
    return {"mask": mask, "objects": len(polygons)}


if __name__ == "__main__":
    main(work, "geoai-py", "torch", "rasterio")
