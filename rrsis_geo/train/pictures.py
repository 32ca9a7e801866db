"""Draw samples with their targets and the predicted masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet_drawing import (
    BACKGROUND,
    TEXT,
    Font,
    scale_image,
    tint_masks,
    to_ascii,
    truncate_text,
)
from rrsis_geo.metrics import count_pixels

TILE_PX = 256
MARGIN_PX = 8
LINE_PX = 26
FONT_PX = 15
WIDTH_PX = 3 * TILE_PX + 4 * MARGIN_PX
COLUMNS_PX = tuple(MARGIN_PX + i * (TILE_PX + MARGIN_PX) for i in range(3))
"""Left edges of the columns: image, truth, prediction."""

RIGHT = (64, 220, 160)
WRONG = (255, 130, 50)
DIMMED = 0.55
"""Brightness of an image outside the masks."""
TINT = 0.45
"""Opacity of the colour inside the masks."""


def draw_sheet(samples: Sequence[Sample], masks: Sequence[NDArray[np.bool_]]) -> Image.Image:
    """Draw samples below each other, each with its expression, target, prediction and IoU.

    Args:
        samples: at least one, of any sizes.
        masks: predicted masks, bool [H, W], of the size of the sample's mask or image.

    Returns:
        an RGB picture, 800 px wide.
    """
    row_px = LINE_PX + TILE_PX + MARGIN_PX
    sheet = Image.new("RGB", (WIDTH_PX, LINE_PX + row_px * len(samples)), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=FONT_PX)
    _draw_header(draw, font)
    for i, (sample, mask) in enumerate(zip(samples, masks, strict=True)):
        _draw_row(sheet, LINE_PX + i * row_px, sample, _resize_to_target(mask, sample), font)
    return sheet


def _draw_header(draw: ImageDraw.ImageDraw, font: Font) -> None:
    for left, title in zip(COLUMNS_PX, ("image", "truth", "prediction: "), strict=True):
        draw.text((left, LINE_PX / 2), title, TEXT, font, anchor="lm")
    left_px = COLUMNS_PX[2] + draw.textlength("prediction: ", font)
    for word, colour in (("correct, ", RIGHT), ("false positive", WRONG)):
        draw.text((left_px, LINE_PX / 2), word, colour, font, anchor="lm")
        left_px += draw.textlength(word, font)


def _draw_row(
    sheet: Image.Image,
    top: int,
    sample: Sample,
    mask: NDArray[np.bool_],
    font: Font,
) -> None:
    draw = ImageDraw.Draw(sheet)
    result = _describe_result(mask, sample)
    free_px = WIDTH_PX - 3 * MARGIN_PX - draw.textlength(result, font)
    line = truncate_text(to_ascii(sample.expression), free_px, draw, font)
    draw.text((MARGIN_PX, top + LINE_PX / 2), line, TEXT, font, anchor="lm")
    draw.text((WIDTH_PX - MARGIN_PX, top + LINE_PX / 2), result, TEXT, font, anchor="rm")
    image = scale_image(sample.image, TILE_PX)
    layers = ((mask & ~sample.mask, WRONG), (mask & sample.mask, RIGHT))
    tiles = (
        image,
        tint_masks(image, (sample.mask, RIGHT), brightness=DIMMED, tint=TINT),
        tint_masks(image, *layers, brightness=DIMMED, tint=TINT),
    )
    for left, tile in zip(COLUMNS_PX, tiles, strict=True):
        sheet.paste(tile, (left, top + LINE_PX))


def _resize_to_target(mask: NDArray[np.bool_], sample: Sample) -> NDArray[np.bool_]:
    if mask.shape == sample.mask.shape:
        return mask
    height, width = sample.mask.shape
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized, bool)


def _describe_result(mask: NDArray[np.bool_], sample: Sample) -> str:
    if not sample.mask.any():
        return "target absent: false positive" if mask.any() else "target absent: correct"
    return f"IoU {count_pixels(mask, sample.mask, sample.ignored).iou:.2f}"
