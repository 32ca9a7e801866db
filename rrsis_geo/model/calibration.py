"""From the mean probability of an object to its score: how likely the object is right.

The mean probability of the pixels of an object is above the threshold by construction, and
networks are surer than they should be. A bundle can hold a map of its log-odds, fitted to objects
of which it is known whether they are right (Platt scaling).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.errors import ConfigError

CERTAIN: Final = 0.9995
"""Mean probabilities above this count as this one, so that their log-odds are finite. Layers hold
them to three decimals."""
LARGEST_SCALE: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The score of an object from the log-odds of its mean probability.

    It rises with the mean probability, so the order of objects stays. The default changes nothing.

    Attributes:
        scale: factor of the log-odds.
        offset: added to them.

    Raises:
        ConfigError: ``scale`` is not positive, or too large, or ``offset`` is not finite.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= LARGEST_SCALE:
            raise ConfigError(
                f"calibration.scale must be above 0 and at most {LARGEST_SCALE:g}, got {self.scale}"
            )
        if not abs(self.offset) < 100:
            raise ConfigError(f"calibration.offset must be from -100 to 100, got {self.offset}")

    @property
    def is_identity(self) -> bool:
        """Whether scores are mean probabilities."""
        return self == UNCALIBRATED

    def scores(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of objects from their mean probabilities, float64 [N]; NaN stays NaN."""
        if self.is_identity:
            return probability
        odds = self.scale * log_odds_of(probability) + self.offset
        return np.asarray(1 / (1 + np.exp(-odds)), np.float64)

    def to_record(self) -> dict[str, Any]:
        """For a manifest: {} if it changes nothing, as in bundles that have none."""
        return {} if self.is_identity else {"calibration": asdict(self)}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Calibration":
        """The calibration in a record of `to_record`.

        Raises:
            ConfigError: a value is out of range.
            TypeError: it has unknown fields.
        """
        return Calibration(**record.get("calibration", {}))

    def __str__(self) -> str:
        if self.is_identity:
            return "none: scores are mean probabilities"
        return f"log-odds of the mean probability x {self.scale:.3g} {self.offset:+.3g}"


UNCALIBRATED: Final = Calibration()


def log_odds_of(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of mean probabilities, float64 [N], finite."""
    inside = np.clip(np.asarray(probability, np.float64), 1 - CERTAIN, CERTAIN)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def fit_calibration(
    probability: NDArray[np.float64],
    is_right: NDArray[np.bool_],
    weight: NDArray[np.float64] | None = None,
) -> Calibration:
    """The calibration of the highest likelihood.

    Args:
        probability: float64 [N], mean probabilities of objects.
        is_right: bool [N], whether each is right. Both must occur.
        weight: float64 [N], how much each counts; None counts all the same.

    Raises:
        ValueError: all objects are right, or none is.
    """
    from scipy.optimize import minimize

    if is_right.all() or not is_right.any():
        raise ValueError("objects that are right and objects that are wrong are needed")
    odds, sign = log_odds_of(probability), np.where(is_right, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> float:
        losses = np.logaddexp(0, -sign * (values[0] * odds + values[1]))
        return float(np.average(losses, weights=weight))

    bounds = [(1e-3, LARGEST_SCALE), (-50.0, 50.0)]
    found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=bounds)
    scale, offset = (float(value) for value in found.x)
    return Calibration(scale=round(scale, 4), offset=round(offset, 4))
