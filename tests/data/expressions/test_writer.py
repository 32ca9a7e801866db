import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.expressions.candidates import CUT, SLIVER, Candidates
from rrsis_geo.data.expressions.kinds import ALL_CLAUSES, KIND_WEIGHTS
from rrsis_geo.data.expressions.writer import (
    WrittenExpression,
    absent_categories,
    count_distinct_subsets,
    fully_labelled_categories,
    write_expression,
)
from rrsis_geo.data.sample import LabelledImage

TOWN = [
    block("car", 5, 8, 4, 8, "red", on="road"),
    block("car", 80, 80, 4, 8, "white", on="parking lot"),
    block("truck", 20, 75, 6, 20, "blue", on="road"),
    block("building", 60, 5, 30, 25, "gray"),
    block("storage tank", 45, 45, 10, 10, "white"),
]
COMPLETE = frozenset({"car", "truck", "bus", "van", "building", "storage tank", "ship", "water"})


def town() -> LabelledImage:
    return labelled_blocks(TOWN, complete=COMPLETE)


def write(
    labelled_image: LabelledImage, seed: int, kind: str | None = None, category: str | None = None
) -> WrittenExpression | None:
    return write_expression(labelled_image, np.random.default_rng(seed), kind, category=category)


def words_of(written: WrittenExpression) -> set[str]:
    return set(written.expression.replace("-", " ").split())


def write_all(
    labelled_image: LabelledImage, kind: str, category: str | None = None, n: int = 200
) -> list[WrittenExpression]:
    written = (write(labelled_image, seed, kind, category) for seed in range(n))
    return [one for one in written if one is not None]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from([None, *KIND_WEIGHTS]))
def test_masks_are_empty_only_for_absent_targets(seed: int, kind: str | None) -> None:
    labelled_image = town()
    written = write(labelled_image, seed, kind)
    if written is None:
        assert kind is not None
        return
    assert written.kind in KIND_WEIGHTS if kind is None else written.kind == kind
    assert written.mask.any() == (written.kind != "absent")
    assert written.mask.shape == labelled_image.image.shape[:2]
    text = written.expression
    assert text == text.lower().strip() == " ".join(text.split())
    assert "{" not in text
    if written.kind != "absent":
        whole = pixels_of(labelled_image, *range(len(TOWN)))
        assert (whole | ~written.mask).all()


@pytest.mark.parametrize("kind", [None, *KIND_WEIGHTS])
def test_the_same_generator_gives_the_same_expression(kind: str | None) -> None:
    for seed in range(20):
        first, second = write(town(), seed, kind), write(town(), seed, kind)
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.expression == second.expression
            assert (first.mask == second.mask).all()


def test_singular_and_plural_refer_to_all_objects() -> None:
    written = write_all(town(), "category", "car", 300)
    cars = [one for one in written if one.category == "car"]
    assert all((one.mask == pixels_of(town(), 0, 1)).all() for one in cars)
    texts = {one.expression for one in cars}
    assert {"the car", "cars", "all cars"} <= texts
    assert len(texts) > 15
    vehicles = [one for one in written if one.category == "vehicle"]
    assert vehicles
    assert all((one.mask == pixels_of(town(), 0, 1, 2)).all() for one in vehicles)


def test_colours_refer_to_the_painted_objects() -> None:
    written = write_all(town(), "colour", "car")
    targets = {
        "red": pixels_of(town(), 0),
        "white": pixels_of(town(), 1),
    }
    counts = Counter[str]()
    for one in written:
        if one.category == "car":
            (colour,) = [name for name in targets if name in words_of(one)]
            assert (one.mask == targets[colour]).all()
            counts[colour] += 1
    assert min(counts["red"], counts["white"]) > 10


def test_labelled_colours_take_precedence() -> None:
    labelled_image = labelled_blocks(
        [block("car", 10, 10, 5, 5, "red", colour="green"), block("car", 50, 50, 5, 5, "red")],
    )
    for one in write_all(labelled_image, "colour"):
        assert ("green" in words_of(one)) == (one.mask == pixels_of(labelled_image, 0)).all()


@pytest.mark.parametrize("kind", ["colour", "combination", "absent"])
def test_false_colour_images_name_no_colour(kind: str) -> None:
    labelled_image = labelled_blocks(TOWN, complete={"car", "truck"}, false_colour=True)
    stripped = [(type(item)(item.category, item.bbox, item.mask), colour) for item, colour in TOWN]
    labelled_image = labelled_blocks(stripped, complete={"car", "truck"}, false_colour=True)
    for one in write_all(labelled_image, kind):
        if one.category in ("car", "truck"):
            assert not {"red", "white", "blue", "gray"} & words_of(one)


