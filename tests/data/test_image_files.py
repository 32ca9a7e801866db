import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from rrsis_geo.data.image_files import (
    decode_segmentation,
    encode_mask,
    path_inside,
    read_image,
    read_lines,
    read_mask,
)
from rrsis_geo.errors import InputError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    if suffix == "bmp" and mode == "LA":
        pytest.skip("BMP has no such kind")
    image = Image.fromarray(np.stack([GREY, GREY[::-1], GREY[:, ::-1]], 2)).convert(mode)
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.shape == (3, 4, 3)
    np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))
    assert read.flags.writeable


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_are_read(tmp_path: Path, compression: str | None) -> None:
    image = np.stack([GREY] * 3, 2)
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression=compression)
    np.testing.assert_array_equal(read_image(path), image)


def png_of_16_bits() -> bytes:
    """A colour PNG of 2 x 1 pixels with 16 bits per band, which Pillow cannot write."""

    def part(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">6H", 100, 200, 300, 40_000, 50_000, 60_000)
    parts = [part(b"IHDR", header), part(b"IDAT", zlib.compress(row)), part(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_images_of_more_than_8_bits_raise(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 200).save(tmp_path / "grey.png")
    Image.fromarray(GREY.astype(np.uint16) * 200).save(tmp_path / "grey.tif")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "real.tif")
    (tmp_path / "colour.png").write_bytes(png_of_16_bits())
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=f"{path.name}: has more than 8 bits per band"):
            read_image(path)


def test_colour_tiffs_of_16_bits_raise(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "deep.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=3,
            width=4,
            count=3,
            dtype="uint16",
            photometric="rgb",
            interleave="pixel",
        ) as file,
    ):
        file.write(np.stack([GREY] * 3).astype(np.uint16) * 200)
    with pytest.raises(InputError, match=r"deep\.tif: has more than 8 bits"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be read as an image"):
            read_image(path)
        with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be read as a mask"):
            read_mask(path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png: no such image"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: no such mask"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA", "P", "I", "I;16", "F"])
def test_every_mask_mode_gives_the_same_mask(tmp_path: Path, mode: str) -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    path = tmp_path / "mask.tif"
    image = Image.fromarray(np.asarray(grey, np.uint16)) if mode == "I;16" else grey.convert(mode)
    image.save(path)
    np.testing.assert_array_equal(read_mask(path), mask)
    np.testing.assert_array_equal(read_mask(path, 50), mask)


def test_every_palette_colour_except_black_is_the_target(tmp_path: Path) -> None:
    """Labelling tools write such masks: index 1 is dark red, whose gray value is 38."""
    mask = np.eye(4, dtype=np.uint8)
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask.astype(bool))


def test_content_is_read_instead_of_the_file() -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    path = Path("nowhere.png")
    assert read_image(path, buffer.getvalue())[..., 0].tolist() == GREY.tolist()
    assert read_mask(path, 50, buffer.getvalue()).tolist() == (GREY > 50).tolist()


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


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "empty list"),
        ("x", "expected an RLE or a polygon, got str"),
        ([1, 2, 3, 4, 5, 6], "expected an RLE or a polygon, got int"),
        ([[1, 2, 3, 4]], "a polygon has 4 numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "far outside"),
        ([[1, 2, 3, 4, 5, 1e12]], "far outside"),
        ({"size": [4, 4]}, "counts"),
        ({"size": [4, 4], "counts": None}, "of type NoneType"),
        ({"size": [4, 4], "counts": [3]}, "do not add up to 4 x 4"),
        ({"size": [4, 4], "counts": [20, -4]}, "do not add up"),
        ({"size": [4, 4], "counts": []}, "do not add up"),
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


@pytest.mark.parametrize(
    "name", ["../a.png", "a/../../b.png", "/etc/passwd", "C:\\a.png", "..\\a.png", "//x/y", "", 3]
)
def test_paths_cannot_leave_the_folder(tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"list\.txt, line 4: "):
        path_inside(tmp_path, name, "list.txt, line 4")


def test_paths_inside_the_folder(tmp_path: Path) -> None:
    assert path_inside(tmp_path, "a/b..c.png", "") == tmp_path / "a" / "b..c.png"


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff1 a\u2028b\r\n\n2 c\x0bd".encode())
    assert read_lines(path) == [(1, "1 a\u2028b"), (3, "2 c\x0bd")]


def test_text_in_another_encoding_raises(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("1 café".encode("latin-1"))
    with pytest.raises(InputError, match=r"list\.txt: cannot be read as text"):
        read_lines(path)
