"""samgeo (segment-geospatial) beside us: `SamGeo3.generate_masks_tiled`, and `raster_to_vector`.

The weights of SAM 3 are not ours to fetch, so the class is not initialised, and what it calls for a
window is replaced. One mask a window is what costs it least: SAM gives one an object.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from meter import Meter, main
from numpy.typing import NDArray
from samgeo.common import raster_to_vector
from samgeo.samgeo3 import SamGeo3
from stub import BoxNet


class Stub(SamGeo3):
    """SamGeo3 with the stub for a network."""

    image: NDArray[np.uint8]

    def __init__(self) -> None:
        self.backend = "transformers"
        self.net = BoxNet()

    @torch.inference_mode()
    def generate_masks(self, prompt: str, **_: Any) -> None:
        logits = self.net(torch.from_numpy(self.image).permute(2, 0, 1)[None])
        self.masks = (logits[0] > 0).numpy()


def work(scene: str, folder: Path, meter: Meter) -> dict[str, Any]:
    mask = folder / "mask.tif"
    Stub().generate_masks_tiled(
        scene, "bright", str(mask), tile_size=512, overlap=128, unique=False, dtype="uint8"
    )
    meter.lap("mask")
    raster_to_vector(str(mask), str(folder / "polygons.gpkg"))
    meter.lap("polygons")
    return {"mask": mask}


if __name__ == "__main__":
    main(work, "segment-geospatial", "torch", "rasterio")
