"""Fixed samples and their scores, shared by the scripts that score a bundle."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import painted_sample
from rrsis_geo.data.sample import Sample
from rrsis_geo.evaluate.answers import Answer, AnsweredBy, answer_batches
from rrsis_geo.evaluate.data import INSTANCES_SEED
from rrsis_geo.evaluate.pictures import Extent
from rrsis_geo.metrics import ScoreMeter, Scores
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.names import Language
from rrsis_geo.model.predictor import Predictor

PAINTED_GSD_RANGE_M = (0.12, 0.5)


class SetScores(NamedTuple):
    """Scores of a bundle on a set of samples.

    Attributes:
        network: of the network alone.
        rules: of the answers with rules, None for bundles whose language is "network".
        answered_by: what gave the answers with rules -> number of samples.
        by_source: source of the images -> scores of its samples, by rules if there are any.
    """

    network: Scores
    rules: Scores | None
    answered_by: Mapping[AnsweredBy, int]
    by_source: Mapping[str, Scores]


class SampleCounts(NamedTuple):
    """Numbers of samples: crops and whole images of each file, and painted scenes."""

    crops: int
    whole: int
    painted: int


class _Picture(NamedTuple):
    """A sample with its extent, as rules need it."""

    image: np.ndarray
    expression: str
    extent: Extent
    sample: Sample


def score_sets(
    model: str,
    sets: Mapping[str, Sequence[Sample]],
    dtype: str = "auto",
    language: Language | None = None,
    *,
    tta: bool = False,
) -> Iterator[tuple[str, SetScores]]:
    """Yield the name of each set and the scores of a bundle on it."""
    bundle = load_bundle(model)
    predictor = Predictor(bundle, "auto", dtype, tta=tta)
    with_rules = (language or bundle.language) == "resolved"
    for name, samples in sets.items():
        yield name, score_answers(predictor, samples, with_rules=with_rules)


def score_answers(
    predictor: Predictor, samples: Sequence[Sample], *, with_rules: bool
) -> SetScores:
    """Scores of a model by the network alone, and with rules."""
    network, rules = ScoreMeter(), ScoreMeter()
    by_source = defaultdict[str, ScoreMeter](ScoreMeter)
    answered_by = Counter[AnsweredBy]()
    for sample, answer in answer_samples(predictor, samples, with_rules=with_rules):
        kinds = {"ignored": sample.ignored, "kind": sample.kind, "category": sample.category}
        network.add(answer.network_mask(), sample.mask, **kinds)
        if with_rules:
            rules.add(answer.mask(), sample.mask, **kinds)
            answered_by[answer.by] += 1
        mask = answer.mask() if with_rules else answer.network_mask()
        by_source[sample.source].add(mask, sample.mask, **kinds)
    return SetScores(
        network.scores(),
        rules.scores() if with_rules else None,
        answered_by,
        {source: meter.scores() for source, meter in sorted(by_source.items())},
    )


def answer_samples(
    predictor: Predictor, samples: Sequence[Sample], *, with_rules: bool
) -> Iterator[tuple[Sample, Answer]]:
    """Each sample with the answer of a model."""
    pictures = (
        _Picture(each.image, each.expression, Extent.of(each.image.shape, each.gsd_m), each)
        for each in samples
    )
    for batch in answer_batches(predictor, pictures, batch_size=4, with_rules=with_rules):
        yield from ((picture.sample, answer) for picture, answer in batch)


def validation_sets(
    instances: Sequence[Path], counts: SampleCounts, size_px: int
) -> dict[str, Sequence[Sample]]:
    """The first validation samples: crops and whole images of each file, and painted scenes.

    The sets of a file are named by its folder: "data", "data, whole images".
    """
    sets: dict[str, Sequence[Sample]] = {}
    for path in instances:
        source = InstanceSource(path)
        name = path.resolve().parent.name
        for label, n, whole_share in (
            (name, counts.crops, 0),
            (f"{name}, whole images", counts.whole, 1),
        ):
            if n:
                sets[label] = validation_samples(
                    source, n, INSTANCES_SEED, size_px, whole_share=whole_share
                )
    if counts.painted:
        sets["painted"] = painted_samples(INSTANCES_SEED, counts.painted, size_px)
    return sets


def painted_samples(seed: int, n: int, size_px: int) -> list[Sample]:
    """Sample i depends on the seed and i only."""
    rngs = (np.random.default_rng([seed, i]) for i in range(n))
    return [painted_sample(rng, size_px, PAINTED_GSD_RANGE_M) for rng in rngs]
