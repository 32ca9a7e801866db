"""Virtual rasters whose files leave gaps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio.windows import Window

from rrsis_geo.geo.scene.scene import open_scene

MakeScene = Callable[..., Path]
SIDE = 100
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def write_mosaic(
    path: Path, tile: Path, corners: tuple[tuple[int, int], ...], *, alpha: bool = False,
    nodata: str = "", shift: float = 0.0,
) -> Path:  # fmt: skip
    """A VRT as gdalbuildvrt writes it, with the same tile at some corners of a square."""

    def band(number: int, source: str) -> str:
        places = (
            f'<SrcRect xOff="0" yOff="0" xSize="{SIDE}" ySize="{SIDE}"/><DstRect '
            f'xOff="{col * SIDE + shift}" yOff="{row * SIDE}" xSize="{SIDE}" ySize="{SIDE}"/>'
            for row, col in corners
        )
        sources = "".join(source.format(place) for place in places)
        return f'<VRTRasterBand dataType="Byte" band="{number}">{nodata}{sources}</VRTRasterBand>'

    file = f'<SourceFilename relativeToVRT="0">{tile}</SourceFilename><SourceBand>1</SourceBand>'
    bands = [band(k, f"<SimpleSource>{file}{{}}</SimpleSource>") for k in (1, 2, 3)]
    if alpha:  # gdalbuildvrt -addalpha
        opaque = "<ScaleOffset>255</ScaleOffset><ScaleRatio>0</ScaleRatio>"
        text = band(4, f"<ComplexSource>{file}{{}}{opaque}</ComplexSource>")
        bands.append(text.replace('4">', '4"><ColorInterp>Alpha</ColorInterp>'))
    path.write_text(
        f'<VRTDataset rasterXSize="{2 * SIDE}" rasterYSize="{2 * SIDE}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>500000,1,0,5200000,0,-1</GeoTransform>{''.join(bands)}</VRTDataset>"
    )
    return path


@pytest.fixture
def tile(make_scene: MakeScene) -> Path:
    return make_scene(SIDE, SIDE, bands=1, compress=None)


def test_gap_that_reads_as_black_ground(
    tile: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mosaic(tmp_path / "mosaic.vrt", tile, CORNERS[:3])
    with open_scene(path, bands=(1, 2, 3)) as scene:
        assert scene.info.validity == "all"
    assert "25% of this virtual raster lies outside all of its files" in caplog.text
    assert "gdalbuildvrt -addalpha" in caplog.text


def test_names_of_files_that_are_not_utf8(tile: Path, tmp_path: Path) -> None:
    path = write_mosaic(tmp_path / "mosaic.vrt", tile, CORNERS[:3])
    path.write_bytes(path.read_bytes().replace(b"scene-0", b"sc\xe8ne-0"))
    open_scene(path, bands=(1, 2, 3)).close()


@pytest.mark.parametrize("shift", [0, 1e-4])
def test_mosaic_without_gaps(
    tile: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: float
) -> None:
    path = write_mosaic(tmp_path / "mosaic.vrt", tile, CORNERS, shift=shift)
    open_scene(path, bands=(1, 2, 3)).close()
    assert not caplog.records


@pytest.mark.parametrize("way", ["alpha", "nodata", "option"])
def test_marked_gaps_have_no_data(
    tile: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """The ways that docs/jobs.md recommends."""
    nodata = "<NoDataValue>0</NoDataValue>" if way == "nodata" else ""
    corners = CORNERS[:3]
    path = write_mosaic(tmp_path / "m.vrt", tile, corners, alpha=way == "alpha", nodata=nodata)
    with open_scene(path, bands=(1, 2, 3), nodata=0 if way == "option" else None) as scene:
        _, valid = scene.read(Window(0, 0, 2 * SIDE, 2 * SIDE))
    expected = np.ones((2 * SIDE, 2 * SIDE), bool)
    expected[SIDE:, SIDE:] = False
    assert (valid == expected).all()
    assert not caplog.records
