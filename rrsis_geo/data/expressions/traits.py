"""Traits of categories that limit what an expression can say about them."""

from typing import Final

from rrsis_geo.text.vocabulary import kinds_of, wider_than

COVERED_BY: Final[dict[str, frozenset[str]]] = {
    "vehicle": frozenset({"car", "truck", "bus", "van"}),
    "building": frozenset({"house", "hall"}),
}
"""Category -> kinds that together make up the category: if all of them are labelled, so is it.
No object is of two of these kinds."""

GROUND: Final = frozenset(
    {
        "road",
        "water",
        "vegetation",
        "grass",
        "low vegetation",
        "impervious surface",
        "farmland",
        "field",
        "forest",
        "parking lot",
        "sidewalk",
        "apron",
        "runway",
    }
)
"""Surfaces that lie under other objects. Expressions do not name their size or neighbours."""

WHOLE_ONLY: Final = frozenset({"vegetation", "grass", "low vegetation", "impervious surface"})
"""Ground cover without distinct parts. Expressions refer to all of it or to none."""

COLOURLESS: Final = GROUND | {"tree", "harbor", "pier", "baseball field", "ground track field"}
"""Categories whose colour carries no information or differs between their parts."""

POSSIBLE_COLOURS: Final = {"swimming pool": frozenset({"blue", "turquoise", "green"})}
"""Category -> the only colours that a measurement can return for it."""


def can_be(label: str, category: str) -> bool:
    """Whether an object with a label may also be of a category.

    A "car" is a "vehicle" and can be a "small vehicle"; a "vehicle" can be a "car". A "car" is no
    "truck" and no "ship".
    """
    if category in kinds_of(label) or label in kinds_of(category):
        return True
    shared = set(wider_than(label)) & set(wider_than(category))
    exclusive = (COVERED_BY.get(wider, frozenset()) for wider in shared)
    return bool(shared) and not any({label, category} <= kinds for kinds in exclusive)
