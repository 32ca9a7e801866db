"""An HTML page with samples, their targets and the predicted masks.

The page is one self-contained file: images are embedded, and there is no script.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.pages.render import picture_url, write_page

TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE = (0, 191, 255), (255, 176, 0), (255, 0, 144)
"""Colours of true positives, false negatives and false positives; safe for colour-blind readers."""
OUTLINE: Final = (255, 255, 255)
_TINT_ALPHA: Final = 115
_EMPTY, _TRUE_POSITIVE, _FALSE_NEGATIVE, _FALSE_POSITIVE, _OUTLINE = range(5)


@dataclass(frozen=True, slots=True)
class Picture:
    """One sample on the page.

    Attributes:
        image: uint8 RGB [S, S, 3].
        truth: bool [S, S], mask of the target.
        predicted: bool [S, S], predicted mask.
        expression: the referring sentence.
        facts: short notes below the picture.
        id: name of the sample.
        aspect: width divided by height of the original sample.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    expression: str
    facts: tuple[str, ...]
    id: str
    aspect: float = 1.0

    def image_url(self) -> str:
        """The image as an address that contains it."""
        return picture_url(Image.fromarray(self.image))

    def masks_url(self) -> str:
        """The masks, drawn by `draw_overlay`, as an address that contains them."""
        return picture_url(draw_overlay(self.truth, self.predicted))


def write_gallery(
    path: Path,
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Mapping[str, Sequence[Picture]],
    *,
    overwrite: bool = False,
) -> None:
    """Write the page.

    Args:
        path: HTML file.
        title: heading of the page.
        facts: names and values below the title.
        sections: pictures by heading; sections without pictures are left out.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file cannot be written.
    """
    legend = (
        (TRUE_POSITIVE, "true positive"),
        (FALSE_NEGATIVE, "false negative"),
        (FALSE_POSITIVE, "false positive"),
        (OUTLINE, "outline of the target"),
    )
    values = {"title": title, "facts": facts, "legend": legend, "sections": sections}
    write_page(path, "gallery.html", values, overwrite=overwrite)


def draw_overlay(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Image.Image:
    """Draw true positives, false negatives and false positives, and the outline of the target.

    Both masks are bool [H, W]. The result is a palette image, transparent where both are False.
    """
    index = np.full(truth.shape, _EMPTY, np.uint8)
    index[truth & predicted] = _TRUE_POSITIVE
    index[truth & ~predicted] = _FALSE_NEGATIVE
    index[~truth & predicted] = _FALSE_POSITIVE
    index[_inner_edge(truth)] = _OUTLINE
    picture = Image.fromarray(index)
    picture.putpalette([*(0, 0, 0), *TRUE_POSITIVE, *FALSE_NEGATIVE, *FALSE_POSITIVE, *OUTLINE])
    picture.info["transparency"] = bytes([0, _TINT_ALPHA, _TINT_ALPHA, _TINT_ALPHA, 255])
    return picture


def _inner_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with a neighbour outside the mask; the image border does not count."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
