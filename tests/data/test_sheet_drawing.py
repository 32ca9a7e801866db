"""What sheets are drawn with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from rrsis_geo.data.sheet_drawing import tint_masks, to_ascii, truncate_text

DRAW = ImageDraw.Draw(Image.new("RGB", (1, 1)))
FONT = ImageFont.load_default(size=16)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), st.floats(20, 400))
def test_a_text_fits_or_its_longest_beginning_does(text: str, most_px: float) -> None:
    got = truncate_text(text, most_px, DRAW, FONT)
    assert DRAW.textlength(got, FONT) <= most_px
    if got == text:
        return
    assert DRAW.textlength(text, FONT) > most_px
    kept = got.removesuffix("...")
    assert text.startswith(kept)
    more = text[: len(kept) + 1]
    assert more != more.rstrip() or DRAW.textlength(more + "...", FONT) > most_px


@pytest.mark.parametrize(
    ("text", "told"),
    [("the café", "the cafe"), ("鳥 bird", "? bird"), ("one\ntwo", "one two"), ("", "")],
)
def test_texts_become_a_line_of_ascii(text: str, told: str) -> None:
    assert to_ascii(text) == told


def test_masks_are_tinted_outlined_and_stacked_and_the_rest_is_dimmed() -> None:
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
