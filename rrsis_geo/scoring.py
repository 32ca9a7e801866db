"""Run a model on samples and score its masks: the loop that training and ``evaluate`` share."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.sample import Sample
from rrsis_geo.log_odds import to_probability
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.model.predictor import Predictor


class ModelInput(Protocol):
    """What a model needs of a sample.

    Attributes:
        image: uint8 RGB [H, W, 3].
        expression: the referring sentence.
    """

    @property
    def image(self) -> NDArray[np.uint8]: ...

    @property
    def expression(self) -> str: ...


Input = TypeVar("Input", bound=ModelInput)


class Prediction(NamedTuple):
    """Output of a model for one sample.

    Attributes:
        logits: float32 [H, W], log-odds that a pixel is the target.
        presence: probability that the target is in the image; None if the model has neither a
            presence output nor a threshold.
    """

    logits: NDArray[np.float32]
    presence: float | None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool [H, W]. A logit of 0 is background, as in the argmax of the papers."""
        return self.logits > 0


def score_samples(predictor: Predictor, samples: Iterable[Sample], *, batch_size: int) -> Scores:
    """Scores of a model on samples, at the size of the samples."""
    meter = ScoreMeter()
    for batch in predict_batches(predictor, samples, batch_size=batch_size):
        for sample, prediction in batch:
            meter.add(
                prediction.mask,
                sample.mask,
                ignored=sample.ignored,
                kind=sample.kind,
                category=sample.category,
            )
    return meter.scores()


def predict_batches(
    predictor: Predictor, samples: Iterable[Input], *, batch_size: int
) -> Iterator[list[tuple[Input, Prediction]]]:
    """Predict samples in order, batch by batch.

    Args:
        predictor: the model.
        samples: of any sizes; a batch holds consecutive samples of one size.
        batch_size: largest number of samples in a batch.

    Raises:
        InputError: an expression is blank or has no word that the model knows.
        DeviceError: the device has too little memory, or the logits overflow.
    """
    for batch in batches_of_one_size(samples, batch_size):
        images = np.stack([sample.image for sample in batch])
        output = predictor.predict_pairs(images, [sample.expression for sample in batch])
        presences: list[float | None] = [None] * len(batch)
        if output.presence is not None:
            presences = [to_probability(float(log_odds)) for log_odds in output.presence]
        predictions = map(Prediction, output.logits, presences)
        yield list(zip(batch, predictions, strict=True))


def batches_of_one_size(samples: Iterable[Input], batch_size: int) -> Iterator[list[Input]]:
    """Group consecutive samples of one size."""
    batch: list[Input] = []
    for sample in samples:
        if batch and (len(batch) == batch_size or batch[0].image.shape != sample.image.shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch
