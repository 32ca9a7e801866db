"""What may be called absent in the images of each public source of instances.

A source labels some categories wholly and others not at all; "no X in this image" is true only of
the former, and of what its scenes cannot hold. The tables rest on looking at the images.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from rrsis_geo.text.vocabulary import kinds_of


@dataclass(frozen=True, slots=True)
class SourceRule:
    """What is known of a source beyond its labels.

    Attributes:
        complete: categories of which every object is labelled in every image of the source, those
            that its scenes cannot hold included.
        if_labelled: categories of which every object is labelled in an image that has one.
        unless: category -> categories; where an image has one of these, the first is not complete
            (boats moored in a harbor are not labelled as ships).
        false_colour_gsd_m: metres per pixel of its false-colour images, where they differ.
    """

    complete: frozenset[str]
    if_labelled: frozenset[str] = frozenset()
    unless: tuple[tuple[str, frozenset[str]], ...] = ()
    false_colour_gsd_m: float | None = None


_COURTS: Final = frozenset(
    {"baseball field", "tennis court", "basketball court", "ground track field", "soccer field"}
)
_PORT: Final = frozenset({"ship", "harbor"})
_NOT_IN_TOWN: Final = frozenset({"airplane", "storage tank", "bridge", "water", "swimming pool"})

SOURCE_RULES: Final[dict[str, SourceRule]] = {
    "nwpu_vhr10": SourceRule(
        _COURTS - {"soccer field"} | {"airplane", "ship", "storage tank", "harbor", "bridge"},
        if_labelled=frozenset({"vehicle"}),
        unless=(("ship", frozenset({"harbor", "bridge"})),),
        false_colour_gsd_m=0.08,
    ),
    "fair_oam": SourceRule(
        _PORT
        | {"airplane", "storage tank", "ground track field", "baseball field", "tennis court"},
        if_labelled=frozenset({"building"}),
    ),
    "epfl_roads": SourceRule(_PORT | {"airplane", "storage tank", "road", "swimming pool"}),
    # Its swimming pools come from a spectral rule that misses some.
    "urban_tree_naip": SourceRule(_PORT | {"airplane"}, if_labelled=frozenset({"tree"})),
    "aerial_cars_minsk": SourceRule(_COURTS | _PORT | _NOT_IN_TOWN | {"bus", "truck"}),
    "aerial_cars_kitais": SourceRule(_COURTS | _PORT | _NOT_IN_TOWN | {"bus", "truck"}),
    "hrplanesv2": SourceRule(_COURTS | {"harbor", "airplane", "swimming pool"}),
    "pix2pix_maps": SourceRule(frozenset({"water"})),
    "isaid_devkit": SourceRule(_COURTS | _PORT | {"airplane", "large vehicle"}),
    "dota8": SourceRule(_COURTS | {"bridge", "storage tank"}),
    "dota_devkit": SourceRule(_COURTS | {"airplane", "storage tank"}),
}


def complete_categories(
    source: str,
    here: Collection[str],
    *,
    all_labelled: bool,
    source_categories: Collection[str],
) -> frozenset[str]:
    """Categories of which every object in an image is labelled.

    Args:
        source: name of the source; one without a rule is believed in what it says itself.
        here: categories that the image has labels of.
        all_labelled: the image is said to be labelled wholly for the source's categories.
        source_categories: categories that the source labels at all.
    """
    rule = SOURCE_RULES.get(source)
    if rule is None:
        return frozenset(source_categories) if all_labelled else frozenset()
    complete = set(rule.complete) | (rule.if_labelled & set(here))
    if "building" in complete and not all_labelled:
        complete.discard("building")
    for category, spoilers in rule.unless:
        if spoilers.intersection(here):
            complete.discard(category)
    # An unnamed vehicle may be a bus: nothing is known of the kinds of a category labelled here.
    for category in here:
        complete -= kinds_of(category) - {category}
    return frozenset(complete)


def parse_gsd_m(value: object) -> float | None:
    """Metres per pixel from a number or a note such as "0.5-2 (Google Earth)"; None if unknown.

    The middle of a range is its geometric mean, since scales are compared by their ratio.
    """
    numbers = re.match(r"\s*~?\s*(\d*\.?\d+)(?:\s*-\s*(\d*\.?\d+))?", str(value))
    if numbers is None:
        return None
    low = float(numbers[1])
    high = float(numbers[2] or low)
    return (low * high) ** 0.5 or None
