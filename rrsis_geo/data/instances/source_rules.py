"""Categories that expressions can call absent, for each public source of instances.

A source labels some categories fully and others not at all. "No X in this image" is certain only
for the former, and for categories that cannot occur in its images. The table comes from looking at
the images.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
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
        false_colour: whether the colours of all its images are not natural.
        boxes_are_outlines: whether its boxes (label quality "box") are tight enough to be masks.
    """

    complete: frozenset[str]
    if_labelled: frozenset[str] = frozenset()
    unless: tuple[tuple[str, frozenset[str]], ...] = ()
    false_colour_gsd_m: float | None = None
    false_colour: bool = False
    boxes_are_outlines: bool = False


_COURTS: Final = frozenset(
    {"baseball field", "tennis court", "basketball court", "ground track field", "soccer field"}
)
_PORT: Final = frozenset({"ship", "harbor"})
_NOT_IN_TOWN: Final = frozenset({"airplane", "storage tank", "bridge", "water", "swimming pool"})
_RARE: Final = frozenset({"airplane", "helicopter", "wind turbine"})
_BUILDINGS: Final = SourceRule(_RARE | {"harbor"})
"""Tiles of towns. The file says that their buildings are complete."""

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
    "aerial_cars_minsk": SourceRule(
        _COURTS | _PORT | _NOT_IN_TOWN | {"bus", "truck"}, boxes_are_outlines=True
    ),
    "aerial_cars_kitais": SourceRule(
        _COURTS | _PORT | _NOT_IN_TOWN | {"bus", "truck"}, boxes_are_outlines=True
    ),
    "hrplanesv2": SourceRule(
        _COURTS | {"harbor", "airplane", "swimming pool"}, boxes_are_outlines=True
    ),
    "pix2pix_maps": SourceRule(frozenset({"water"})),
    "isaid_devkit": SourceRule(_COURTS | _PORT | {"airplane", "large vehicle"}),
    "dota8": SourceRule(_COURTS | {"bridge", "storage tank"}),
    "dota_devkit": SourceRule(_COURTS | {"airplane", "storage tank"}),
    # Airports, towns and marinas; most vehicles and boats have no label.
    "ihians/simd": SourceRule(frozenset({"wind turbine", "baseball field", "ground track field"})),
    "CATS-Lab/Field-data-Drone-View-Vehicle-Image-Set": SourceRule(
        _COURTS | _PORT | _NOT_IN_TOWN | _RARE | {"solar panel", "vehicle"}
    ),
    # Open water, some docks; a few boats have no label.
    "AUMANSH/ships-dataset-yoloversion8": SourceRule(
        _COURTS | _RARE | {"swimming pool", "solar panel"}
    ),
    "lbborkowski/wind-turbine-detector (NAIP)": SourceRule(
        _COURTS | _PORT | {"airplane", "helicopter", "swimming pool", "solar panel"}
    ),
    "lsyang99/Solar-Panel-Detection-Samples": SourceRule(_PORT | _RARE),
    "opengeos/data NAIP (North Dakota wetlands)": SourceRule(_COURTS | _PORT | _RARE),
    "Humans in the Loop Dubai (via S18-Niloy/CSE439)": SourceRule(_RARE),
    "Inria (via arghadeep25)": _BUILDINGS,
    "CrowdAI mapping (via arghadeep25)": _BUILDINGS,
    "ISPRS Potsdam (via arghadeep25)": _BUILDINGS,
    "SpaceNet2 (via arghadeep25)": replace(_BUILDINGS, false_colour=True),
    "WHU East Asia (via arghadeep25)": replace(_BUILDINGS, false_colour=True),
    "WHU NZ (via arghadeep25)": _BUILDINGS,
    "WHU global cities (via arghadeep25)": _BUILDINGS,
}


def complete_categories(
    source: str,
    here: Collection[str],
    *,
    all_labelled: bool,
    source_categories: Collection[str],
    complete_for: Collection[str] | None = None,
) -> frozenset[str]:
    """Categories of which every object in an image is labelled.

    Args:
        source: name of the source.
        here: categories of the labels in the image.
        all_labelled: whether the file says that the image is fully labelled. Sources with a rule
            are trusted in this for buildings, and for images without labels.
        source_categories: all categories that the source labels.
        complete_for: categories that the file lists as fully labelled in the image. They replace
            ``all_labelled``. None if the image has no such list.
    """
    rule = SOURCE_RULES.get(source)
    if rule is None and complete_for is None:
        return frozenset(source_categories) if all_labelled else frozenset()
    rule = rule or SourceRule(frozenset())
    is_empty = all_labelled and not here
    complete = {*rule.complete, *(rule.if_labelled if is_empty else rule.if_labelled & set(here))}
    if "building" in complete and not all_labelled:
        complete.discard("building")
    complete.update(complete_for or ())
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
