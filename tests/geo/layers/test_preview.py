"""Previews show the objects at their positions, their number and their area."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio import features as rasterio_features
from rasterio.crs import CRS

from rrsis_geo.errors import OutputError
from rrsis_geo.geo.layers import preview as module
from rrsis_geo.geo.layers.drawing import (
    Lettering,
    downsample,
    draw_edges,
    ring_edges,
    thicken,
    toggle_inside,
)
from rrsis_geo.geo.layers.preview import (
    LEAST_HIGHLIGHT,
    PreviewPainter,
    brighten,
    dimming,
    round_length,
)
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions
from rrsis_geo.geo.objects.vectorize import vectorize
from rrsis_geo.geo.styles import OUTLINE_RGB

UTM = CRS.from_epsg(32645)
NORTH_UP = Affine(0.5, 0, 334_000, 0, -0.5, 3_065_000)
GRAY = 160


def paint(
    mask: NDArray[np.bool_],
    tmp_path: Path,
    *,
    transform: Affine = NORTH_UP,
    crs: CRS | None = UTM,
    factor: int = 1,
) -> NDArray[np.int64]:
    """A preview of a gray scene with its frame, int [H, W, 3]."""
    shape = mask.shape[0] // factor, mask.shape[1] // factor
    image = np.full((*shape, 3), GRAY, np.uint8)
    painter = PreviewPainter(
        image, transform @ Affine.scale(factor), m_per_px=0.5 * factor if crs else None
    )
    objects = vectorize(mask, np.full(mask.shape, 0.8, np.float32))
    parts = [objects.take(part) for part in np.array_split(np.arange(len(objects)), 3)]
    options = FeatureOptions(transform=transform, crs=crs, expression="x", model="m")
    for batch in make_features(parts, options):
        painter.add(batch)
    painter.save(tmp_path / "preview.png", "the roof", overwrite=True)
    return np.asarray(Image.open(tmp_path / "preview.png").convert("RGB")).astype(int)


def without_frame(picture: NDArray[np.int64], height: int) -> NDArray[np.int64]:
    bar = (len(picture) - height) // 2
    return picture[bar : bar + height]


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(NORTH_UP, id="north up"),
        pytest.param(Affine(0.5, 0, 334_000, 0, 0.5, 3_065_000), id="south up"),
        pytest.param(Affine(0.3, 0.4, 334_000, 0.4, -0.3, 3_065_000), id="rotated"),
    ],
)
def test_objects_are_bright_on_the_dimmed_scene(tmp_path: Path, transform: Affine) -> None:
    mask = np.zeros((900, 1000), bool)
    mask[100:400, 200:700] = True
    mask[200:300, 300:500] = False  # a hole
    mask[230:270, 350:450] = True  # an island in the hole
    picture = without_frame(paint(mask, tmp_path, transform=transform), 900)
    assert (picture[150, 600] == GRAY).all()
    assert (picture[260, 360] == GRAY).all()
    for row, column in ((500, 500), (215, 320), (50, 50)):
        assert picture[row, column].max() < 0.6 * GRAY
    for row, column in ((399, 450), (400, 450), (250, 199), (250, 200), (230, 400), (200, 400)):
        assert (np.abs(picture[row, column] - OUTLINE_RGB) < 60).all()


def test_downsampled_scene(tmp_path: Path) -> None:
    mask = np.zeros((3600, 4000), bool)
    mask[400:1600, 800:2800] = True
    picture = without_frame(paint(mask, tmp_path, factor=4), 900)
    assert (picture[350, 300] == GRAY).all()
    assert picture[420, 300].max() < 0.6 * GRAY


def test_small_scenes_are_enlarged(tmp_path: Path) -> None:
    mask = np.zeros((90, 100), bool)
    mask[20:70, 20:80] = True
    picture = paint(mask, tmp_path)
    assert picture.shape[1] == 900
    assert (without_frame(picture, 810)[600, 300] == GRAY).all()


def test_scene_without_objects_is_not_dimmed(tmp_path: Path) -> None:
    picture = without_frame(paint(np.zeros((900, 1000), bool), tmp_path), 900)
    assert (picture == GRAY).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (700, 40)])
def test_odd_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = paint(np.ones(shape, bool), tmp_path)
    assert picture.shape[0] > shape[0]


def test_no_scale_bar_and_no_area_without_crs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    monkeypatch.setattr(
        Lettering, "write", lambda self, position, text, *, stroke=0: texts.append(text)
    )
    mask = np.zeros((90, 100), bool)
    mask[20:70, 20:80] = True
    paint(mask, tmp_path, crs=None)
    assert texts == ["1", "the roof", "1 object"]
    texts.clear()
    paint(mask, tmp_path)
    # 3000 pixels of 0.25 m2; the ground area is larger by a factor of 1.0001
    assert texts == ["1", "the roof", "1 object, 750 m²", "10 m"]


def test_only_the_largest_objects_are_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LABELS", 2)
    texts: list[str] = []
    monkeypatch.setattr(
        Lettering, "write", lambda self, position, text, *, stroke=0: texts.append(text)
    )
    mask = np.zeros((900, 900), bool)
    for i, side in enumerate((20, 90, 50, 120)):
        mask[200 * i : 200 * i + side, 300 : 300 + side] = True
    paint(mask, tmp_path)
    assert texts[:3] == ["4", "2", "the roof"]


def test_numbers_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[shapely.Geometry] = []
    write = Lettering.write

    def spy(self: Lettering, position: tuple[float, float], text: str, *, stroke: int = 0) -> None:
        if stroke:
            width, height = self.size(text)
            x, y = position
            boxes.append(shapely.box(x, y - height / 2, x + width, y + height / 2))
        write(self, position, text, stroke=stroke)

    monkeypatch.setattr(Lettering, "write", spy)
    paint(np.random.default_rng(0).random((900, 900)) < 0.002, tmp_path)
    assert len(boxes) > 20
    assert shapely.STRtree(boxes).query(boxes, predicate="overlaps").size == 0


def test_existing_preview_is_not_replaced(tmp_path: Path) -> None:
    painter = PreviewPainter(np.zeros((9, 9, 3), np.uint8), Affine.identity())
    painter.save(tmp_path / "preview.png", "x")
    with pytest.raises(OutputError, match="exists already"):
        painter.save(tmp_path / "preview.png", "x")
    assert [file.name for file in tmp_path.iterdir()] == ["preview.png"]


def test_filling_equals_gdal() -> None:
    rng = np.random.default_rng(2)
    mask = np.kron(rng.random((12, 15)) < 0.6, np.ones((5, 5), bool)).astype(bool)
    polygons = vectorize(mask, mask.astype(np.float32)).polygons(Affine(1.7, 0.4, 3, -0.5, 1.9, 20))
    toggles = np.zeros((140, 171), np.uint8)
    for polygon in polygons:  # holes and islands in any order
        starts, stops = ring_edges(np.array([polygon]))
        toggle_inside(toggles, starts, stops)
    inside = (np.cumsum(toggles[:, :-1], axis=1) & 1).astype(bool)
    expected = rasterio_features.rasterize([(polygon, 1) for polygon in polygons], (140, 170))
    assert (inside != expected).mean() < 1e-3  # a pixel centre may lie on an edge


def test_draw_edges_thicken_and_downsample() -> None:
    lines = np.zeros((5, 5), bool)
    draw_edges(lines, np.array([[-10.0, 2.5]]), np.array([[10.0, 2.5]]))
    assert lines.sum(axis=1).tolist() == [0, 0, 5, 0, 0]
    assert thicken(lines).sum(axis=1).tolist() == [5, 5, 5, 5, 0]
    np.testing.assert_array_equal(thicken(lines.T), thicken(lines).T)
    assert np.asarray(downsample(np.eye(4, dtype=bool), 2)).tolist() == [[127, 0], [0, 127]]


@pytest.mark.parametrize(
    ("maximum", "length"),
    [(1.0, 1), (1.9, 1), (2.1, 2), (4.99, 2), (70, 50), (999, 500), (0.3, 0.2)],
)
def test_round_length(maximum: float, length: float) -> None:
    assert round_length(maximum) == pytest.approx(length)


def test_text_with_characters_that_the_font_lacks() -> None:
    lettering = Lettering(Image.new("RGB", (50, 20)), 16)
    assert [part for part, _, _ in lettering._parts("café 5 m² 船")] == ["cafe 5 m", "2", " ?"]
    short = lettering.shorten("a rather long expression", 80)
    assert short.endswith("...")
    assert lettering.size(short)[0] <= 80


@pytest.mark.parametrize(("mean", "factor"), [(0, 1.0), (40, 1.0), (60, 5 / 6), (120, 0.55)])
def test_dark_scenes_are_dimmed_less(mean: float, factor: float) -> None:
    assert dimming(mean) == pytest.approx(factor)


@pytest.mark.parametrize("factor", [0.03, 0.1, 0.3])
def test_dark_scenes_are_brightened(factor: float) -> None:
    """Their objects can be told from the ground; a black border stays black."""
    rng = np.random.default_rng(0)
    scene = rng.normal(120, 25, (60, 80, 3)).clip(1, 255)
    scene[:, :20] = 0
    dark = np.ceil(scene * factor).astype(np.uint8)
    light = brighten(dark)
    assert np.percentile(light[:, 20:].max(axis=2), 95) == pytest.approx(LEAST_HIGHLIGHT, abs=1)
    assert light[:, 20:].std() > 1.3 * dark[:, 20:].std()
    assert not light[:, :20].any()


def test_bright_and_black_scenes_stay_as_they_are() -> None:
    bright = np.full((20, 20, 3), LEAST_HIGHLIGHT, np.uint8)
    assert brighten(bright) is bright
    assert not brighten(np.zeros((20, 20, 3), np.uint8)).any()
