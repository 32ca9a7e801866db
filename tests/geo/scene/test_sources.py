"""Scenes and STAC items from local files and from a local server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from range_server import Server
from rasterio.windows import Window

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene import stac
from rrsis_geo.geo.scene.scene import open_scene

WINDOW = Window(10, 20, 70, 50)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


def pixels(path: str | Path) -> np.ndarray:
    with open_scene(path) as scene:
        values, valid = scene.read(WINDOW)
        assert valid.all()
        return np.array(values)


def write_item(path: Path, assets: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": assets}))
    return path


@pytest.fixture
def colours(make_scene: Callable[..., Path]) -> list[Path]:
    """One file each for red, green and blue."""
    return [
        make_scene(bands=1, dtype="uint16", content=lambda r, c, b, k=k: 100 * k + (r + c) % 50)
        for k in (1, 2, 3)
    ]


def test_remote_scene_equals_local_scene(server: Server, make_scene: Callable[..., Path]) -> None:
    path = make_scene(internal_mask=True, overviews=[2])
    np.testing.assert_array_equal(pixels(f"{server.address}/{path.name}"), pixels(path))
    assert "" not in server.request_counts(), "the folder must not be listed"


@pytest.mark.parametrize("codes", [[503], [502, 429]])
def test_opening_retries_temporary_errors(
    server: Server, make_scene: Callable[..., Path], codes: list[int]
) -> None:
    path = make_scene()
    server.fail(*codes)
    np.testing.assert_array_equal(pixels(f"{server.address}/{path.name}"), pixels(path))
    assert not server.pending_failures()


def test_reading_retries_temporary_errors(server: Server, make_scene: Callable[..., Path]) -> None:
    path = make_scene(900, 900, compress=None)
    with open_scene(f"{server.address}/{path.name}") as scene:
        server.fail(503)
        scene.read(Window(0, 800, 900, 100))
    assert not server.pending_failures()


def test_missing_and_unreadable_addresses(server: Server, tmp_path: Path) -> None:
    for name in ("text.tif", "text_404.tif", "401-403.tif"):
        (tmp_path / name).write_text("not a raster" * 1000)
    for name, message in {
        "none.tif": "not found; check the address",
        "text.tif": "not a raster that GDAL can read",
        "text_404.tif": "not a raster that GDAL can read",  # digits in the address are ignored
        "401-403.tif": "not a raster that GDAL can read",
        "none.json": "cannot be reached .*File not found|cannot be reached .*Not Found",
    }.items():
        with pytest.raises(InputError, match=f"^{server.address}/{name}: .*{message}"):
            open_scene(f"{server.address}/{name}")
    server.fail(*[403] * 9)
    with pytest.raises(InputError, match="access denied"):
        open_scene(f"{server.address}/secret.tif")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1/a\.tif: cannot be reached"):
        open_scene("http://127.0.0.1:1/a.tif")


def test_vrt(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    path = make_scene()
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{k}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
        f"<SourceBand>{k}</SourceBand></SimpleSource></VRTRasterBand>"
        for k in (1, 2, 3)
    )
    xml = (
        '<VRTDataset rasterXSize="300" rasterYSize="200"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>5e5,.5,0,52e5,0,-.5</GeoTransform>{bands}</VRTDataset>"
    )
    (tmp_path / "scene.vrt").write_text(xml)
    np.testing.assert_array_equal(pixels(tmp_path / "scene.vrt"), pixels(path))


class TestItems:
    def test_visual_is_preferred(self, tmp_path: Path, make_scene: Callable[..., Path]) -> None:
        visual, other = make_scene(), make_scene(bands=1)
        item = write_item(
            tmp_path / "item.json",
            {
                "red": {"href": other.name},
                "thumbnail": {"href": "small.png", "roles": ["thumbnail"], "type": "image/png"},
                "tci": {"href": f"./{visual.name}", "roles": ["visual"], "type": "image/tiff"},
            },
        )
        np.testing.assert_array_equal(pixels(item), pixels(visual))

    @pytest.mark.parametrize("source", ["key", "eo:bands", "bands"])
    def test_three_colours(self, tmp_path: Path, colours: list[Path], source: str) -> None:
        assets: dict[str, Any] = {"nir": {"href": colours[0].name}}
        for name, path in zip(("red", "green", "blue"), colours, strict=True):
            key = {"key": name, "eo:bands": f"B-{name}", "bands": f"B-{name}"}[source]
            assets[key] = {"href": path.name, "type": "image/tiff; application=geotiff"}
            if source != "key":
                common = "common_name" if source == "eo:bands" else "eo:common_name"
                assets[key][source] = [{"name": "x", common: name}]
        item = write_item(tmp_path / "item.json", assets)
        expected = np.concatenate([pixels(path) for path in colours])
        np.testing.assert_array_equal(pixels(item), expected)
        with open_scene(item) as scene:
            assert scene.info.bands == (1, 2, 3)
            assert scene.info.path == str(item)
            assert scene.info.gsd_m == pytest.approx(0.5, rel=1e-3)

    def test_one_file_with_named_bands(
        self, tmp_path: Path, make_scene: Callable[..., Path]
    ) -> None:
        path = make_scene(bands=4, dtype="uint16")
        bands = [{"common_name": name} for name in ("blue", "green", "red", "nir")]
        item = write_item(tmp_path / "i.json", {"image": {"href": path.name, "eo:bands": bands}})
        with open_scene(item) as scene:
            assert scene.info.bands == (3, 2, 1)
        with open_scene(item, bands=[4]) as scene:
            assert scene.info.bands == (4,)

    def test_hrefs_are_relative_to_a_remote_item(
        self, server: Server, tmp_path: Path, colours: list[Path], make_scene: Callable[..., Path]
    ) -> None:
        (tmp_path / "items").mkdir()
        path = make_scene()
        write_item(tmp_path / "items" / "one", {"visual": {"href": f"../{path.name}"}})
        server.fail(503)
        np.testing.assert_array_equal(pixels(f"{server.address}/items/one"), pixels(path))
        names = ("red", "green", "blue")
        assets = {name: {"href": file.name} for name, file in zip(names, colours, strict=True)}
        write_item(tmp_path / "rgb.json", assets)
        expected = np.concatenate([pixels(path) for path in colours])
        np.testing.assert_array_equal(pixels(f"{server.address}/rgb.json?key=1"), expected)

    def test_different_grids(self, tmp_path: Path, make_scene: Callable[..., Path]) -> None:
        names = ("red", "green", "blue")
        assets = {
            name: {"href": make_scene(bands=1, height=height).name}
            for name, height in zip(names, (200, 200, 100), strict=True)
        }
        with pytest.raises(InputError, match=r"i\.json: its assets .* have different grids"):
            open_scene(write_item(tmp_path / "i.json", assets))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not valid JSON"),
            ("[" * 10**5, "not valid JSON"),
            ("[]", "not a STAC item, because it has no assets"),
            ('{"type": "FeatureCollection", "features": []}', "not a STAC item"),
            ('{"assets": {}}', "assets: none"),
            ('{"assets": {"a": 3, "b": {"href": 4}, "c": {"href": "x.png"}}}', r"assets: c\)"),
            ('{"assets": {"visual": {"href": "gone.tif"}}}', r"gone\.tif: no such file"),
        ],
        ids=lambda text: text[:12],
    )
    def test_invalid_item(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "item.json").write_text(text)
        with pytest.raises(InputError, match=message):
            open_scene(tmp_path / "item.json")
        with pytest.raises(InputError, match="no such file"):
            open_scene(tmp_path / "none.json")

    def test_size_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stac, "MAX_BYTES", 100)
        (tmp_path / "item.json").write_text("[" + "1," * 100 + "1]")
        with pytest.raises(InputError, match="too large for a STAC item"):
            open_scene(tmp_path / "item.json")


def test_gdal_settings_apply_only_while_reading(make_scene: Callable[..., Path]) -> None:
    with open_scene(make_scene()), rasterio.Env() as env:
        assert not {name for name in env.options if "HTTP" in name or "READDIR" in name}
