"""Predictors whose outputs stay in tensors, as those of a GPU do. Here the device is the CPU."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from predictor_stubs import StubPredictor
from torch import Tensor

from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.model.tensors import DeviceArrays


class TensorOutput(NamedTuple):
    logits: Tensor
    presence: Tensor | None


class RecordingArrays(DeviceArrays):
    """Keeps the events of a run: which arrays were uploaded, and what was awaited when."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.events: list[str] = []
        self.uploaded_rows: list[int] = []

    def start_upload(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        self.uploaded_rows.append(len(values))
        return super().start_upload(values)

    def download(self, values: Tensor) -> Callable[[], NDArray[Any]]:
        wait = super().download(values)

        def recorded() -> NDArray[Any]:
            self.events.append(f"wait for {values.ndim}D")
            return wait()

        return recorded


class OnDevice:
    """Another predictor, used as one on a device."""

    default_batch = None

    def __init__(self, predictor: StubPredictor) -> None:
        self.predictor = predictor
        self.arrays = RecordingArrays()

    @property
    def facts(self) -> ModelFacts:
        return self.predictor.facts

    def encode(self, expression: str) -> Any:
        return self.predictor.encode(expression)

    def cut_words(self, expression: str) -> str:
        return self.predictor.cut_words(expression)

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> Any:
        self.arrays.events.append("predict one window again")
        return self.predictor.predict_all(images, words)

    def predict_on_device(self, images: Tensor, words: Sequence[Any]) -> list[TensorOutput]:
        self.arrays.events.append(f"queue {len(images)} windows")
        outputs = self.predictor.predict_all(images.numpy(), words)
        return [
            TensorOutput(
                torch.from_numpy(np.ascontiguousarray(output.logits)),
                None if output.presence is None else torch.from_numpy(output.presence),
            )
            for output in outputs
        ]
