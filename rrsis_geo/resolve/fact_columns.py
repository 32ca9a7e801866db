"""The columns that tell why objects were chosen: rank, distance and region."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.resolve.choice import Choice, Column
from rrsis_geo.resolve.frame import Float64, Frame
from rrsis_geo.text.query.records import Distance, Query, Rank, Region, Rule, plain_rule


def fact_names(query: Query) -> tuple[str, ...]:
    """Names of the columns that tell how the objects of a query were chosen.

    "rank" counts from 1, "distance_m" is that to a landmark or to the centre, and "region" names
    the parts of the scene that the query speaks of and the object is in.
    """
    has = {
        "rank": any(isinstance(rule, Rank) for rule in query.rules),
        "distance_m": any(_is_distance(rule) for rule in query.rules),
        "region": any(isinstance(plain_rule(rule), Region) for rule in query.rules),
    }
    return tuple(name for name, is_there in has.items() if is_there)


def fact_columns(
    query: Query, choice: Choice, columns: list[Column], frame: Frame
) -> dict[str, NDArray[Any]]:
    """The facts of N objects, by the names of `fact_names`. No metres, no distances: NaN."""
    found: dict[str, NDArray[Any]] = {}
    for name in fact_names(query):
        if name == "rank":
            found[name] = np.where(choice.rank > 0, choice.rank.astype(float), np.nan)
        elif name == "distance_m":
            distance = _distances(query.rules, columns)
            known = np.isfinite(distance) & frame.has_metres
            found[name] = np.where(known, distance, np.nan).round(2)
        else:
            found[name] = _regions(query.rules, columns, len(choice.chosen))
    return found


def _regions(rules: tuple[Rule, ...], columns: list[Column], n: int) -> NDArray[Any]:
    """Text [N]: the regions that each object is in; None for none."""
    texts = np.full(n, "", object)
    for rule, column in zip(rules, columns, strict=True):
        inner = plain_rule(rule)
        if isinstance(inner, Region) and column.holds is not None:
            texts[column.holds] += f"; {inner}"
    return np.array([text[2:] or None for text in texts], object)


def _is_distance(rule: Rule) -> bool:
    return isinstance(rule, Distance) or (isinstance(rule, Rank) and rule.key == "distance")


def _distances(rules: tuple[Rule, ...], columns: list[Column]) -> Float64:
    for rule, column in zip(rules, columns, strict=True):
        if _is_distance(rule) and column.value is not None:
            return column.value
    return np.empty(0)
