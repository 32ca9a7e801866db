"""Kinds of expressions and of the clauses that they are made of."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

ClauseKind = Literal["colour", "size", "position", "contact", "side"]
"""Contacts are "on", "in" and "next to" something; sides are "to the left of" and "between"."""

ALL_CLAUSES: Final[frozenset[str]] = frozenset({"colour", "size", "position", "contact", "side"})

KIND_WEIGHTS: Final[Mapping[str, float]] = {
    "category": 0.32,
    "colour": 0.12,
    "size": 0.1,
    "position": 0.16,
    "relation": 0.06,
    "combination": 0.06,
    "absent": 0.18,
}
"""Kind of expression -> its share of the samples."""

CLAUSES_OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "category": frozenset(),
    "colour": frozenset({"colour"}),
    "size": frozenset({"size"}),
    "position": frozenset({"position"}),
    "relation": frozenset({"contact", "side"}),
    "combination": ALL_CLAUSES,
    "absent": ALL_CLAUSES,
}
"""Kind of expression -> kinds of the clauses that it may have."""

COMBINATIONS: Final = (
    ("colour", "position"),
    ("size", "position"),
    ("colour", "relation"),
    ("size", "colour"),
    ("position", "relation"),
    ("size", "relation"),
)
"""Pairs of kinds that an expression can combine."""


class ExpressionKinds(NamedTuple):
    """Which expressions to write.

    Attributes:
        shares: kind of expression -> its share, not scaled to a sum of 1.
        clauses: kinds of clauses that expressions may have, of :data:`ALL_CLAUSES`.
    """

    shares: Mapping[str, float]
    clauses: frozenset[str]

    def with_absent(self, share: float) -> "ExpressionKinds":
        """The same kinds, with this share of absent targets."""
        present = {kind: weight for kind, weight in self.shares.items() if kind != "absent"}
        rest = (1 - share) / sum(present.values())
        scaled = {kind: weight * rest for kind, weight in present.items()}
        return self._replace(shares={**scaled, "absent": share})


ALL_KINDS: Final = ExpressionKinds(KIND_WEIGHTS, ALL_CLAUSES)


def can_write(kind: str, clauses: frozenset[str]) -> bool:
    """Whether these clauses are enough for expressions of a kind."""
    if kind == "combination":
        return any(can_write(one, clauses) and can_write(two, clauses) for one, two in COMBINATIONS)
    return kind in ("category", "absent") or not clauses.isdisjoint(CLAUSES_OF_KIND[kind])
