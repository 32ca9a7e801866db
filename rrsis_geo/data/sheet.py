"""Contact sheet: samples side by side, with their targets outlined and their expressions below."""

from collections.abc import Sequence
from typing import Final

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

TILE_PX: Final = 320
GAP_PX: Final = 14
FONT_PX: Final = 16
LINE_PX: Final = 21
NOTE_PX: Final = 13
MAX_LINES: Final = 4
"""Most lines of an expression. A longer expression ends in dots."""

NOTE: Final = (150, 156, 166)
TARGET: Final = (255, 214, 0)
DIMMED: Final = 0.72
"""Brightness factor of the background."""
TINT: Final = 0.22
"""Opacity of the target's colour."""


def draw_contact_sheet(
    samples: Sequence[Sample], notes: Sequence[str], *, columns: int = 4
) -> Image.Image:
    """Draw samples in rows: the image with its target, the expression, and a note in small letters.

    Args:
        samples: samples of any size, at least one.
        notes: one line per sample.
        columns: samples per row.

    Returns:
        An RGB picture.
    """
    columns = min(columns, len(samples))
    font, small = (ImageFont.load_default(size=size) for size in (FONT_PX, NOTE_PX))
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = [_wrap(to_ascii(sample.expression), TILE_PX, ruler, font) for sample in samples]
    tiles = [draw_target(sample, TILE_PX) for sample in samples]
    starts = range(0, len(samples), columns)
    heights = [max(tile.height for tile in tiles[start : start + columns]) for start in starts]
    lines = [max(len(text) for text in texts[start : start + columns]) for start in starts]
    rows_px = [
        height + n_lines * LINE_PX + NOTE_PX + 3 * GAP_PX // 2
        for height, n_lines in zip(heights, lines, strict=True)
    ]
    sheet = Image.new(
        "RGB", (columns * (TILE_PX + GAP_PX) + GAP_PX, sum(rows_px) + GAP_PX), BACKGROUND
    )
    draw = ImageDraw.Draw(sheet)
    for index, (tile, text, note) in enumerate(zip(tiles, texts, notes, strict=True)):
        row, col = divmod(index, columns)
        left, top = GAP_PX + col * (TILE_PX + GAP_PX), GAP_PX + sum(rows_px[:row])
        sheet.paste(tile, (left + (TILE_PX - tile.width) // 2, top + heights[row] - tile.height))
        top += heights[row] + GAP_PX // 2
        for line in text:
            draw.text((left, top), line, TEXT, font)
            top += LINE_PX
        draw.text((left, top), truncate_text(to_ascii(note), TILE_PX, draw, small), NOTE, small)
    return sheet


def draw_target(sample: Sample, most_px: int) -> Image.Image:
    """Draw the image of a sample, its longer side ``most_px``, with the background dimmed.

    If the target is absent, the image is unchanged.
    """
    image = scale_image(sample.image, most_px)
    if not sample.mask.any():
        return image
    return tint_masks(image, (sample.mask, TARGET), brightness=DIMMED, tint=TINT)


def _wrap(text: str, most_px: int, draw: ImageDraw.ImageDraw, font: Font) -> list[str]:
    """Wrap a text to at most :data:`MAX_LINES` lines."""
    lines: list[str] = []
    words = text.split()
    while words:
        if len(lines) == MAX_LINES - 1:
            return [*lines, truncate_text(" ".join(words), most_px, draw, font)]
        n_words = 1
        while (
            n_words < len(words)
            and draw.textlength(" ".join(words[: n_words + 1]), font) <= most_px
        ):
            n_words += 1
        lines.append(truncate_text(" ".join(words[:n_words]), most_px, draw, font))
        words = words[n_words:]
    return lines
