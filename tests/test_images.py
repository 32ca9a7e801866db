"""Preprocessing."""

import json

import numpy as np
import pytest
import torch

from rrsis_geo.errors import ModelError
from rrsis_geo.images import ImageSpec, to_input, to_size


def test_to_input_normalises() -> None:
    spec = ImageSpec(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 1] = (255, 255, 255)
    pixels = to_input(image, spec)
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[0, :, 0, 1], torch.tensor([1.0, 3.0, 1.0]))
    torch.testing.assert_close(pixels[0, :, 1, 1], torch.tensor([-1.0, -1.0, 0.0]))


def test_to_input_of_a_batch_is_channels_last_and_leaves_its_input() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    kept = images.copy()
    pixels = to_input(images, ImageSpec())
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images, kept)
    torch.testing.assert_close(pixels[1], to_input(images[1], ImageSpec())[0])
    assert torch.equal(pixels, to_input(torch.from_numpy(images), ImageSpec()))


@pytest.mark.parametrize(
    "images", [np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 4), np.uint8)], ids=str
)
def test_to_input_refuses_other_arrays(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        to_input(images, ImageSpec())


def test_to_size() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 200
    mask = np.zeros((4, 7), bool)  # a benchmark's mask may differ from its image by a pixel
    mask[:2] = True
    small, small_mask = to_size(image, mask, 2)
    assert small.shape == (2, 2, 3)
    assert small[0, 0, 0] < 50 < 150 < small[0, 1, 0]
    np.testing.assert_array_equal(small_mask, [[True, True], [False, False]])
    small[:] = 1  # a copy of its own


def test_to_size_of_the_same_size_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = rng.random((32, 32)) > 0.5
    same, same_mask = to_size(image, mask, 32)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(same_mask, mask)


@pytest.mark.parametrize(
    "spec", [ImageSpec(), ImageSpec(size_px=480, gsd_m=0.3, gsd_range_m=(0.1, 1.0))], ids=str
)
def test_spec_survives_json(spec: ImageSpec) -> None:
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
def test_spec_refuses(values: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ImageSpec.from_dict(values)
