"""Helpers to draw sheets of samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.data.sheet_drawing import tint_masks, to_ascii, truncate_text

DRAW = ImageDraw.Draw(Image.new("RGB", (1, 1)))
FONT = ImageFont.load_default(size=16)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), st.floats(20, 400))
def test_truncated_text_is_the_longest_that_fits(text: str, most_px: float) -> None:
    got = truncate_text(text, most_px, DRAW, FONT)
    assert DRAW.textlength(got, FONT) <= most_px
    if got == text:
        return
    assert DRAW.textlength(text, FONT) > most_px
    beginning = got.removesuffix("...")
    assert text.startswith(beginning)
    more = text[: len(beginning) + 1]
    assert more != more.rstrip() or DRAW.textlength(more + "...", FONT) > most_px


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [("the café", "the cafe"), ("鳥 bird", "? bird"), ("one\ntwo", "one two"), ("", "")],
)
def test_to_ascii(text: str, ascii_text: str) -> None:
    assert to_ascii(text) == ascii_text


def test_tint_masks() -> None:
    image = Image.new("RGB", (40, 20), (100, 100, 100))
    low, high = np.zeros((10, 20), bool), np.zeros((10, 20), bool)  # half the size of the image
    low[2:5, 2:8] = True
    high[2:5, 5:8] = True
    picture = np.asarray(
        tint_masks(image, (low, (200, 0, 0)), (high, (0, 200, 0)), brightness=0.5, tint=0.25)
    )
    assert picture[6, 6].tolist() == [125, 75, 75]
    assert picture[6, 13].tolist() == [75, 125, 75]
    assert picture[3, 6].tolist() == [200, 0, 0]
    assert picture[10, 13].tolist() == [0, 200, 0]
    assert picture[18, 30].tolist() == [50, 50, 50]
