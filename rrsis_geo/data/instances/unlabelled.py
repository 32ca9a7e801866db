"""Samples about vehicles that an image may have without labels.

Roofs carry skylights and machines that look like vehicles from above, but most images with labelled
buildings have no labels of vehicles. Their roofs are still known not to be vehicles, and so is a
labelled truck not to be a bus. A sample of this module asks for a vehicle and knows the truth only
there: nothing else counts, nor whether the target is in the image.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rrsis_geo.data.expressions.candidates import union_mask
from rrsis_geo.data.expressions.traits import can_be
from rrsis_geo.data.expressions.wording import write_words
from rrsis_geo.data.expressions.writer import fully_labelled_categories
from rrsis_geo.data.instances.crops import MIN_PIXELS
from rrsis_geo.data.instances.ignored import grow_rows
from rrsis_geo.data.sample import Instance, LabelledImage, Sample
from rrsis_geo.text.vocabulary import kinds_of

WITHOUT_VEHICLES: Final = frozenset({"building", "solar panel", "storage tank"})
"""Categories whose objects carry and hide no vehicles."""
KNOWN_WEIGHTS: Final = {
    "building": 4.0,
    "solar panel": 0.4,
    "storage tank": 1.0,
    **dict.fromkeys(("bus", "car", "truck", "van"), 1.0),
}
"""Category of objects to ask about -> its weight."""
ASKED_WEIGHTS: Final = {"vehicle": 3.0, "car": 2.0, "truck": 2.0, "bus": 2.0, "van": 1.5}
"""Vehicle to ask for -> its weight."""
_SHRINK_SHARE: Final = 0.05
"""Width of the rim of a roof that is not known, as a share of the root of its area. Outlines are
not exact, and vehicles stand beside walls."""
_MIN_RIM_PX: Final = 2


def write_unlabelled(labelled_image: LabelledImage, rng: np.random.Generator) -> Sample | None:
    """Ask for a vehicle that the image may have without a label.

    Args:
        labelled_image: the image.
        rng: source of all randomness.

    Returns:
        A sample without a target, whose pixels are ignored except on objects that are certainly no
        such vehicle. None if there are no such objects, or if every kind of vehicle is labelled.
    """
    labelled = (*labelled_image.instances, *labelled_image.rough)
    complete = fully_labelled_categories(labelled_image)
    asked = [
        name
        for name in ASKED_WEIGHTS
        if name not in complete and not any(can_be(item.category, name) for item in labelled)
    ]
    known = _known_pixels(labelled_image)
    if not asked or not known.any():
        return None
    weights = np.array([ASKED_WEIGHTS[name] for name in asked])
    category = asked[int(rng.choice(len(asked), p=weights / weights.sum()))]
    return Sample(
        image=labelled_image.image,
        expression=write_words(labelled_image, category, (), 0, rng),
        mask=np.zeros_like(known),
        id=labelled_image.id,
        category=category,
        gsd_m=labelled_image.gsd_m,
        picture=labelled_image.id,
        ignored=~known,
        source=labelled_image.source,
    )


def _known_pixels(labelled_image: LabelledImage) -> NDArray[np.bool_]:
    """Pixels of labelled vehicles and of objects that carry none, without their rims."""
    vehicles = kinds_of("vehicle")
    known = [item for item in labelled_image.instances if item.category in vehicles]
    roofs = (item for item in labelled_image.instances if item.category in WITHOUT_VEHICLES)
    known += [_without_rim(item) for item in roofs]
    return union_mask(known, labelled_image.image.shape[:2])


def _without_rim(item: Instance) -> Instance:
    """The object without the pixels near its outline; it may have none left."""
    n_pixels = np.count_nonzero(item.mask)
    rim = max(_MIN_RIM_PX, round(_SHRINK_SHARE * n_pixels**0.5))
    inner = _shrink(_shrink(item.mask, rim).T, rim).T
    if np.count_nonzero(inner) < MIN_PIXELS:
        inner = np.zeros_like(item.mask)
    return Instance(item.category, item.bbox, inner, item.attributes)


def _shrink(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The pixels of a mask that have this many more above and below, bool [h, w]."""
    outside = np.pad(~mask, ((pixels, pixels), (0, 0)), constant_values=True)
    inner: NDArray[np.bool_] = ~grow_rows(outside, pixels)[2 * pixels : -2 * pixels]
    return inner
