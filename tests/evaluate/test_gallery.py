"""The gallery is self-contained, escapes the text of samples, and shows the masks."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrsis_geo.errors import OutputError
from rrsis_geo.evaluate.gallery import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    OUTLINE,
    TRUE_POSITIVE,
    Picture,
    draw_overlay,
    write_gallery,
)


class Page(HTMLParser):
    """The elements of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "src":
                self.sources.append(value or "")
            if name in ("href", "action", "data", "srcset") or name.startswith("on"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def picture(expression: str = "the truck", **settings: object) -> Picture:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    truth, predicted = np.zeros((2, 32, 32), bool)
    truth[4:20, 4:20] = True
    predicted[10:30, 4:20] = True
    return Picture(image, truth, predicted, expression, ("IoU 0.400",), "a-1", **settings)  # type: ignore[arg-type]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    sections = {"Worst": [picture(), picture()], "Median": [], "Best": [picture()]}
    write_gallery(path, "btdnet on rrsisd", [("mIoU", "47.11")], sections)
    page = read(path)
    assert page.open == []
    assert page.tags.count("figure") == 3
    assert page.tags.count("section") == 2  # the empty section is left out
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert page.links == []
    assert len(page.sources) == 6
    assert all(source.startswith("data:image/") for source in page.sources)
    assert {"btdnet on rrsisd", "mIoU", "47.11", "Worst", "Best"} <= set(page.words)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_a_picture_has_an_image_and_masks(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    sample = picture()
    write_gallery(path, "t", [], {"Worst": [sample]})
    image, masks = (
        Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
        for source in read(path).sources
    )
    assert (image.format, image.size) == ("JPEG", (32, 32))
    assert (masks.format, masks.size) == ("PNG", (32, 32))
    assert abs(np.asarray(image).mean() - sample.image.mean()) < 5
    tints = np.asarray(masks.convert("RGBA"))
    np.testing.assert_array_equal(tints[..., 3] > 0, sample.truth | sample.predicted)


def test_the_overlay_has_a_colour_for_each_kind_of_pixel() -> None:
    truth, predicted = np.zeros((2, 9, 9), bool)
    truth[1:6, 1:6] = True
    predicted[3:8, 1:6] = True
    colours = np.asarray(draw_overlay(truth, predicted).convert("RGBA"))
    assert tuple(colours[4, 3, :3]) == TRUE_POSITIVE
    assert tuple(colours[2, 3, :3]) == FALSE_NEGATIVE
    assert tuple(colours[7, 3, :3]) == FALSE_POSITIVE
    assert tuple(colours[1, 1]) == (*OUTLINE, 255)
    assert colours[0, 0, 3] == 0
    assert len({TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE, OUTLINE}) == 4
    outline = (colours == (*OUTLINE, 255)).all(2)
    assert outline.sum() == 16  # the border of a 5 x 5 square


def test_a_target_that_fills_the_image_has_no_outline() -> None:
    everything = np.ones((8, 8), bool)
    colours = np.asarray(draw_overlay(everything, everything).convert("RGB"))
    assert (colours == TRUE_POSITIVE).all()


def test_text_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    hostile = '<script>alert("1")</script> & "quotes" {style}'
    write_gallery(path, hostile, [(hostile, hostile)], {hostile: [picture(hostile)]})
    page = read(path)
    assert "script" not in page.tags
    assert page.words.count(hostile) >= 4


def test_pictures_keep_the_aspect_ratio_of_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_gallery(path, "t", [], {"Worst": [picture(aspect=1.5)]})
    assert 'style="aspect-ratio:1.5000"' in path.read_text(encoding="utf-8")


def test_an_existing_file_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("kept")
    with pytest.raises(OutputError, match="--overwrite"):
        write_gallery(path, "t", [], {})
    assert path.read_text() == "kept"
    write_gallery(path, "t", [], {}, overwrite=True)
    assert read(path).open == []
