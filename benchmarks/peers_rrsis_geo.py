"""rrsis-geo: `segment_scene` with its default options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from resource_meter import ResourceMeter, run_program
from stub import BoxNet

from rrsis_geo import Outputs, segment_scene
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.facts import ModelFacts


class StubOutput(NamedTuple):
    """Output for B windows: log-odds float32 [B, S, S]."""

    logits: NDArray[np.float32]
    presence: None = None


class StubPredictor:
    """A predictor with the stub network."""

    facts = ModelFacts(name="StubPredictor", image=ImageSpec(size_px=512))

    def __init__(self) -> None:
        self.net = BoxNet()

    def encode(self, expression: str) -> str:
        return expression

    def cut_words(self, expression: str) -> str:
        return ""

    @torch.inference_mode()
    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[StubOutput]:
        logits = self.net(torch.from_numpy(images).permute(0, 3, 1, 2))[:, 0].numpy()
        return [StubOutput(logits) for _ in words]


def work(scene: str, folder: Path, meter: ResourceMeter) -> dict[str, Any]:
    mask = folder / "mask.tif"
    outputs = Outputs(folder / "polygons.gpkg", mask=mask)
    result = segment_scene(scene, "bright squares", outputs, predictor=StubPredictor())
    meter.end_phase("all")
    return {"mask": mask, "objects": result.n_objects, "network": result.network_seconds}


if __name__ == "__main__":
    run_program(work, "rrsis-geo", "torch", "rasterio")
