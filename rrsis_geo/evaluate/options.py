"""Options of an evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rrsis_geo.errors import ConfigError
from rrsis_geo.model.names import DEFAULT_BUNDLE, Language
from rrsis_geo.model.presence import check_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How to score a bundle.

    Attributes:
        model: name, folder or address of a bundle.
        size_px: side of the squares that images and targets are resized to; None is the size of
            the model.
        native: also score at the original sizes of the masks.
        category_by: source of the categories of samples: their "label", or the category names in
            their "text". None uses labels if there are any.
        language: "network" asks the network for whole expressions, the published protocol;
            "resolved" also answers with rules over the objects of each picture. None does what the
            bundle says.
        compare: add the results that papers report.
        against: reports (scores.json) of other evaluations to compare with.
        bootstrap: number of draws for 95 % intervals of the scores; None computes none.
        limit: score only this many samples, from the first.
        batch_size: samples per batch; None suits the device.
        workers: processes that read samples; None is 0 on a CPU and several beside a GPU.
        device: see ``Predictor``.
        dtype: see ``Predictor``. The default is fp32, because scores are reported.
        threads: see ``Predictor``.
        presence: see ``Predictor``.
        tta: see ``Predictor``.

    Raises:
        ConfigError: a value is out of range.
    """

    model: str = DEFAULT_BUNDLE
    size_px: int | None = None
    native: bool = False
    category_by: Literal["label", "text"] | None = None
    language: Language | None = None
    compare: bool = False
    against: tuple[Path, ...] = ()
    bootstrap: int | None = None
    limit: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    device: str = "auto"
    dtype: str = "fp32"
    threads: int | None = None
    presence: float | None = None
    tta: bool = False

    def __post_init__(self) -> None:
        check_threshold(self.presence)
        if self.size_px is not None and (self.size_px < 32 or self.size_px % 32):
            raise ConfigError(f"the size must be a positive multiple of 32, got {self.size_px}")
        for name in ("bootstrap", "limit", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.workers is not None and self.workers < 0:
            raise ConfigError(f"workers must be at least 0, got {self.workers}")
