"""terratorch beside us: `tiled_inference` takes a tensor and gives one; the rest is rasterio.

It makes no polygons.
"""

from pathlib import Path
from typing import Any

import rasterio
import torch
from meter import Meter, main
from stub import BoxNet
from terratorch.tasks.tiled_inference import tiled_inference


def work(scene: str, folder: Path, meter: Meter) -> dict[str, Any]:
    with rasterio.open(scene) as dataset:
        profile = dataset.profile
        pixels = torch.from_numpy(dataset.read()).float()[None]
    logits = tiled_inference(BoxNet(), pixels, crop=512, stride=384, batch_size=4)
    profile.update(count=1, nodata=None, photometric=None)
    mask = folder / "mask.tif"
    with rasterio.open(mask, "w", **profile) as dataset:
        dataset.write((logits[0] > 0).to(torch.uint8).numpy())
    meter.lap("mask")
    return {"mask": mask}


if __name__ == "__main__":
    main(work, "terratorch", "torch", "rasterio")
