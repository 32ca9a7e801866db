"""COCO segmentations: decoded exactly, or refused."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from rrsis_geo.data.segmentations import decode_segmentation, encode_mask, find_fault
from rrsis_geo.errors import InputError

MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=20))


@given(mask=MASKS)
def test_encoded_masks_are_decoded(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    coded = encode_mask(mask)
    assert coded["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_segmentation(coded, None, "here"), mask)
    np.testing.assert_array_equal(decode_segmentation([coded, coded], None, "here"), mask)
    binary = {**coded, "counts": coded["counts"].encode()}
    np.testing.assert_array_equal(decode_segmentation(binary, None, "here"), mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    plain = {"size": list(mask.shape), "counts": counts}
    np.testing.assert_array_equal(decode_segmentation(plain, None, "here"), mask)


def test_polygons_are_filled_and_merged() -> None:
    block = [1, 2, 4, 2, 4, 6, 1, 6]
    mask = decode_segmentation([block, [3, 3, 9, 3, 9, 5, 3, 5]], (8, 10), "here")
    expected = np.zeros((8, 10), bool)
    expected[2:6, 1:4] = expected[3:5, 3:9] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_may_lack_its_list() -> None:
    block = [1, 2, 4, 2, 4, 6, 1, 6]
    flat, listed = (decode_segmentation(form, (8, 10), "here") for form in (block, [block]))
    np.testing.assert_array_equal(flat, listed)


@pytest.mark.parametrize("thin", [[3, 3], [3, 3, 9, 3]])
def test_parts_without_an_area_are_left_out(thin: list[int]) -> None:
    block = [1, 2, 4, 2, 4, 6, 1, 6]
    alone, both = (decode_segmentation(form, (8, 10), "") for form in ([block], [block, thin]))
    np.testing.assert_array_equal(alone, both)


@given(counts=st.binary(max_size=12), size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_every_accepted_string_is_the_encoding_of_its_mask(
    counts: bytes, size: tuple[int, int]
) -> None:
    """The mask depends on the string alone, and pycocotools reads the same from it."""
    rle = {"size": list(size), "counts": bytes(48 + byte % 64 for byte in counts)}
    with suppress(InputError):
        mask = decode_segmentation(rle, None, "")
        np.testing.assert_array_equal(mask, coco_mask.decode([rle])[..., 0].astype(bool))
        np.testing.assert_array_equal(mask, decode_segmentation(encode_mask(mask), None, ""))


def test_faults_are_found_without_a_mask() -> None:
    rle = encode_mask(np.eye(6, dtype=bool))
    assert find_fault(rle, (6, 6)) == ""
    assert find_fault(rle, (5, 6)) == "its mask is 6 x 6 pixels, the image 6 x 5"
    assert find_fault([[1, 2]], (6, 6)).startswith("a polygon has 2 numbers")


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "empty list"),
        ("x", "expected an RLE or a polygon, got str"),
        ([1, 2, 3, 4, 5], "a polygon has 5 numbers"),
        ([[1, 2, 4, 2, 4, 6], 3], "expected an RLE or a polygon, got int"),
        ([[1, 2, 3, 4]], "a polygon has 4 numbers"),
        ([[]], "a polygon has 0 numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "far outside"),
        ([[1, 2, 3, 4, 5, 1e12]], "far outside"),
        ({"size": [4, 4]}, "counts"),
        ({"size": [4, 4], "counts": None}, "of type NoneType"),
        ({"size": [4, 4], "counts": [3]}, "do not add up to 4 x 4"),
        ({"size": [4, 4], "counts": [20, -4]}, "do not add up"),
        ({"size": [4, 4], "counts": []}, "do not add up"),
        ({"size": [4, 4], "counts": [7.5, 8.5]}, "not whole numbers"),
        # pycocotools leaves the rest of such a mask uninitialized
        ({"size": [20, 20], "counts": "5"}, "do not add up to 20 x 20"),
        ({"size": [20, 20], "counts": ""}, "do not add up to 20 x 20"),
        ({"size": [4, 4], "counts": "a0O1"}, "longer than the mask"),
        ({"size": [0, 4], "counts": [0]}, "its size is 0 x 4"),
        ({"size": [10**6, 10**6], "counts": "0"}, "its size is 1000000 x 1000000"),
        ({"size": [4], "counts": "0"}, "not enough values"),
        # pycocotools reads and writes beyond the end of such a string
        ({"size": [4, 4], "counts": "0`"}, "end in the middle of a number"),
        ({"size": [4, 4], "counts": "P" * 60}, "end in the middle of a number"),
        ({"size": [4, 4], "counts": "PPPPPPP0"}, "a number in its counts is too long"),
        ({"size": [4, 4], "counts": "0 `0"}, "characters outside"),
        ({"size": [4, 4], "counts": "@\0"}, "characters outside"),
        ([{"size": [2, 2], "counts": [4]}, {"size": [3, 2], "counts": [6]}], "different sizes"),
    ],
)
def test_damaged_segmentations(segmentation: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"here: the segmentation cannot be decoded: .*{message}"):
        decode_segmentation(segmentation, (4, 4), "here")


@given(counts=st.text(st.characters(max_codepoint=127), max_size=30))
def test_random_counts_raise_or_give_a_mask_of_the_size(counts: str) -> None:
    with suppress(InputError):
        assert decode_segmentation({"size": [6, 7], "counts": counts}, None, "").shape == (6, 7)
