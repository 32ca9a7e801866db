"""terratorch: `tiled_inference`, which maps a tensor to a tensor; rasterio reads and writes.

It makes no polygons.
"""

from pathlib import Path
from typing import Any

import rasterio
import torch
from resource_meter import ResourceMeter, run_program
from stub import BoxNet
from terratorch.tasks.tiled_inference import tiled_inference


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    with rasterio.open(scene) as dataset:
        profile = dataset.profile
        pixels = torch.from_numpy(dataset.read()).float()[None]
    logits = tiled_inference(BoxNet(), pixels, crop=512, stride=384, batch_size=4)
    profile.update(count=1, nodata=None, photometric=None)
    mask = folder / "mask.tif"
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write((logits[0] > 0).to(torch.uint8).numpy())
    meter.end_phase("mask")
    return {"mask": mask}


if __name__ == "__main__":
    run_program(work, "terratorch", "torch", "rasterio")
