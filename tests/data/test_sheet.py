"""Contact sheets."""

import numpy as np
import pytest

from rrsis_geo.data.sample import Sample
from rrsis_geo.data.sheet import TARGET, TILE_PX, draw_contact_sheet, draw_target


def sample(height: int, width: int, expression: str = "the roof", **mask: int) -> Sample:
    target = np.zeros((height, width), bool)
    if mask:
        target[mask["row"] : mask["row"] + 4, mask["col"] : mask["col"] + 6] = True
    return Sample(np.full((height, width, 3), 120, np.uint8), expression, target)


def test_the_target_is_outlined_and_the_rest_dimmed() -> None:
    picture = np.asarray(draw_target(sample(40, 80, row=10, col=20), TILE_PX))
    assert picture.shape == (TILE_PX // 2, TILE_PX, 3)
    outline = np.argwhere((picture == TARGET).all(axis=2))
    assert outline.min(axis=0).tolist() == [39, 79]
    assert outline.max(axis=0).tolist() == [56, 104]
    assert (picture[:30] < 120).all()


def test_an_absent_target_leaves_the_image_unchanged() -> None:
    assert (np.asarray(draw_target(sample(40, 40), TILE_PX)) == 120).all()


def test_a_target_of_one_pixel_is_visible_in_a_large_image() -> None:
    large = Sample(np.full((1600, 1600, 3), 90, np.uint8), "it", np.zeros((1600, 1600), bool))
    large.mask[800:803, 800:803] = True
    picture = np.asarray(draw_target(large, TILE_PX))
    assert (picture == TARGET).all(axis=2).any()


@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_any_number_and_size_of_samples_fits(n: int) -> None:
    words = "the very long sentence about a café that goes on 鳥 " * 9
    samples = [sample(30 + 9 * i, 30, words if i % 2 else "x", row=2, col=3) for i in range(n)]
    sheet = draw_contact_sheet(samples, [f"note {i}" for i in range(n)])
    assert sheet.width > TILE_PX * min(n, 4)
    assert sheet.height > TILE_PX * -(-n // 4)
