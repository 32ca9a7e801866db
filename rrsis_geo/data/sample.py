"""Labelled images, referring samples and batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Instance:
    """One labelled object of an image.

    Attributes:
        category: lower-case name, singular ("storage tank").
        bbox: (row, col, height, width) of the smallest box, pixels.
        mask: bool [height, width], the object inside its box.
        attributes: known facts, such as ``{"colour": "white", "on": "road"}``. Painted scenes have
            them, real images do not.
    """

    category: str
    bbox: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and its labelled objects.

    Attributes:
        image: uint8 RGB [H, W, 3].
        instances: the objects, in no particular order.
        complete: categories of which every object in the image is labelled, so expressions can
            say "all X" and "no X". A category without objects can be complete too.
        gsd_m: ground sample distance, None if unknown.
        false_colour: the colours are not natural, so expressions do not name them.
        id: name of the image for messages.
        unclear: categories with objects in the image whose outlines are unknown. No expression
            names them, and no instance has one of them.
    """

    image: NDArray[np.uint8]
    instances: Sequence[Instance]
    complete: frozenset[str]
    gsd_m: float | None
    false_colour: bool = False
    id: str = ""
    unclear: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sample:
    """One referring sample.

    Attributes:
        image: uint8 RGB [H, W, 3].
        expression: the referring expression.
        mask: bool [H, W]; all False if the target is absent. In a benchmark its size can differ
            from that of the image (RRSIS-D). Networks take samples of one size.
        id: name of the sample for messages.
        kind: kind of expression: "category", "colour", "size", "position", "relation",
            "combination", "absent", or "" if unknown.
        category: category of the target, "" if unknown.
        gsd_m: ground sample distance of the image, None if unknown.
        picture: name of the picture, which samples may share; "" if it is the only one of it.
    """

    image: NDArray[np.uint8]
    expression: str
    mask: NDArray[np.bool_]
    id: str = ""
    kind: str = ""
    category: str = ""
    gsd_m: float | None = None
    picture: str = ""


class Batch(NamedTuple):
    """Samples that go to the device of a network.

    Attributes:
        images: uint8 RGB [B, H, W, 3]. The device normalises them.
        tokens: tokens of the expressions.
        masks: bool [B, H, W].
        ids: ids of the samples.
    """

    images: Tensor
    tokens: TextBatch
    masks: Tensor
    ids: tuple[str, ...]


def collate(samples: Sequence[Sample], tokenizer: Tokenizer) -> Batch:
    """Stack samples of one size to a batch."""
    return Batch(
        torch.from_numpy(np.stack([sample.image for sample in samples])),
        tokenizer.encode([sample.expression for sample in samples]),
        torch.from_numpy(np.stack([sample.mask for sample in samples])),
        tuple(sample.id for sample in samples),
    )
