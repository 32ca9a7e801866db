"""Answers to expressions about single pictures, over exact objects in the place of the network."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from rrsis_geo.errors import InputError
from rrsis_geo.evaluate.answers import Answer, answer_batches
from rrsis_geo.evaluate.pictures import Extent
from rrsis_geo.model.predictor import Predictor

Mask = NDArray[np.bool_]
SIDE = 100
SHIPS: Mapping[str, tuple[int, int, int, int]] = {  # top, left, bottom, right
    "a": (4, 4, 24, 24),
    "b": (4, 80, 10, 86),
    "c": (60, 4, 72, 16),
    "d": (84, 40, 90, 76),
}
PIERS = {"p": (60, 24, 64, 40)}
CRUMB = (97, 97, 99, 99)


class Picture(NamedTuple):
    image: NDArray[np.uint8]
    expression: str
    extent: Extent


class Output(NamedTuple):
    logits: NDArray[np.float32]
    presence: NDArray[np.float32]


class Network:
    """Marks exact objects for the words that it knows, and the whole picture for a sentence."""

    def __init__(self, marks: Mapping[str, NDArray[np.float32]], sentence: str) -> None:
        self.marks, self.sentence = marks, sentence
        self.asked: list[str] = []

    def cut_words(self, expression: str) -> str:
        if "zzz" in expression:
            raise InputError("no word is known")
        return ""

    def predict_pairs(self, images: NDArray[np.uint8], expressions: Sequence[str]) -> Output:
        self.asked += expressions
        logits = np.stack([self.logits(each, images.shape[1:3]) for each in expressions])
        return Output(logits, np.ones(len(images), np.float32))

    def logits(self, expression: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if expression == self.sentence:
            return np.ones(shape, np.float32)
        nothing = np.full(shape, -9, np.float32)
        return next((mark for name, mark in self.marks.items() if name in expression), nothing)


def draw(*boxes: tuple[int, int, int, int], logit: float = 9.0) -> NDArray[np.float32]:
    logits = np.full((SIDE, SIDE), -9, np.float32)
    for top, left, bottom, right in boxes:
        logits[top:bottom, left:right] = logit
    return logits


def answer(
    expression: str, marks: Mapping[str, NDArray[np.float32]], gsd_m: float | None = None
) -> tuple[Answer, Network]:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    network = Network(marks, expression)
    picture = Picture(image, expression, Extent.of(image.shape, gsd_m))
    batches = answer_batches(cast("Predictor", network), [picture], batch_size=2, with_rules=True)
    ((_, found),) = next(batches)
    return found, network


def ships_in(mask: Mask) -> str:
    """The letters of the ships in a mask, which has nothing else."""
    found = [name for name, box in SHIPS.items() if mask[box[0], box[1]]]
    np.testing.assert_array_equal(mask, draw(*(SHIPS[name] for name in found)) > 0)
    return "".join(found)


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("the largest ship", "a"),
        ("the smallest ship", "b"),
        ("the longest ship", "d"),
        ("the large ships", "acd"),
        ("the second largest ship", "d"),
        ("the two largest ships", "ad"),
        ("the leftmost ship", "c"),
        ("the northernmost ship", "b"),
        ("the southernmost ship", "d"),
        ("the ships in the upper half", "ab"),
        ("the ship in the top right corner", "b"),
        ("the ships on the left", "ac"),
        ("the northern ships", "ab"),
        ("the ship at the bottom edge", "d"),
        ("the ship closest to the centre", "d"),
        ("the ships to the left of the pier", "c"),
        ("the ships north of the pier", "ab"),
        ("the ship closest to the pier", "c"),
        ("the ship between the two buoys", "d"),
        ("ships that are not white", "bcd"),
        ("the ship or the raft", "abcd"),
        ("the largest ship in the lower half", "d"),
        ("the isolated ships", "bc"),
    ],
)
def test_every_kind_of_rule(expression: str, meant: str) -> None:
    marks = {
        "pier": draw(*PIERS.values()),
        "buoy": draw((86, 30, 88, 32), (86, 84, 88, 86)),
        "white": draw(SHIPS["a"]),
        "ship": draw(*SHIPS.values()),
        "raft": draw(SHIPS["b"]),
    }
    found, network = answer(expression, marks)
    assert found.by == "rules"
    assert ships_in(found.mask()) == meant
    assert found.network_mask().all()
    assert network.asked[0] == expression


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("ships within 5 m of the pier", "c"),
        ("ships more than 20 m from the pier", "b"),
        ("ships larger than 80 m2", "a"),
        ("ships longer than 15 m", "d"),
        ("ships between 30 and 60 square metres", "cd"),
    ],
)
def test_metres_of_a_known_ground_pixel(expression: str, meant: str) -> None:
    """Half a metre a pixel: ship "a" has 100 m2, "b" 9, "c" 36 and "d" 54."""
    marks = {"pier": draw(*PIERS.values()), "ship": draw(*SHIPS.values())}
    found, _ = answer(expression, marks, gsd_m=0.5)
    assert ships_in(found.mask()) == meant
    unknown, network = answer(expression, marks)
    assert unknown.by == "no metres"
    assert unknown.mask().all()
    assert network.asked == [expression]


@pytest.mark.parametrize(
    ("expression", "by"),
    [
        ("the largest", "not understood"),
        ("the largest zzz", "unknown words"),
        ("the ship to the left of the castle", "no landmark"),
        ("the ships within 5 m of the castle", "no landmark"),
    ],
)
def test_the_network_alone_answers_where_rules_cannot(expression: str, by: str) -> None:
    found, _ = answer(expression, {"ship": draw(*SHIPS.values())}, gsd_m=0.5)
    assert found.by == by
    assert found.mask().all()
    assert (found.reading == "") == (by == "not understood")


def test_expressions_without_rules_are_asked_in_one_wording() -> None:
    """`segment` asks so: "ship", "the ship" and "all ships" find the same objects."""
    marks = {"ships": draw(*SHIPS.values())}
    for text in ("the white ship", "all white ships", "a white ship"):
        found, network = answer(text, marks)
        assert network.asked == [text, "white ships"]
        assert found.by == "no rule"
        assert ships_in(found.mask()) == "abcd"
        assert found.network_mask().all()
    same, network = answer("white ships", marks)
    assert network.asked == ["white ships"]
    assert same.mask().all()


def test_nothing_is_meant_where_nothing_is_found() -> None:
    found, _ = answer("the largest ship", {})
    assert found.by == "rules"
    assert not found.mask().any()


def test_a_crumb_is_no_object() -> None:
    """The rule of `segment`: what the network is not sure of comes last."""
    logits = np.maximum(draw(*SHIPS.values()), draw(CRUMB, logit=0.5))
    for expression, meant in (("the smallest ship", "b"), ("the bottommost ship", "d")):
        found, _ = answer(expression, {"ship": logits})
        assert ships_in(found.mask()) == meant


def test_ships_that_touch_are_split_where_they_are_ranked() -> None:
    """Two ships of 20 px side by side are not the largest one."""
    boxes = {"left": (10, 10, 30, 30), "right": (10, 31, 30, 51), "third": (60, 10, 86, 36)}
    neck = (18, 30, 22, 31)
    logits = draw(*boxes.values(), neck)
    found, _ = answer("the largest ship", {"ship": logits})
    np.testing.assert_array_equal(found.mask(), draw(boxes["third"]) > 0)
    whole, _ = answer("the ships in the upper half", {"ship": logits})
    assert whole.mask().sum() == 2 * 400 + 4


def test_rules_see_the_shape_of_the_picture() -> None:
    """A picture twice as wide as high is squashed to a square for the network."""
    lying, standing = (10, 10, 30, 20), (50, 50, 70, 60)  # 20 x 10 px of a square
    longest = np.full((SIDE, SIDE), -9, np.float32)
    longest[10:22, 10:26] = 9  # 12 high, 32 wide once it is stretched
    longest[50:80, 50:56] = 9  # 30 high, 12 wide
    assert lying != standing
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for extent, row in (
        (Extent.of((100, 200), None), 10),
        (Extent.of((100, 100), None), 50),
    ):
        network = Network({"ship": longest}, "")
        picture = Picture(image, "the longest ship", extent)
        ((_, found),) = next(
            answer_batches(cast("Predictor", network), [picture], batch_size=1, with_rules=True)
        )
        assert found.mask()[row].any()
        assert found.mask().sum() == (longest[row : row + 1] > 0).sum() * {10: 12, 50: 30}[row]


def test_masks_at_another_size() -> None:
    found, _ = answer("the largest ship", {"ship": draw(*SHIPS.values())})
    mask = found.mask((200, 300))
    assert mask.shape == (200, 300)
    assert mask.sum() == pytest.approx(400 * 6, rel=0.05)
    assert mask[8:48, 12:72].sum() == mask.sum()


def test_batches_ask_for_the_phrases_that_are_missing() -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    extent = Extent.of(image.shape, None)
    texts = ["white ships", "the largest ship", "the ship left of the pier"]
    network = Network({"pier": draw(*PIERS.values()), "ship": draw(*SHIPS.values())}, "")
    batches = answer_batches(
        cast("Predictor", network),
        [Picture(image, text, extent) for text in texts],
        batch_size=2,
        with_rules=True,
    )
    found = [pair for batch in batches for pair in batch]
    assert [picture.expression for picture, _ in found] == texts
    assert [each.by for _, each in found] == ["no rule", "rules", "rules"]
    assert [ships_in(each.mask()) for _, each in found] == ["abcd", "a", "c"]
    assert len(network.asked) == 6
