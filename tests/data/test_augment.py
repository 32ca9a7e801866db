import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.data.augment import (
    augment_sample,
    blacken_squares,
    can_crop,
    can_rotate,
    crop_sample,
    flip_rotate_sample,
    flip_rotate_words,
    relight_sample,
)
from rrsis_geo.data.expressions.colours import COLOURS, measure_brightness, name_pixels
from rrsis_geo.data.sample import Sample

SIDES = {"left": (1, 0), "top": (0, 1), "right": (1, 2), "bottom": (2, 1)}
CORNERS = {
    "top left": (0, 0),
    "top right": (0, 2),
    "bottom left": (2, 0),
    "bottom right": (2, 2),
}


def sample_at(row: int, col: int, expression: str) -> Sample:
    """A 3 x 3 image whose target is one pixel."""
    mask = np.zeros((3, 3), bool)
    mask[row, col] = True
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8)
    return Sample(image, expression, mask, id="a", kind="position", category="car")


@given(place=st.sampled_from(sorted(SIDES)), mirror=st.booleans(), turns=st.integers(0, 7))
def test_sides_stay_true_after_rotation(place: str, mirror: bool, turns: int) -> None:
    turned = flip_rotate_sample(sample_at(*SIDES[place], f"the {place}most car"), mirror, turns)
    ((row, col),) = np.argwhere(turned.mask)
    new_place = turned.expression.removeprefix("the ").removesuffix("most car")
    assert SIDES[new_place] == (row, col)
    assert (turned.image[..., 0] > 0).tolist() == turned.mask.tolist()
    assert (turned.id, turned.kind, turned.category) == ("a", "position", "car")


@given(place=st.sampled_from(sorted(CORNERS)), mirror=st.booleans(), turns=st.integers(0, 7))
def test_corners_stay_true_after_rotation(place: str, mirror: bool, turns: int) -> None:
    turned = flip_rotate_sample(
        sample_at(*CORNERS[place], f"car in the {place} corner"), mirror, turns
    )
    ((row, col),) = np.argwhere(turned.mask)
    new_place = turned.expression.removeprefix("car in the ").removesuffix(" corner")
    assert CORNERS[new_place] == (row, col)


@pytest.mark.parametrize(
    ("before", "mirrored", "turned"),
    [
        ("The car on the left", "The car on the right", "The car at the bottom"),
        ("upper-right ship", "upper-left ship", "upper-left ship"),
        ("the northeastern tank", "the northwestern tank", "the northwestern tank"),
        ("car to the left of the bus", "car to the right of the bus", "car below the bus"),
        ("the bus above the road", "the bus above the road", "the bus to the left of the road"),
        ("on the left of the image", "on the right of the image", "at the bottom of the image"),
        ("westernmost bridge", "easternmost bridge", "southernmost bridge"),
        ("the brightest car", "the brightest car", "the brightest car"),
    ],
)
def test_flip_rotate_words(before: str, mirrored: str, turned: str) -> None:
    assert flip_rotate_words(before, True, 0) == mirrored
    assert flip_rotate_words(before, False, 1) == turned


@pytest.mark.parametrize(
    "expression", ["the car on top of the hall", "the left-hand lane", "a horizontal road"]
)
def test_expressions_that_can_only_be_mirrored(expression: str) -> None:
    assert not can_rotate(expression)
    with pytest.raises(ValueError, match="cannot rotate"):
        flip_rotate_words(expression, False, 1)
    for seed in range(20):
        sample = augment_sample(sample_at(0, 1, expression), np.random.default_rng(seed))
        assert sample.mask[0, 1]


def test_four_rotations_or_two_mirrors_change_nothing() -> None:
    text = "the leftmost car near the upper edge, west of the bridge"
    once = flip_rotate_words(text, False, 1)
    assert (
        flip_rotate_words(
            flip_rotate_words(flip_rotate_words(once, False, 1), False, 1), False, 1
        ).count("left")
        == 1
    )
    assert flip_rotate_words(flip_rotate_words(text, True, 0), True, 0) == text


# --- crops ---


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("the red car", True),
        ("all buildings", True),
        ("the largest storage tank", True),
        ("two gray trucks", True),
        ("the car on the left", False),
        ("the topmost ship", False),
        ("the ship in the upper right corner", False),
        ("the car next to the building", False),
        ("vehicle driving on the road", False),
        ("the second plane", False),
        ("the bridge over the river", False),
        ("the plane in the middle", False),
        ("the truck surrounded by trees", False),
        ("a horizontal road", False),
    ],
)
def test_only_expressions_about_their_target_are_cropped(expression, allowed):
    assert can_crop(expression) == allowed


