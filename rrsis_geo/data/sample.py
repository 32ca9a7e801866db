"""Labelled images, referring samples and batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
        unclear: categories with objects in the image whose places are unknown. No expression names
            them, and no instance has one of them.
        rough: objects of which only a box is known; their masks are the boxes. No expression
            refers to them, and their pixels are ignored where they could be the target.
        partly_labelled: objects may be unlabelled, except those of the complete categories.
        source: name of its source, "" if unknown.
    """

    image: NDArray[np.uint8]
    instances: Sequence[Instance]
    complete: frozenset[str]
    gsd_m: float | None
    false_colour: bool = False
    id: str = ""
    unclear: frozenset[str] = frozenset()
    rough: Sequence[Instance] = ()
    partly_labelled: bool = False
    source: str = ""


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
        ignored: bool [H, W], pixels that may or may not belong to the target; losses and scores
            leave them out. None if there are none.
        source: name of the image's source, "" if unknown.
    """

    image: NDArray[np.uint8]
    expression: str
    mask: NDArray[np.bool_]
    id: str = ""
    kind: str = ""
    category: str = ""
    gsd_m: float | None = None
    picture: str = ""
    ignored: NDArray[np.bool_] | None = None
    source: str = ""

    def with_image(
        self, image: NDArray[np.uint8], change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
    ) -> "Sample":
        """The sample with another image, and its masks changed in the same way."""
        ignored = None if self.ignored is None else change(self.ignored)
        return replace(self, image=image, mask=change(self.mask), ignored=ignored)


class Batch(NamedTuple):
    """Samples that go to the device of a network.

    Attributes:
        images: uint8 RGB [B, H, W, 3]. The device normalises them.
        tokens: tokens of the expressions.
        masks: bool [B, H, W].
        ids: ids of the samples.
        ignored: bool [B, H, W], pixels that the loss leaves out; None if there are none.
    """

    images: Tensor
    tokens: TextBatch
    masks: Tensor
    ids: tuple[str, ...]
    ignored: Tensor | None = None


def collate(samples: Sequence[Sample], tokenizer: Tokenizer) -> Batch:
    """Stack samples of one size to a batch."""
    return Batch(
        torch.from_numpy(np.stack([sample.image for sample in samples])),
        tokenizer.encode([sample.expression for sample in samples]),
        torch.from_numpy(np.stack([sample.mask for sample in samples])),
        tuple(sample.id for sample in samples),
        _stack_ignored(samples),
    )


def _stack_ignored(samples: Sequence[Sample]) -> Tensor | None:
    """The ignored pixels of samples, bool [B, H, W]; None if no sample has any."""
    if all(sample.ignored is None for sample in samples):
        return None
    masks = [
        np.zeros(sample.mask.shape, bool) if sample.ignored is None else sample.ignored
        for sample in samples
    ]
    return torch.from_numpy(np.stack(masks))
