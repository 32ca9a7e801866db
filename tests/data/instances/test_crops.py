from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_blocks import block, labelled_blocks

from rrsis_geo.data.expressions.candidates import CUT, SLIVER, union_mask
from rrsis_geo.data.instances.crops import (
    CropBox,
    crop_labelled,
    flip_rotate,
    plan_crop,
    with_false_colours,
)
from rrsis_geo.data.sample import Instance, LabelledImage

RED_BLOCKS = [
    block("car", 20, 30, 8, 15, "red"),
    block("car", 60, 5, 20, 9, "red"),
    block("bus", 55, 50, 30, 40, "red"),
]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([50, 64, 100]))
def test_masks_stay_on_their_objects(seed: int, size: int) -> None:
    labelled_image = labelled_blocks(RED_BLOCKS)
    box = plan_crop(labelled_image, np.random.default_rng(seed), size, scale_range=(0.4, 1.5))
    crop = crop_labelled(labelled_image, np.random.default_rng(seed), size, box, jitter=False)
    assert crop.image.shape == (size, size, 3)
    red = (crop.image[..., 0] > 150) & (crop.image[..., 1] < 80)
    mask = union_mask(crop.instances, (size, size))
    # Scaling mixes pixels, so the image and the nearest-neighbour mask can differ by one pixel.
    core = mask.copy()
    core[1:-1, 1:-1] &= mask[2:, 1:-1] & mask[:-2, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2]
    core[[0, -1]] = core[:, [0, -1]] = False
    assert red[core].mean() > 0.97 if core.any() else True
    assert (red & ~mask).mean() < 0.04


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_boxes_are_tight_and_inside(seed: int) -> None:
    labelled_image = labelled_blocks(RED_BLOCKS)
    rng = np.random.default_rng(seed)
    box = plan_crop(labelled_image, rng, 48, scale_range=(0.3, 2.0))
    crop = crop_labelled(labelled_image, rng, 48, box)
    for item in crop.instances:
        row, col, height, width = item.bbox
        assert item.mask.shape == (height, width)
        assert min(row, col) >= 0
        assert max(row + height, col + width) <= 48
        assert all(item.mask.any(1)[[0, -1]])
        assert all(item.mask.any(0)[[0, -1]])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_image_and_masks_rotate_together(mirror: bool, turns: int) -> None:
    whole = labelled_blocks([block("car", 10, 70, 7, 20, "red")])
    mask = union_mask(whole.instances, (100, 100))
    rotations = {flip_rotate(mask, mirror, turns).tobytes()}
    crops = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        crop = crop_labelled(whole, rng, 100, CropBox(0, 0, 100, 100), jitter=False)
        here = union_mask(crop.instances, (100, 100))
        assert (here == (crop.image[..., 0] > 150)).all()
        crops.add(here.tobytes())
    assert rotations <= crops


def test_slivers_are_marked_and_large_parts_are_not() -> None:
    whole = labelled_blocks(
        [block("car", 0, 46, 10, 40), block("car", 30, 30, 10, 30), block("road", 48, 0, 52, 4)]
    )
    rng = np.random.default_rng(0)
    crop = crop_labelled(whole, rng, 50, CropBox(0, 0, 50, 50), turn=False)
    cuts = [item.attributes.get(CUT) for item in crop.instances]
    assert cuts == [SLIVER, "edge", SLIVER]
    assert crop.instances[0].bbox == (0, 46, 10, 4)


def test_the_crop_contains_the_requested_object() -> None:
    whole = labelled_blocks(RED_BLOCKS)
    for seed in range(50):
        box = plan_crop(
            whole,
            np.random.default_rng(seed),
            40,
            scale_range=(0.5, 1.0),
            around=whole.instances[1],
        )
        assert box.row <= 70 < box.row + box.height
        assert box.col <= 9.5 < box.col + box.height
        assert 0 <= box.row <= 100 - box.height
        assert 0 <= box.col <= 100 - box.height


def test_gsd_follows_the_scale_within_its_range() -> None:
    whole = labelled_blocks([])
    crop = crop_labelled(whole, np.random.default_rng(0), 50, CropBox(0, 0, 25, 25))
    assert crop.gsd_m == pytest.approx(0.15)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        box = plan_crop(whole, rng, 40, scale_range=(0.2, 2.5), gsd_range_m=(0.2, 0.4))
        crop = crop_labelled(whole, rng, 40, box)
        assert crop.gsd_m is not None
        assert 0.19 < crop.gsd_m < 0.41  # a crop has a whole number of pixels


def test_a_small_image_is_enlarged() -> None:
    whole, rng = labelled_blocks([], size=30), np.random.default_rng(0)
    crop = crop_labelled(whole, rng, 64, plan_crop(whole, rng, 64))
    assert crop.image.shape == (64, 64, 3)


def test_jitter_is_mild() -> None:
    instance = Instance("car", (0, 0, 1, 1), np.ones((1, 1), bool))
    flat = LabelledImage(np.full((40, 40, 3), 130, np.uint8), [instance], frozenset(), None)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        crop = crop_labelled(flat, rng, 40, plan_crop(flat, rng, 40))
        assert abs(float(crop.image.mean()) - 130) < 60
        assert np.ptp(crop.image.mean((0, 1))) < 25  # gray stays gray


def test_a_whole_image_is_squashed_with_its_masks() -> None:
    whole = labelled_blocks([block("car", 20, 30, 8, 16, "red")])
    wide = replace(whole, image=np.ascontiguousarray(whole.image[:50]))
    rng = np.random.default_rng(0)
    crop = crop_labelled(wide, rng, 50, CropBox(0, 0, 50, 100), turn=False, jitter=False)
    assert crop.image.shape == (50, 50, 3)
    assert crop.instances[0].bbox == (20, 15, 8, 8)
    assert crop.gsd_m == pytest.approx(0.3 * 2**0.5)


def test_false_colours_show_vegetation_brighter_than_roofs_of_the_same_brightness() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20] = (60, 120, 60)  # vegetation
    image[:, 20:] = (80, 80, 80)
    labelled_image = replace(labelled_blocks([]), image=image)
    for seed in range(20):
        changed = with_false_colours(labelled_image, np.random.default_rng(seed))
        assert changed.false_colour
        assert changed.image.shape == image.shape
        assert changed.image.dtype == np.uint8
        differences = changed.image[0, 0].astype(int) - changed.image[0, 39]
        assert differences.max() >= 50  # the infrared band
