"""Samples about vehicles that may be unlabelled."""

from collections import Counter
from dataclasses import replace

import numpy as np
from labelled_blocks import block, labelled_blocks, pixels_of

from rrsis_geo.data.instances.unlabelled import write_unlabelled
from rrsis_geo.data.sample import LabelledImage

ROOF, TRUCK, TANK = (
    block("building", 10, 10, 40, 40),
    block("truck", 70, 20, 10, 25),
    block("storage tank", 60, 60, 30, 30),
)


def town(*items, complete: frozenset[str] = frozenset()) -> LabelledImage:
    return replace(labelled_blocks(list(items), complete=complete), partly_labelled=True)


def asked(image: LabelledImage) -> Counter[str]:
    rngs = (np.random.default_rng(seed) for seed in range(60))
    samples = [write_unlabelled(image, rng) for rng in rngs]
    return Counter("" if sample is None else sample.category for sample in samples)


def test_only_roofs_without_their_rims_are_known() -> None:
    sample = write_unlabelled(town(ROOF), np.random.default_rng(1))
    assert sample is not None
    assert sample.ignored is not None
    assert not sample.mask.any()
    known = ~sample.ignored
    # the rim is 0.05 times the root of 1,600 pixels wide
    assert known[12:48, 12:48].all()
    assert known.sum() == 36 * 36


def test_labelled_vehicles_are_known_to_be_no_other_kind() -> None:
    image = town(ROOF, TRUCK)
    counts = asked(image)
    assert set(counts) == {"car", "bus", "van"}  # the truck is a truck and a vehicle
    sample = write_unlabelled(image, np.random.default_rng(1))
    assert sample is not None
    assert sample.ignored is not None
    assert not sample.ignored[pixels_of(image, 1)].any()


def test_what_is_fully_labelled_is_not_asked_for() -> None:
    assert set(asked(town(TANK, complete=frozenset({"bus", "van"})))) == {"vehicle", "car", "truck"}
    every = frozenset({"vehicle", "car", "truck", "bus", "van"})
    assert set(asked(town(TANK, complete=every))) == {""}


def test_nothing_is_asked_without_known_objects() -> None:
    assert set(asked(town(block("ship", 10, 10, 30, 30)))) == {""}
    assert set(asked(town(block("building", 10, 10, 6, 6)))) == {""}  # all rim