def test_places_are_true() -> None:
    top_left, bottom_right = pixels_of(town(), 0), pixels_of(town(), 1)
    for one in write_all(town(), "position", "car", 400):
        words = words_of(one)
        if one.category != "car":
            continue
        if words & {"top", "upper", "north", "left", "leftmost", "west", "topmost", "northwest"}:
            assert (one.mask == top_left).all(), one.expression
        elif words & {"bottom", "lower", "right", "rightmost", "east", "southeast", "south"}:
            assert (one.mask == bottom_right).all(), one.expression


def test_no_position_if_an_object_lies_between_two() -> None:
    labelled_image = labelled_blocks([block("car", 10, 46, 5, 8), block("car", 10, 5, 5, 8)])
    for one in write_all(labelled_image, "position", n=300):
        assert not {"half", "side"} & set(one.expression.split()) or "top" in one.expression


def test_sizes_are_compared_only_where_the_gap_is_clear() -> None:
    clear = labelled_blocks(
        [block("ship", 10, 10, 4, 4), block("ship", 40, 40, 4, 5), block("ship", 70, 20, 10, 12)]
    )
    for one in write_all(clear, "size"):
        large = {"large", "largest", "big", "biggest", "larger", "bigger"} & set(
            one.expression.split()
        )
        assert (one.mask == (pixels_of(clear, 2) if large else pixels_of(clear, 0, 1))).all()
    close = labelled_blocks([block("ship", 10, 10, 10, 10), block("ship", 40, 40, 10, 11)])
    assert write_all(close, "size") == []


def test_objects_at_the_border_have_no_size() -> None:
    cut = labelled_blocks([block("ship", 0, 10, 9, 9), block("ship", 40, 40, 12, 12)])
    assert write_all(cut, "size") == []


def test_labelled_surfaces_take_precedence() -> None:
    trucks = labelled_blocks(
        [
            block("truck", 10, 10, 5, 12, on="road"),
            block("truck", 30, 60, 5, 12, on="road"),
            block("truck", 70, 20, 5, 12, on="yard"),
        ],
        complete={"truck"},
    )
    on_road = [
        one
        for one in write_all(trucks, "relation", n=800)
        if {"road", "roads", "street", "roadway"} & set(one.expression.split())
    ]
    assert any(one.expression.startswith("the truck on the ") for one in on_road)
    for one in on_road:
        off = {"not", "off", "away"} & set(one.expression.split())
        assert (one.mask == pixels_of(trucks, *((2,) if off else (0, 1)))).all()


def test_combinations_need_both_parts() -> None:
    for one in write_all(town(), "combination", "car"):
        if one.category == "car":
            assert one.mask.any()
            assert not (one.mask == pixels_of(town(), 0, 1)).all()


def test_absent_targets_need_full_labels() -> None:
    labelled_image = labelled_blocks(TOWN, complete={"car", "ship"})
    assert absent_categories(labelled_image) == ["ship"]
    for one in write_all(labelled_image, "absent"):
        assert one.category in ("ship", "car")
    assert write_all(labelled_blocks(TOWN), "absent") == []


def test_slivers_belong_to_all_but_are_never_a_target_nor_absent() -> None:
    labelled_image = labelled_blocks(
        [
            block("car", 0, 10, 1, 8, **{CUT: SLIVER}),
            block("car", 40, 40, 5, 9, "red"),
            block("bus", 99, 10, 1, 8, **{CUT: SLIVER}),
        ],
        complete={"car", "bus"},
    )
    for one in write_all(labelled_image, "category"):
        if one.category == "car":
            assert (one.mask == pixels_of(labelled_image, 0, 1)).all()
        assert one.category != "bus"
    assert absent_categories(labelled_image) == []
    sliver = pixels_of(labelled_image, 0)
    for kind in ("colour", "size", "relation"):
        assert not any((one.mask == sliver).all() for one in write_all(labelled_image, kind))


def test_a_category_is_fully_labelled_if_its_kinds_are() -> None:
    assert "vehicle" in fully_labelled_categories(town())
    assert "vehicle" not in fully_labelled_categories(labelled_blocks([], complete={"car", "bus"}))
    only_generic = labelled_blocks([block("vehicle", 5, 5, 5, 5)], complete={"vehicle", "bus"})
    assert "bus" not in absent_categories(only_generic)


def test_wrong_colours_and_places_are_absent() -> None:
    labelled_image = labelled_blocks([block("car", 5, 5, 6, 6, "red")], complete={"car"})
    texts = [one.expression for one in write_all(labelled_image, "absent")]
    assert any("blue" in text or "white" in text for text in texts)
    assert any("right" in text or "bottom" in text for text in texts)
    assert not any("red" in text.split() for text in texts)
    here = re.compile(r"(top|upper|north)[ -]?(left|west)|(on|to) the left$|left (half|side)")
    assert not any(here.search(text) for text in texts)


