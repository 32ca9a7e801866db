import numpy as np
import pytest
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.expressions.writer import WrittenExpression, write_expression
from rrsis_geo.data.sample import LabelledImage


def relations(
    labelled_image: LabelledImage, category: str, n: int = 150
) -> list[WrittenExpression]:
    written = [
        write_expression(labelled_image, np.random.default_rng(seed), "relation", category=category)
        for seed in range(n)
    ]
    return [one for one in written if one is not None and one.category == category]


def test_near_and_far_objects() -> None:
    labelled_image = labelled_blocks(
        [
            block("ship", 20, 20, 4, 8),
            block("ship", 80, 80, 4, 8),
            block("harbor", 26, 18, 10, 14, "gray"),
        ],
        complete={"ship", "harbor"},
    )
    near = [one for one in relations(labelled_image, "ship") if " the " in one.expression[4:]]
    assert len(near) > 20
    assert all((one.mask == pixels_of(labelled_image, 0)).all() for one in near)


def test_no_relation_between_near_and_far() -> None:
    labelled_image = labelled_blocks(
        [block("ship", 20, 20, 4, 8), block("harbor", 34, 18, 10, 14)],
        complete={"ship", "harbor"},
    )
    assert not any("next to" in one.expression for one in relations(labelled_image, "ship"))


def test_an_anchor_must_be_fully_labelled() -> None:
    labelled_image = labelled_blocks(
        [block("ship", 20, 20, 4, 8), block("harbor", 26, 18, 10, 14)], complete={"ship"}
    )
    assert relations(labelled_image, "ship") == []


@pytest.mark.parametrize(
    ("row", "col", "words"),
    [
        (45, 5, {"left", "west"}),
        (45, 90, {"right", "east"}),
        (5, 47, {"above", "north"}),
        (90, 47, {"below", "south"}),
    ],
)
def test_sides_of_a_single_anchor(row: int, col: int, words: set[str]) -> None:
    labelled_image = labelled_blocks(
        [block("car", row, col, 5, 5), block("building", 40, 40, 20, 20)],
        complete={"car", "building"},
    )
    texts = [one.expression for one in relations(labelled_image, "car")]
    sides = {"left", "west", "right", "east", "above", "north", "below", "south"}
    named_sides = {word for text in texts for word in text.split() if word in sides}
    assert named_sides
    assert named_sides <= words


def test_between_two_anchors() -> None:
    labelled_image = labelled_blocks(
        [
            block("car", 48, 48, 4, 4),
            block("car", 90, 90, 4, 4),
            block("building", 40, 10, 20, 12),
            block("building", 40, 78, 20, 12),
        ],
        complete={"car", "building"},
    )
    between = [one for one in relations(labelled_image, "car") if "between" in one.expression]
    assert between
    assert all((one.mask == pixels_of(labelled_image, 0)).all() for one in between)


def test_masks_distinguish_on_and_beside() -> None:
    labelled_image = labelled_blocks(
        [
            block("car", 48, 20, 4, 6, "red"),
            block("car", 33, 70, 4, 6, "red"),
            block("car", 85, 20, 4, 6, "red"),
            block("road", 40, 0, 20, 100, "gray"),
        ],
        complete={"car", "road"},
    )
    on, beside = 0, 0
    for one in relations(labelled_image, "car"):
        words = one.expression.split()
        if {"near", "next", "beside", "by", "close", "adjacent", "alongside"} & set(words):
            beside += 1
            assert (one.mask == pixels_of(labelled_image, 1)).all()
        elif "on" in words:
            on += 1
            assert (one.mask == pixels_of(labelled_image, 0)).all()
    assert min(on, beside) > 5


def test_no_expression_calls_an_object_on_a_road_absent() -> None:
    labelled_image = labelled_blocks([block("truck", 20, 20, 5, 9, on="yard")], complete={"truck"})
    texts = set()
    for seed in range(300):
        written = write_expression(labelled_image, np.random.default_rng(seed), "absent")
        texts.add(written.expression if written else "")
    assert any("on the road" in text and "not" not in text for text in texts)
    assert not any("off the road" in text for text in texts)
