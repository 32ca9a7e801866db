"""geo-inference beside us: its `GeoInference`, with two workers in place of cores less one.

Windows overlap by half, which is fixed. The model is TorchScript, as it asks for.
"""

from pathlib import Path
from typing import Any

import torch
from geo_inference.geo_inference import GeoInference
from meter import Meter, main
from stub import BoxNet


def work(scene: str, folder: Path, meter: Meter) -> dict[str, Any]:
    model = folder / "model.pt"
    torch.jit.script(BoxNet(output="probability")).save(model)
    meter.lap("model")
    program = GeoInference(
        model=str(model),
        work_dir=str(folder),
        mask_to_vec=True,
        device="cpu",
        num_classes=1,
        prediction_threshold=0.5,
    )
    name = program(scene, patch_size=512, workers=2)
    meter.lap("all")
    return {"mask": folder / name}


if __name__ == "__main__":
    main(work, "geo-inference", "torch", "dask", "rasterio")
