"""samgeo (segment-geospatial): `SamGeo3.generate_masks_tiled` and `raster_to_vector`.

The weights of SAM 3 are gated, so this script does not initialise the class and replaces the method
that segments a window. The stub returns one mask per window, which is the cheapest case: SAM 3
returns one per object.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from resource_meter import ResourceMeter, run_program
from samgeo.common import raster_to_vector
from samgeo.samgeo3 import SamGeo3
from stub import BoxNet


class StubSam(SamGeo3):
    """SamGeo3 with the stub network."""

    image: NDArray[np.uint8]

    def __init__(self) -> None:
        self.backend = "transformers"
        self.net = BoxNet()

    @torch.inference_mode()
    def generate_masks(self, prompt: str, **_: Any) -> None:
        logits = self.net(torch.from_numpy(self.image).permute(2, 0, 1)[None])
        self.masks = (logits[0] > 0).numpy()


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    mask = folder / "mask.tif"
    StubSam().generate_masks_tiled(
        scene, "bright", str(mask), tile_size=512, overlap=128, unique=False, dtype="uint8"
    )
    meter.end_phase("mask")
    raster_to_vector(str(mask), str(folder / "polygons.gpkg"))
    meter.end_phase("polygons")
    return {"mask": mask}


if __name__ == "__main__":
    run_program(work, "segment-geospatial", "torch", "rasterio")
