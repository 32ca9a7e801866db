"""Preprocessing of images."""

import json

import numpy as np
import pytest
import torch

from rrsis_geo.errors import ModelError
from rrsis_geo.images import ImageSpec, resize_to_square
from rrsis_geo.model.inputs import to_input


def test_to_input_normalises() -> None:
    spec = ImageSpec(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (255, 255, 255)
    pixels = to_input(image, spec)
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[0, :, 0, 1], torch.tensor([1.0, 3.0, 1.0]))
    torch.testing.assert_close(pixels[0, :, 1, 1], torch.tensor([-1.0, -1.0, 0.0]))


def test_to_input_is_channels_last_and_does_not_change_its_argument() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    original = images.copy()
    pixels = to_input(images, ImageSpec())
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images, original)
    torch.testing.assert_close(pixels[1], to_input(images[1], ImageSpec())[0])
    assert torch.equal(pixels, to_input(torch.from_numpy(images), ImageSpec()))


@pytest.mark.parametrize(
    "images", [np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 4), np.uint8)], ids=str
)
def test_to_input_needs_uint8_rgb(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        to_input(images, ImageSpec())


def test_resize_to_square() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 200
    mask = np.zeros((4, 7), bool)  # in a benchmark, sizes may differ by a pixel
    mask[:2] = True
    small, small_mask = resize_to_square(image, mask, 2)
    assert small.shape == (2, 2, 3)
    assert small[0, 0, 0] < 50 < 150 < small[0, 1, 0]
    np.testing.assert_array_equal(small_mask, [[True, True], [False, False]])
    small[:] = 1  # the result is a copy


def test_resize_to_the_same_size_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = rng.random((32, 32)) > 0.5
    same, same_mask = resize_to_square(image, mask, 32)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(same_mask, mask)


@pytest.mark.parametrize(
    "spec", [ImageSpec(), ImageSpec(size_px=480, gsd_m=0.3, gsd_range_m=(0.1, 1.0))], ids=str
)
def test_spec_round_trip_through_json(spec: ImageSpec) -> None:
    assert ImageSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "values",
    [
        {"size_px": 500},
        {"size_px": 0},
        {"size_px": "512"},
        {"std": [0.2, 0.0, 0.2]},
        {"mean": [0.5, 0.5]},
        {"mean": ["a", "b", "c"]},
        {"gsd_m": -1},
        {"gsd_range_m": [1.0, 0.5]},
        {"gsd_range_m": [1.0]},
        {"colour": "false"},
    ],
    ids=str,
)
def test_invalid_spec_raises(values: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ImageSpec.from_dict(values)
