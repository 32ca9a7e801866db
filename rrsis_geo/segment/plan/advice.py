"""Warnings about expressions, scenes and models whose result may be wrong."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rrsis_geo.log_odds import to_probability
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.text.phrases import categories_in, category_of, subject_span
from rrsis_geo.text.query.records import Query
from rrsis_geo.text.vocabulary import names_of, synonyms_of
from rrsis_geo.units import format_length

LOW_PRESENCE = 0.5
"""The user is warned if the presence probability is below this in every window, or below the
threshold of the model if it has one."""
LOWEST_ADVISED_THRESHOLD = 0.1
"""Below it, a lower threshold gives little but noise."""
SAME_GSD = 1.02
"""Ground pixels outside the range of a model by less than this factor count as inside."""


def advise_before_run(plan: Plan, predictor: WindowPredictor) -> Iterator[str]:
    """Yield warnings that follow from the expressions, the scene and the model."""
    for expression, query in zip(plan.expressions, plan.queries, strict=True):
        prefix = f'"{expression}": ' if len(plan.expressions) > 1 else ""
        for text in _advise_on_expression(plan, query, predictor):
            yield f"{prefix}{text}"
    yield from _advise_on_gsd(plan)
    if not plan.model.estimates_presence and plan.model.presence is None:
        yield (
            f"{plan.model.name} finds something in most windows: it does not estimate whether the "
            "target is there, and has no threshold for that; give one with --presence, or learn "
            "one from windows of yours with `rrsis-geo fit-presence`"
        )


def advise_on_repeats(given: str | Sequence[str]) -> Iterator[str]:
    """Yield a warning for each expression that was given more than once."""
    cleaned = [given] if isinstance(given, str) else [" ".join(text.split()) for text in given]
    for expression in dict.fromkeys(cleaned):
        if cleaned.count(expression) > 1:
            yield f'"{expression}" is given more than once; it is segmented once'


class HighestScores(NamedTuple):
    """The highest scores that the model gave an expression, log-odds; None if unknown.

    Attributes:
        presence: that the target is in a window.
        pixel: that a pixel belongs to the target.
    """

    presence: float | None = None
    pixel: float | None = None


def advise_after_run(plan: Plan, scores: Sequence[HighestScores]) -> Iterator[str]:
    """Yield warnings that follow from the output of the model.

    Args:
        plan: of the run.
        scores: of each expression.
    """
    for expression, highest in zip(plan.expressions, scores, strict=True):
        presence = 1.0 if highest.presence is None else to_probability(highest.presence)
        is_absent = presence < (plan.model.presence or LOW_PRESENCE)
        if is_absent:
            yield (
                f'"{expression}" is probably not in the scene: the model gives it a probability '
                f"of at most {presence:.0%} in every window"
            )
        pixel = None if highest.pixel is None else to_probability(highest.pixel)
        if pixel is not None and not (is_absent and pixel < LOWEST_ADVISED_THRESHOLD):
            yield from advise_on_threshold(expression, pixel, plan.options.threshold)


def advise_on_threshold(expression: str, highest: float, threshold: float) -> Iterator[str]:
    """Yield a warning if no pixel is above the threshold.

    Args:
        expression: what was asked for.
        highest: highest probability of a pixel.
        threshold: of the run.
    """
    if highest > threshold:
        return
    text = (
        f'"{expression}": nothing is above the threshold of {threshold:g}; the highest pixel is '
        f"{math.floor(100 * highest) / 100:.2f}"
    )
    lower = (math.ceil(round(10 * highest, 6)) - 1) / 10  # the next tenth below
    yield f"{text}: try --threshold {lower:g}" if lower >= LOWEST_ADVISED_THRESHOLD else text


def _advise_on_expression(plan: Plan, query: Query, predictor: WindowPredictor) -> Iterator[str]:
    phrases = [each for each in query.phrases() if each in plan.phrases]
    for phrase in phrases:
        cut = predictor.cut_words(phrase)
        if cut:
            yield (
                f'the expression is longer than the model reads: its end "{cut.strip()}" is '
                "ignored; use fewer words"
            )
    things = [find_untrained_things(phrase, plan.model) for phrase in phrases]
    untrained = list(dict.fromkeys(thing for each in things for thing in each))
    if untrained:
        yield (
            f"{plan.model.name} was not trained on {' or '.join(untrained)}; the result may be "
            "wrong"
        )


def find_untrained_things(expression: str, model: ModelFacts) -> list[str]:
    """Things in an expression that the model was not trained on.

    Things of a known category are given by the name of the category. The target of an expression
    without a known category is given in its own words, unless they are another name of a category
    of the model. The list is empty if the bundle does not list its categories.
    """
    known = model.about.get("categories")
    if not isinstance(known, list | tuple):
        return []
    unlisted = [name for name in categories_in(expression) if not synonyms_of(name) & set(known)]
    target = subject_span(expression)
    if target is None or category_of(expression):
        return unlisted
    names = "|".join(re.escape(name) for category in known for name in names_of(category))
    for match in re.finditer(rf"\b(?:{names})\b", expression, re.IGNORECASE) if names else ():
        if match.start() < target.stop and target.start < match.end():
            return unlisted
    return [f'"{expression[target.start : target.stop]}"', *unlisted]


def _advise_on_gsd(plan: Plan) -> Iterator[str]:
    scene_gsd_m, model_gsd_m = plan.scene.gsd_m, plan.model_px.gsd_m
    range_m, options = plan.model.image.gsd_range_m, plan.options.scene
    if range_m is None:
        return
    range_text = f"{format_length(range_m[0])} to {format_length(range_m[1])}"
    if scene_gsd_m is None:
        yield (
            f"{plan.scene.path}: its ground pixel is unknown, so it is not resampled to the range "
            f"of the model ({range_text})"
        )
        return
    if not _is_in_range(scene_gsd_m, range_m) and options.gsd_m is None and options.resample:
        assert model_gsd_m is not None
        yield (
            f"the scene's ground pixel of {format_length(scene_gsd_m)} is outside the range of the "
            f"model ({range_text}): the scene is resampled to {format_length(model_gsd_m)} for the "
            "model; the results have the pixels of the scene"
        )
    used_gsd_m = model_gsd_m if model_gsd_m is not None else scene_gsd_m
    if not _is_in_range(used_gsd_m, range_m):
        yield (
            f"the model gets a ground pixel of {format_length(used_gsd_m)}, outside its range of "
            f"{range_text}: expect worse results"
        )


def _is_in_range(gsd_m: float, range_m: tuple[float, float]) -> bool:
    return range_m[0] / SAME_GSD <= gsd_m <= range_m[1] * SAME_GSD
