"""What a user should be told about an expression and a model, in plain words, before and after."""

import re
from collections.abc import Iterator, Sequence

from rrsis_geo.log_odds import to_probability
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.text.phrases import categories_in, category_of, scene_wide_words, subject_span
from rrsis_geo.text.vocabulary import names_of
from rrsis_geo.units import format_length

DOUBT = 0.5
"""A presence below this in every window casts doubt on the whole result."""


def advise_before_run(plan: Plan, predictor: WindowPredictor) -> Iterator[str]:
    """What speaks against a good result, as far as the expression and the scene tell."""
    for expression in plan.expressions:
        of_which = f'"{expression}": ' if len(plan.expressions) > 1 else ""
        for text in _expression_advice(plan, expression, predictor):
            yield f"{of_which}{text}"
    yield from _pixel_advice(plan)


def advise_on_repeats(given: str | Sequence[str]) -> Iterator[str]:
    """Which expressions were given more than once."""
    tidied = [given] if isinstance(given, str) else [" ".join(text.split()) for text in given]
    for expression in dict.fromkeys(tidied):
        if tidied.count(expression) > 1:
            yield f'"{expression}" is given more than once; it is looked for once'


def advise_after_run(plan: Plan, presences_max: Sequence[float | None]) -> Iterator[str]:
    """What the run itself brought to light.

    Args:
        plan: of the run.
        presences_max: of each expression the highest log-odds that the target is in a window, None
            where unknown.
    """
    for expression, log_odds in zip(plan.expressions, presences_max, strict=True):
        presence = 1.0 if log_odds is None else to_probability(log_odds)
        if presence < DOUBT:
            yield (
                f'the model doubts that "{expression}" is anywhere in the scene: '
                f"in no window is it more than {presence:.0%} sure"
            )


def _expression_advice(plan: Plan, expression: str, predictor: WindowPredictor) -> Iterator[str]:
    cut = predictor.cut_words(expression)
    if cut:
        yield (
            f'the expression is longer than the model reads: its end "{cut.strip()}" is not read; '
            "say it in fewer words"
        )
    wide = scene_wide_words(expression)
    if wide:
        words = ", ".join(f'"{word}"' for word in wide)
        side_px = plan.model.image.size_px
        gsd_m = plan.model_px.gsd_m
        side = f"{side_px} pixels" + (f" ({format_length(side_px * gsd_m)})" if gsd_m else "")
        several = plan.grid.n_windows > 1
        if several:
            yield (
                f"{words}: answered within each window of {side} by itself, not over the whole "
                "scene, so there may be an answer in every window"
            )
    unknown = find_untrained_things(expression, plan.model)
    if unknown:
        yield (
            f"{plan.model.name} was not trained on {' or '.join(unknown)}; "
            "take the result with caution"
        )


def find_untrained_things(expression: str, model: ModelFacts) -> list[str]:
    """What the expression speaks of and the model's card does not list; [] where it lists nothing.

    Categories go by their usual name; a target of none of them by its own words, unless these are
    another name of something on the card.
    """
    known = model.about.get("categories")
    if not isinstance(known, list | tuple):
        return []
    unlisted = [name for name in categories_in(expression) if name not in known]
    target = subject_span(expression)
    if target is None or category_of(expression):
        return unlisted
    names = "|".join(re.escape(name) for category in known for name in names_of(category))
    for match in re.finditer(rf"\b(?:{names})\b", expression, re.IGNORECASE) if names else ():
        if match.start() < target.stop and target.start < match.end():
            return unlisted
    return [f'"{expression[target.start : target.stop]}"', *unlisted]


def _pixel_advice(plan: Plan) -> Iterator[str]:
    scene_m, model_m = plan.scene.gsd_m, plan.model_px.gsd_m
    image, options = plan.model.image, plan.options.scene
    if scene_m is None:
        if image.gsd_range_m is not None:
            yield (
                f"{plan.scene.path}: its ground pixel is unknown, so it is not resampled to what "
                f"the model knows ({_range(image.gsd_range_m)})"
            )
        return
    if image.gsd_range_m is None:
        return
    finest, coarsest = image.gsd_range_m
    outside = not finest / 1.02 <= scene_m <= coarsest * 1.02
    if outside and options.gsd_m is None and options.resample:
        assert model_m is not None
        yield (
            f"the scene's ground pixel of {format_length(scene_m)} is outside what the model knows "
            f"({_range(image.gsd_range_m)}): the scene is resampled to {format_length(model_m)} "
            "for the model, results are on the scene's own pixels"
        )
    used_m = model_m if model_m is not None else scene_m
    if not finest / 1.02 <= used_m <= coarsest * 1.02:
        yield (
            f"the model works at {format_length(used_m)} a pixel and knows "
            f"{_range(image.gsd_range_m)}: expect worse results"
        )


def _range(gsd_range_m: tuple[float, float]) -> str:
    return f"{format_length(gsd_range_m[0])} to {format_length(gsd_range_m[1])}"
