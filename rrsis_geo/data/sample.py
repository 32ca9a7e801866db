"""The records that data passes on: labelled images, referring samples made of them, batches."""

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
        attributes: what is known beyond the pixels, such as ``{"colour": "white", "on": "road"}``;
            painted scenes fill it, real ones leave it empty.
    """

    category: str
    bbox: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and the objects in it.

    Attributes:
        image: uint8 RGB [H, W, 3].
        instances: objects, in no order.
        complete: the categories of which every object in the image is labelled, so that "all X"
            and "no X" may be said; it may name categories with no object here.
        gsd_m: metres on the ground per pixel, None where unknown.
        false_colour: colours are not those the eye sees, so none may be named.
        id: names the image in messages.
    """

    image: NDArray[np.uint8]
    instances: Sequence[Instance]
    complete: frozenset[str]
    gsd_m: float | None
    false_colour: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One referring sample.

    Attributes:
        image: uint8 RGB [H, W, 3].
        expression: the referring sentence.
        mask: bool [H, W]; all False where the target is absent. As a benchmark stores it, it may be
            of another size than the image (RRSIS-D); networks take samples of one size.
        id: names the sample in messages.
        kind: what the expression speaks of: "category", "colour", "size", "position", "relation",
            "combination", "absent"; "" where unknown.
        category: the target's category, "" where unknown.
    """

    image: NDArray[np.uint8]
    expression: str
    mask: NDArray[np.bool_]
    id: str = ""
    kind: str = ""
    category: str = ""


class Batch(NamedTuple):
    """Samples as they go to a network's device.

    Attributes:
        images: uint8 RGB [B, H, W, 3]; the device normalises them.
        tokens: the expressions.
        masks: bool [B, H, W].
        ids: names of the samples.
    """

    images: Tensor
    tokens: TextBatch
    masks: Tensor
    ids: tuple[str, ...]


def collate(samples: Sequence[Sample], tokenizer: Tokenizer) -> Batch:
    """Samples of one size as a batch."""
    return Batch(
        torch.from_numpy(np.stack([sample.image for sample in samples])),
        tokenizer.encode([sample.expression for sample in samples]),
        torch.from_numpy(np.stack([sample.mask for sample in samples])),
        tuple(sample.id for sample in samples),
    )
