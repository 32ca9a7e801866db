"""A stand-in for a model, for tests of the commands."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from predictor_stubs import StubOutput, StubPredictor


class BrightPredictor(StubPredictor):
    """Finds bright pixels."""

    def predict(self, images: NDArray[np.uint8], words: Any) -> StubOutput:
        return StubOutput((images[..., 0].astype(np.float32) - 180.5) / 8, None)
