import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from rrsis_geo.data.image_files import (
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
        with pytest.raises(InputError, match=f"{path.name}: has more than 8 .* same range"):
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


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_and_masks_are_read_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """As ``ImageOps.exif_transpose`` does it, whatever the orientation in which they are stored."""
    shown = np.zeros((16, 32, 3), np.uint8)
    shown[:8, :16] = 250
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(shown).save(path, exif=exif, quality=100, lossless=True)
    with Image.open(path) as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), upright)
    np.testing.assert_array_equal(read_mask(path, 100), upright[..., 0] > 100)
    assert upright.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))


def test_other_exif_data_may_be_damaged(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker"
    path = tmp_path / "turned.jpg"
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(path, exif=exif)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    start = whole.index(b"Exif")
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(start + 14, start + len(exif.tobytes()), 3):
            damaged[place] = rng.integers(256)
        assert read_image(path, bytes(damaged)).shape in ((16, 32, 3), (32, 16, 3))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
def test_a_pipe_is_not_an_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_image, read_mask):
        with pytest.raises(InputError, match=r"a\.png: cannot be read .*: it is not a file"):
            read(tmp_path / "a.png")


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


@pytest.mark.parametrize(
    "name", ["../a.png", "a/../../b.png", "/etc/passwd", "C:\\a.png", "..\\a.png", "//x/y", "", 3]
)
def test_paths_cannot_leave_the_folder(tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"list\.txt, line 4: "):
        path_inside(tmp_path, name, "list.txt, line 4")


def test_paths_inside_the_folder(tmp_path: Path) -> None:
    assert path_inside(tmp_path, "a/b..c.png", "") == tmp_path / "a" / "b..c.png"


def test_paths_written_on_windows(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").touch()
    assert path_inside(tmp_path, "sub\\a.png", "") == tmp_path / "sub" / "a.png"
    (tmp_path / "b\\c.png").touch()
    assert path_inside(tmp_path, "b\\c.png", "") == tmp_path / "b\\c.png"


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff1 a\u2028b\r\n\n2 c\x0bd".encode())
    assert read_lines(path) == [(1, "1 a\u2028b"), (3, "2 c\x0bd")]


def test_text_in_another_encoding_raises(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("1 café".encode("latin-1"))
    with pytest.raises(InputError, match=r"list\.txt: cannot be read as text"):
        read_lines(path)