def sample_of(box: tuple[int, int, int, int], expression: str) -> Sample:
    """40 x 60 pixels of different values. The target is a box (row, col, height, width)."""
    row, col, height, width = box
    mask = np.zeros((40, 60), bool)
    mask[row : row + height, col : col + width] = True
    values = np.arange(40 * 60)
    image = np.stack([values % 256, values // 256, mask.ravel() * 255], -1)
    return Sample(image.reshape(40, 60, 3).astype(np.uint8), expression, mask, id="a")


boxes = st.tuples(
    st.integers(0, 30), st.integers(0, 50), st.integers(1, 20), st.integers(1, 20)
).filter(lambda box: box[0] + box[2] <= 40 and box[1] + box[3] <= 60)


@given(box=boxes, seed=st.integers(0, 2**16), whole=st.booleans())
def test_crops_keep_the_target(box, seed, whole):
    sample = sample_of(box, "the largest car" if whole else "the red car")
    crop = crop_sample(sample, np.random.default_rng(seed))
    height, width = crop.mask.shape
    assert crop.image.shape == (height, width, 3)
    assert height >= 0.6 * 40 - 0.5
    assert abs(height / 40 - width / 60) < 0.02
    assert np.array_equal(crop.image[..., 2] > 0, crop.mask)  # image and mask have the same crop
    n, before = int(crop.mask.sum()), int(sample.mask.sum())
    assert n == before if whole else 2 * n >= before
    place = np.argwhere((sample.image == crop.image[0, 0]).all(-1))[0]
    piece = sample.image[place[0] : place[0] + height, place[1] : place[1] + width]
    assert np.array_equal(piece, crop.image)


def test_crops_differ_and_cut_some_targets():
    sample = sample_of((0, 0, 40, 20), "the red road")
    crops = [crop_sample(sample, np.random.default_rng(seed)) for seed in range(30)]
    assert len({crop.mask.shape for crop in crops}) > 10
    assert any(crop.mask.sum() < sample.mask.sum() for crop in crops)
    assert all(crop.expression == sample.expression for crop in crops)


def test_crops_of_an_absent_target():
    empty = Sample(np.zeros((40, 40, 3), np.uint8), "the red car", np.zeros((40, 40), bool))
    assert not crop_sample(empty, np.random.default_rng(0)).mask.any()


# --- relighting ---


def blocks(*colours: tuple[int, int, int]) -> Sample:
    """A strip of ground with a block of each colour. The first block is the target."""
    image = np.full((40, 40 * len(colours) + 40, 3), (110, 118, 100), np.uint8)
    mask = np.zeros(image.shape[:2], bool)
    for number, colour in enumerate(colours):
        image[10:30, 40 * number + 20 : 40 * number + 40] = colour
    mask[10:30, 20:40] = True
    return Sample(image, "the red car", mask)


@pytest.mark.parametrize("word", ["red", "blue"])
def test_relighting_keeps_clear_colours(word):
    sample = blocks((190, 30, 30), (30, 90, 170))
    expression = f"the {word} car"
    changed = 0
    for seed in range(40):
        recoloured = Sample(sample.image, expression, sample.mask)
        relit = relight_sample(recoloured, np.random.default_rng(seed))
        changed += not np.array_equal(relit.image, sample.image)
        names = name_pixels(relit.image[20, [30, 70]], measure_brightness(relit.image))
        assert (names == COLOURS.index(word)).tolist() == [word == "red", word == "blue"]
    assert changed > 30


def test_relighting_that_adds_the_named_colour_is_dropped():
    almost = (192, 191, 190)  # slightly darker than white
    sample = blocks((250, 250, 250), almost)
    recoloured = Sample(sample.image, "the white car", sample.mask)
    free = Sample(sample.image, "the car", sample.mask)
    refused = 0
    for seed in range(60):
        relit = relight_sample(recoloured, np.random.default_rng(seed))
        anyhow = relight_sample(free, np.random.default_rng(seed))
        names = name_pixels(relit.image[20, [30, 70]], measure_brightness(relit.image))
        would = name_pixels(anyhow.image[20, [30, 70]], measure_brightness(anyhow.image))
        assert (names == COLOURS.index("white")).tolist() == [True, False]
        refused += int(would[1]) == COLOURS.index("white")
    assert refused > 0


@pytest.mark.parametrize("shape", [(800, 787), (32, 500), (20, 20)])
def test_black_squares(shape: tuple[int, int]) -> None:
    """20 to 60 squares of 32 px: no more pixels than 60 of them, and no fewer than one."""
    white = Sample(np.full((*shape, 3), 255, np.uint8), "the car", np.ones(shape, bool))
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = blacken_squares(white, rng)
        is_black = (sample.image == 0).all(2)
        assert (is_black | (sample.image == 255).all(2)).all()
        assert sample.mask is white.mask
        area = min(32, shape[0]) * min(32, shape[1])
        assert area <= is_black.sum() <= 60 * area
    assert (white.image == 255).all()
