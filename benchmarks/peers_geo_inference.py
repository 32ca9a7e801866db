"""geo-inference: its class `GeoInference`, with two workers instead of all cores but one.

Its windows always overlap by half. It takes a TorchScript model.
"""

from pathlib import Path
from typing import Any

import torch
from geo_inference.geo_inference import GeoInference
from resource_meter import ResourceMeter, run_program
from stub import BoxNet


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    model = folder / "model.pt"
    torch.jit.script(BoxNet(output="probability")).save(model)
    meter.end_phase("model")
    program = GeoInference(
        model=str(model),
        work_dir=str(folder),
        mask_to_vec=True,
        device="cpu",
        num_classes=1,
        prediction_threshold=0.5,
    )
    name = program(scene, patch_size=512, workers=2)
    meter.end_phase("all")
    return {"mask": folder / name}


if __name__ == "__main__":
    run_program(work, "geo-inference", "torch", "dask", "rasterio")
