import numpy as np
import pytest

from rrsis_geo.data.expressions.colours import (
    COLOURS,
    NEIGHBOURS,
    Brightness,
    colour_shares,
    is_colourless,
    measure_brightness,
    name_pixels,
    rgb_to_lab,
)

PAINTS = {
    "white": (240, 240, 238),
    "black": (22, 22, 24),
    "gray": (140, 142, 144),
    "red": (190, 30, 32),
    "blue": (40, 80, 170),
    "green": (60, 130, 60),
    "yellow": (236, 205, 60),
    "orange": (230, 120, 30),
    "brown": (104, 70, 46),
    "turquoise": (80, 200, 205),
}


def test_lab_of_known_colours() -> None:
    lab = rgb_to_lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    assert np.allclose(lab[0], [100, 0, 0], atol=0.1)
    assert np.allclose(lab[1], [0, 0, 0], atol=0.1)
    # Red in sRGB is L* 53.2, a* 80.1, b* 67.2; the matrix is rounded to four digits.
    assert np.allclose(lab[2], [53.2, 80.1, 67.2], atol=0.3)


@pytest.mark.parametrize(("colour", "rgb"), PAINTS.items())
def test_names_of_clear_colours(colour: str, rgb: tuple[int, int, int]) -> None:
    (name,) = name_pixels(np.array([rgb], np.uint8))
    assert COLOURS[name] == colour


def test_neighbours_are_mutual() -> None:
    for colour, others in NEIGHBOURS.items():
        assert all(colour in NEIGHBOURS[other] for other in others)
        assert colour not in others
    assert set(NEIGHBOURS) == set(COLOURS)


def test_the_brightest_pixels_of_a_dark_image_are_not_gray() -> None:
    gray = np.array([PAINTS["gray"]], np.uint8)
    assert COLOURS[name_pixels(gray)[0]] == "gray"
    (name,) = name_pixels(gray, Brightness(middle=15, bright=40))
    assert name < 0 or name >= len(COLOURS)


def test_shares_ignore_the_rim_and_the_background() -> None:
    image = np.full((60, 60, 3), PAINTS["green"], np.uint8)
    image[10:40, 10:40] = PAINTS["red"]
    mask = np.zeros((40, 40), bool)
    mask[4:35, 4:35] = True  # one pixel of green around the red
    shares = colour_shares(image, mask, (6, 6, 40, 40), brightness=measure_brightness(image))
    assert shares[COLOURS.index("red")] > 0.97


def test_only_the_middle_of_a_box_is_measured() -> None:
    image = np.full((40, 40, 3), PAINTS["gray"], np.uint8)
    image[15:25, 15:25] = PAINTS["red"]
    box = np.ones((20, 20), bool)
    whole = colour_shares(image, box, (10, 10, 20, 20))
    core = colour_shares(image, box, (10, 10, 20, 20), is_box=True)
    red = COLOURS.index("red")
    assert core[red] > 0.99 > 0.5 > whole[red]


def test_gray_images_have_no_colours() -> None:
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[:, None, None], 3, axis=2)
    gray = np.broadcast_to(ramp, (120, 50, 3))
    assert is_colourless(gray)
    coloured = gray.copy()
    coloured[:, :25] = PAINTS["red"]
    assert not is_colourless(coloured)
