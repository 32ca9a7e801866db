"""Fixed samples and their scores, shared by the scripts that score a bundle."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import painted_sample
from rrsis_geo.data.sample import Sample
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.metrics import Scores
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.scoring import score_samples

PAINTED_GSD_RANGE_M = (0.12, 0.5)


def score_sets(
    model: str, sets: Mapping[str, Sequence[Sample]], dtype: str = "auto"
) -> Iterator[tuple[str, Scores]]:
    """Yield the name of each set and the scores of a bundle on it."""
    predictor = Predictor(load_bundle(model), "auto", dtype)
    for name, samples in sets.items():
        yield name, score_samples(predictor, samples, batch_size=4)


def validation_sets(
    instances: Path | None, n_real: int, n_painted: int, size_px: int
) -> dict[str, Sequence[Sample]]:
    """The first validation samples: "real", unless `instances` is None, and "painted"."""
    sets: dict[str, Sequence[Sample]] = {}
    if instances is not None:
        sets["real"] = validation_samples(
            InstanceSource(instances), n_real, INSTANCES_SEED, size_px
        )
    sets["painted"] = painted_samples(INSTANCES_SEED, n_painted, size_px)
    return sets


def painted_samples(seed: int, n: int, size_px: int) -> list[Sample]:
    """Sample i depends on the seed and i only."""
    rngs = (np.random.default_rng([seed, i]) for i in range(n))
    return [painted_sample(rng, size_px, PAINTED_GSD_RANGE_M) for rng in rngs]
