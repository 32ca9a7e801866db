"""Traits of categories that limit what an expression can say about them."""

from typing import Final

COVERED_BY: Final[dict[str, frozenset[str]]] = {
    "vehicle": frozenset({"car", "truck", "bus", "van"}),
    "building": frozenset({"house", "hall"}),
}
"""Category -> kinds that together make up the category: if all of them are labelled, so is it."""

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
