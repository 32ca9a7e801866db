"""Categories that expressions can call absent, for each public source of instances.

A source labels some categories fully and others not at all. "No X in this image" is certain only
for the former, and for categories that cannot occur in its images. The table comes from looking at
the images.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from rrsis_geo.text.vocabulary import kinds_of


@dataclass(frozen=True, slots=True)
class SourceRule:
    """Facts about a source that its labels do not state.

    Attributes:
        complete: categories of which every object is labelled in every image of the source,
            including categories that cannot occur in its images.
        if_labelled: categories that are complete in each image with at least one such label, and in
            images without any label that the file says are fully labelled.
        unless: pairs of a category and other categories. If an image has one of the others, the
            category is not complete (boats moored in a harbor are not labelled as ships).
        false_colour_gsd_m: ground sample distance of its false-colour images, if it differs.
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
    # Its labels of swimming pools come from a spectral rule that misses some.
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
        source: name of the source.
        here: categories of the labels in the image.
        all_labelled: whether the file says that the image is fully labelled. Sources with a rule
            are trusted in this for buildings, and for images without labels.
        source_categories: all categories that the source labels.
    """
    rule = SOURCE_RULES.get(source)
    if rule is None:
        return frozenset(source_categories) if all_labelled else frozenset()
    is_empty = all_labelled and not here
    complete = {*rule.complete, *(rule.if_labelled if is_empty else rule.if_labelled & set(here))}
    if "building" in complete and not all_labelled:
        complete.discard("building")
    for category, spoilers in rule.unless:
        if spoilers.intersection(here):
            complete.discard(category)
    # A "vehicle" can be a bus: if a category has labels here, its kinds are not complete.
    for category in here:
        complete -= kinds_of(category) - {category}
    return frozenset(complete)


def parse_gsd_m(value: object) -> float | None:
    """Parse metres per pixel from a number or a note such as "0.5-2 (Google Earth)".

    A range becomes its geometric mean. None if there is no number.
    """
    numbers = re.match(r"\s*~?\s*(\d*\.?\d+)(?:\s*-\s*(\d*\.?\d+))?", str(value))
    if numbers is None:
        return None
    low = float(numbers[1])
    high = float(numbers[2] or low)
    return (low * high) ** 0.5 or None
