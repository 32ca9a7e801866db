"""A sheet of samples beside what a network answered: image, truth, prediction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet_drawing import BACKGROUND, TEXT, fitting, plain, scaled, tinted
from rrsis_geo.metrics import ScoreMeter

TILE_PX = 256
MARGIN_PX = 8
LINE_PX = 26
FONT_PX = 15

RIGHT = (64, 220, 160)
WRONG = (255, 130, 50)
DIMMED = 0.55
"""Brightness of an image where a mask is not."""
TINT = 0.45
"""Share of the colour where it is."""


def draw_sheet(samples: Sequence[Sample], masks: Sequence[NDArray[np.bool_]]) -> Image.Image:
    """Samples one below the other, each with its expression, its truth, the answer and their IoU.

    Args:
        samples: at their own sizes, at least one.
        masks: the answers, bool [H, W] each, of the size of the sample's mask or of its image.

    Returns:
        an RGB picture, 800 px wide.
    """
    width = 3 * TILE_PX + 4 * MARGIN_PX
    row_px = LINE_PX + TILE_PX + MARGIN_PX
    sheet = Image.new("RGB", (width, LINE_PX + row_px * len(samples)), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=FONT_PX)
    columns = [MARGIN_PX + i * (TILE_PX + MARGIN_PX) for i in range(3)]
    for left, title in zip(columns, ("image", "truth", "prediction: "), strict=True):
        draw.text((left, LINE_PX / 2), title, TEXT, font, anchor="lm")
    place = columns[2] + draw.textlength("prediction: ", font)
    for word, colour in (("right, ", RIGHT), ("too much", WRONG)):
        draw.text((place, LINE_PX / 2), word, colour, font, anchor="lm")
        place += draw.textlength(word, font)
    for i, (sample, mask) in enumerate(zip(samples, masks, strict=True)):
        top = LINE_PX + i * row_px
        mask, verdict = _judged(sample, mask)
        verdict_px = draw.textlength(verdict, font)
        room = width - 3 * MARGIN_PX - verdict_px
        line = fitting(plain(sample.expression), room, draw, font)
        draw.text((MARGIN_PX, top + LINE_PX / 2), line, TEXT, font, anchor="lm")
        draw.text((width - MARGIN_PX, top + LINE_PX / 2), verdict, TEXT, font, anchor="rm")
        image = scaled(sample.image, TILE_PX)
        tiles = (
            image,
            tinted(image, (sample.mask, RIGHT), dimmed=DIMMED, tint=TINT),
            tinted(
                image,
                (mask & ~sample.mask, WRONG),
                (mask & sample.mask, RIGHT),
                dimmed=DIMMED,
                tint=TINT,
            ),
        )
        for left, tile in zip(columns, tiles, strict=True):
            sheet.paste(tile, (left, top + LINE_PX))
    return sheet


def _judged(sample: Sample, mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], str]:
    """The answer at the truth's size, and what to say of it."""
    if mask.shape != sample.mask.shape:
        height, width = sample.mask.shape
        resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
        mask = np.asarray(resized, bool)
    if not sample.mask.any():
        return mask, "not there: wrongly found" if mask.any() else "not there: right"
    return mask, f"IoU {ScoreMeter().add(mask, sample.mask):.2f}"
