"""What is known of a model without running it. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rrsis_geo.model.calibration import UNCALIBRATED, Calibration
from rrsis_geo.model.names import Language

if TYPE_CHECKING:
    from rrsis_geo.images import ImageSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Facts of the model of a run.

    Attributes:
        name: name of the bundle, or of the class of a predictor without a bundle.
        image: window size, normalisation and ground pixel of its images.
        sha256: checksum of the weights, "" without a bundle.
        device: name of the device it runs on, such as "cpu" or "cuda:0".
        dtype: data type of its matrix products, such as "float32"; "" if unknown.
        language: "network" if it was trained on whole sentences, so that expressions without rules
            are asked exactly as typed; otherwise all are asked in one wording.
        about: the free-form part of ``model.json``, such as the categories it was trained on.
        estimates_presence: whether the network estimates if the target is in a window.
        presence: windows in which the probability of the target is below this give nothing; None
            drops no window.
        calibration: from the mean probability of an object to its score.
        tta: whether windows are also predicted mirrored.
    """

    name: str
    image: "ImageSpec"
    sha256: str = ""
    device: str = "cpu"
    dtype: str = ""
    language: Language = "resolved"
    about: Mapping[str, Any] = field(default_factory=dict)
    estimates_presence: bool = True
    presence: float | None = None
    calibration: Calibration = UNCALIBRATED
    tta: bool = False

    @property
    def has_bundle(self) -> bool:
        """Whether the model can be loaded again from a bundle."""
        return bool(self.sha256)


def describe_presence(*, estimates: bool, threshold: float | None) -> str:
    """How a model tells windows without the target, in a few words.

    Args:
        estimates: whether its network estimates it.
        threshold: windows below this probability give nothing; None if there is none.
    """
    if threshold is not None:
        return f"threshold {threshold:.6g}"
    return "by the network" if estimates else "none"