def test_a_partial_target_has_few_trees() -> None:
    trees = labelled_blocks([block("tree", 10 * i + 1, 5, 4, 4) for i in range(9)])
    for kind in ("position", "size"):
        for one in write_all(trees, kind):
            assert sum(one.mask[10 * i + 2, 6] for i in range(9)) <= 5


def test_a_synonym_that_names_another_category_is_not_used() -> None:
    labelled_image = labelled_blocks([block("building", 5, 5, 9, 9)], complete={"house"})
    assert all("house" not in one.expression for one in write_all(labelled_image, "category"))


def test_no_expression_about_an_empty_image() -> None:
    assert write(labelled_blocks([]), 0) is None


def test_candidates_measure_their_objects() -> None:
    candidates = Candidates(town(), "vehicle")
    assert len(candidates) == 3
    assert candidates.areas.tolist() == [32, 32, 120]
    assert candidates.centroids[0] == pytest.approx([0.07, 0.12])
    assert candidates.share_inside(0, (0, 0, 1, 0.12)) == pytest.approx(0.5)
    assert not candidates.touches_border.any()


WINDOW_CLAUSES = frozenset({"colour", "contact"})
SCENE_WORDS = re.compile(
    r"\b(left|right|top|bottom|upper|lower|north|south|east|west|middle|cent(er|re)|between|below|"
    r"edge|border|corner|half|(large|big|small|little|tiny)(?! vehicle)|above|\w+(est|most))\b"
)
"""Words of size, position and sides."""


@pytest.mark.parametrize("kind", ["relation", "combination", "absent", "colour", "category", None])
def test_words_that_need_the_whole_scene_can_be_left_out(kind: str | None) -> None:
    everything, window = (
        [
            written.expression.removesuffix(" seen from above")
            for seed in range(150)
            if (
                written := write_expression(
                    town(), np.random.default_rng(seed), kind, allowed=allowed
                )
            )
        ]
        for allowed in (ALL_CLAUSES, WINDOW_CLAUSES)
    )
    assert len(window) > 50
    assert not [text for text in window if SCENE_WORDS.search(text)]
    if kind not in ("colour", "category"):
        assert any(SCENE_WORDS.search(text) for text in everything)


@pytest.mark.parametrize("kind", ["size", "position"])
def test_kinds_without_an_allowed_clause_are_not_written(kind: str) -> None:
    rng = np.random.default_rng(0)
    assert write_expression(town(), rng, kind) is not None
    assert write_expression(town(), rng, kind, allowed=WINDOW_CLAUSES) is None


def test_count_distinct_subsets() -> None:
    rng = np.random.default_rng(0)
    assert count_distinct_subsets(town(), "truck", rng) == 0  # a single object has no subsets
    assert (
        count_distinct_subsets(town(), "car", rng) == 2
    )  # the left, red one and the right, white one
    assert count_distinct_subsets(town(), "ship", rng) == 0
    four = [block("car", row, col, 4, 8, "red") for row in (5, 80) for col in (8, 80)]
    assert (
        count_distinct_subsets(labelled_blocks(four, complete=COMPLETE), "car", rng) == 8
    )  # and the halves
    wood = [block("tree", row, col, 8, 8, "green") for row in (5, 80) for col in (8, 80)]
    assert count_distinct_subsets(labelled_blocks(wood, complete=COMPLETE), "tree", rng) == 0


def test_objects_without_labels_are_not_compared() -> None:
    """An unlabelled truck can be larger, or further to the left, than all labelled ones."""
    blocks = [
        block("truck", 20, 5, 8, 20),
        block("truck", 60, 40, 8, 30),
        block("car", 80, 80, 6, 8),
    ]
    whole = labelled_blocks(blocks, complete={"truck"})
    partly = replace(labelled_blocks(blocks), partly_labelled=True)
    rough = replace(labelled_blocks(blocks), rough=(block("truck", 40, 0, 8, 20)[0],))

    def expressions(image: LabelledImage, kind: str) -> set[str]:
        rngs = map(np.random.default_rng, range(60))
        written = (write_expression(image, rng, kind, category="truck") for rng in rngs)
        return {item.expression for item in written if item is not None}

    compared = re.compile("est |most")
    assert any(map(compared.search, expressions(whole, "size")))
    for image in (partly, rough):
        assert not expressions(image, "size")
        positions = expressions(image, "position")
        assert positions
        assert not any(map(compared.search, positions))
