"""Which pixels of partly labelled images are known."""

from dataclasses import replace

import numpy as np
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.expressions.candidates import OUTLINE
from rrsis_geo.data.expressions.writer import WrittenExpression
from rrsis_geo.data.instances.crops import CropBox, crop_labelled
from rrsis_geo.data.instances.ignored import ignored_pixels
from rrsis_geo.data.instances.referring import to_sample
from rrsis_geo.data.sample import LabelledImage

TRUCK, CAR, OTHER, SHIP = (
    block("truck", 20, 20, 20, 45),
    block("car", 50, 20, 10, 10),
    block("vehicle", 50, 60, 10, 10),
    block("ship", 80, 80, 10, 10),
)
ROUGH, _ = block("truck", 70, 20, 14, 14, **{OUTLINE: "box"})


def town(
    complete: set[str] | frozenset[str] = frozenset(), *, rough: bool = False
) -> LabelledImage:
    """A partly labelled image of a truck, a car, a vehicle of unknown kind and a ship."""
    image = labelled_blocks([TRUCK, CAR, OTHER, SHIP], complete=complete)
    return replace(image, partly_labelled=True, rough=(ROUGH,) if rough else ())


def known_for(image: LabelledImage, category: str, *target: int) -> np.ndarray:
    ignored = ignored_pixels(image, category, pixels_of(image, *target))
    assert ignored is not None
    return ~ignored


def test_the_target_other_objects_and_their_rings_are_known() -> None:
    known = known_for(town(), "truck", 0)
    for number in (0, 1, 3):
        assert known[pixels_of(town(), number)].all()
    # the ring of the truck is 0.1 times the root of 900 pixels wide, that of the car 2 pixels
    assert known[20:40, [17, 18, 19, 65, 66, 67]].all()
    assert not known[20:40, [16, 68]].any()
    assert known[[48, 49, 60, 61], 25].all()
    assert not known[[47, 62], 25].any()
    assert not known[:, :10].any()


def test_an_object_that_can_be_of_the_category_is_unknown() -> None:
    image = town()
    vehicle = pixels_of(image, 2)
    assert not known_for(image, "truck", 0)[vehicle].any()
    assert known_for(image, "vehicle", 0, 1, 2)[vehicle].all()
    assert known_for(image, "ship", 3)[vehicle].all()


def test_everything_is_known_of_a_complete_category() -> None:
    image = town({"truck", "ship"})
    assert ignored_pixels(image, "truck", pixels_of(image, 0)) is None
    assert ignored_pixels(image, "airplane", pixels_of(image)) is not None


def test_other_images_are_known() -> None:
    image = replace(town(), partly_labelled=False)
    assert ignored_pixels(image, "truck", pixels_of(image, 0)) is None


def test_a_box_is_unknown_where_its_object_can_be_the_target() -> None:
    image = replace(town(rough=True), partly_labelled=False)
    box = np.zeros((100, 100), bool)
    box[70:84, 20:34] = True
    for category, target in (("truck", 0), ("vehicle", 0)):
        assert (known_for(image, category, target) == ~box).all()
    assert ignored_pixels(image, "ship", pixels_of(image, 3)) is None
    assert not known_for(town(rough=True), "truck", 0)[box].any()


def test_the_target_is_known_under_a_box() -> None:
    image = replace(town(), rough=(replace(ROUGH, bbox=(15, 15, 14, 14)),))
    assert known_for(image, "truck", 0)[pixels_of(image, 0)].all()


def test_rings_end_at_the_border() -> None:
    corner = replace(labelled_blocks([block("car", 0, 0, 10, 10)]), partly_labelled=True)
    known = known_for(corner, "car", 0)
    assert known[:12, :12].all()
    assert known.sum() == 144


def test_crops_keep_boxes_and_samples_have_the_ignored_pixels() -> None:
    image = town(rough=True)
    rng = np.random.default_rng(0)
    crop = crop_labelled(image, rng, 50, CropBox(0, 0, 100, 100), turn=False, jitter=False)
    assert [item.bbox for item in crop.rough] == [(35, 10, 7, 7)]
    assert crop.partly_labelled
    written = WrittenExpression("the truck", np.zeros((50, 50), bool), "category", "truck")
    sample = to_sample(crop, written)
    assert sample.ignored is not None
    assert sample.ignored[35:42, 10:17].all()
