import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.data.augment import augment_sample, can_turn, turn_sample, turn_words
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
def test_a_side_is_still_true_after_turning(place: str, mirror: bool, turns: int) -> None:
    turned = turn_sample(sample_at(*SIDES[place], f"the {place}most car"), mirror, turns)
    ((row, col),) = np.argwhere(turned.mask)
    told = turned.expression.removeprefix("the ").removesuffix("most car")
    assert SIDES[told] == (row, col)
    assert (turned.image[..., 0] > 0).tolist() == turned.mask.tolist()
    assert (turned.id, turned.kind, turned.category) == ("a", "position", "car")


@given(place=st.sampled_from(sorted(CORNERS)), mirror=st.booleans(), turns=st.integers(0, 7))
def test_a_corner_is_still_true_after_turning(place: str, mirror: bool, turns: int) -> None:
    turned = turn_sample(sample_at(*CORNERS[place], f"car in the {place} corner"), mirror, turns)
    ((row, col),) = np.argwhere(turned.mask)
    told = turned.expression.removeprefix("car in the ").removesuffix(" corner")
    assert CORNERS[told] == (row, col)


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
def test_words(before: str, mirrored: str, turned: str) -> None:
    assert turn_words(before, True, 0) == mirrored
    assert turn_words(before, False, 1) == turned


@pytest.mark.parametrize(
    "expression", ["the car on top of the hall", "the left-hand lane", "a horizontal road"]
)
def test_what_cannot_be_turned_is_only_mirrored(expression: str) -> None:
    assert not can_turn(expression)
    with pytest.raises(ValueError, match="cannot be turned"):
        turn_words(expression, False, 1)
    for seed in range(20):
        sample = augment_sample(sample_at(0, 1, expression), np.random.default_rng(seed))
        assert sample.mask[0, 1]


def test_four_turns_and_two_mirrors_change_nothing() -> None:
    text = "the leftmost car near the upper edge, west of the bridge"
    once = turn_words(text, False, 1)
    assert turn_words(turn_words(turn_words(once, False, 1), False, 1), False, 1).count("left") == 1
    assert turn_words(turn_words(text, True, 0), True, 0) == text
