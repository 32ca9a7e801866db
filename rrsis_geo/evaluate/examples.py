"""Choose the worst, the median and the best samples of an evaluation as pictures of the gallery."""

from collections.abc import Mapping, Sequence
from typing import Final

from rrsis_geo.evaluate.answers import answer_batches
from rrsis_geo.evaluate.data import EvaluationData, EvaluationSample
from rrsis_geo.evaluate.gallery import Picture
from rrsis_geo.evaluate.scoring import SampleScore
from rrsis_geo.model.predictor import Predictor

SAMPLES_PER_SECTION: Final = 8
"""Largest number of worst, of median and of best samples."""


def choose_samples(scores: Sequence[SampleScore]) -> Mapping[str, list[int]]:
    """Indices of the worst, the median and the best samples; no sample is chosen twice.

    Of samples with equal quality, the one with the larger union is the worse.
    """
    ranks = sorted(range(len(scores)), key=lambda i: (scores[i].quality, -scores[i].answer.union))
    count = max(1, min(SAMPLES_PER_SECTION, len(ranks) // 3))
    worst, rest = ranks[:count], ranks[count:]
    best, rest = rest[-count:][::-1], rest[:-count]
    start = max(0, (len(rest) - count) // 2)
    return {"Worst": worst, "Median": rest[start : start + count], "Best": best}


def choose_pictures(
    data: EvaluationData, scores: Sequence[SampleScore], predictor: Predictor
) -> dict[str, list[Picture]]:
    """Pictures of the chosen samples by section.

    The masks of an evaluation are not kept, so the chosen samples are predicted again.
    """
    return {
        section: [_make_picture(data[index], scores[index], predictor) for index in indices]
        for section, indices in choose_samples(scores).items()
    }


def _make_picture(sample: EvaluationSample, score: SampleScore, predictor: Predictor) -> Picture:
    with_rules = score.rules is not None
    ((_, answer),) = next(answer_batches(predictor, [sample], batch_size=1, with_rules=with_rules))
    facts = [f"IoU {score.answer.iou:.3f}"]
    if score.absent:
        facts = ["target absent", "correctly empty" if score.quality else "false positive"]
    if score.presence is not None:
        facts.append(f"presence {score.presence:.0%}")
    facts.append(", ".join(filter(None, (score.kind, *score.categories))))
    if score.rules is not None and score.rules.by != "no rule":
        alone = f"IoU of the network alone {score.counts.iou:.3f}"
        is_ruled = score.rules.by == "rules"
        facts += [f"understood: {score.rules.reading}", alone] if is_ruled else [score.rules.by]
    return Picture(
        image=sample.image,
        truth=sample.target,
        predicted=answer.mask(),
        expression=sample.expression,
        facts=tuple(filter(None, facts)),
        id=sample.id,
        aspect=sample.mask.shape[1] / sample.mask.shape[0],
    )
