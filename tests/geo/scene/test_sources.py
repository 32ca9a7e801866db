"""Scenes and STAC items from local files and from a local server."""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from range_server import Server
from rasterio.windows import Window
from scene_files import smooth_content

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene import radiometry, sources, stac
from rrsis_geo.geo.scene.acquisition_time import acquisition_time
from rrsis_geo.geo.scene.radiometry import Stretch, measure_stretch
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.geo.scene.scene_list import find_scenes
from rrsis_geo.geo.scene.stac import read_item
from rrsis_geo.geo.scene.vector_files import read_vectors

WINDOW = Window(10, 20, 70, 50)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


class OddServer:
    """Answers each connection with the same bytes, then with ``drip`` again and again."""

    def __init__(self, answer: bytes, drip: bytes = b"") -> None:
        self._answer, self._drip = answer, drip
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.n_requests = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.n_requests += 1
                threading.Thread(target=self._reply, args=[connection], daemon=True).start()

    def _reply(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(10_000)
            connection.sendall(self._answer)
            while self._drip and not self._stopped.wait(0.05):
                connection.sendall(self._drip)


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
            ('{"assets": {"a": {"href": "\\ud800.tif"}}}', "not valid JSON"),
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


class TestHrefs:
    """Hrefs are URI references; an item reads like the file that it names."""

    @pytest.mark.parametrize("form", ["relative", "absolute", "file", "plain"])
    def test_encoded_names(
        self, tmp_path: Path, make_scene: Callable[..., Path], form: str
    ) -> None:
        folder = tmp_path / "my scenes"
        folder.mkdir()
        path = make_scene().rename(folder / "s #1 50%.tif")
        href = {
            "relative": "./my%20scenes/s%20%231%2050%25.tif",
            "absolute": quote(str(path)),
            "file": path.as_uri(),
            "plain": "my scenes/s #1 50%.tif",
        }[form]
        item = write_item(tmp_path / "item.json", {"visual": {"href": href}})
        np.testing.assert_array_equal(pixels(item), pixels(path))
        np.testing.assert_array_equal(pixels(item.as_uri()), pixels(path))

    def test_file_address_of_a_scene(self, make_scene: Callable[..., Path]) -> None:
        path = make_scene()
        with open_scene(path) as scene, open_scene(path.as_uri()) as same:
            assert same.info == replace(scene.info, path=path.as_uri())

    @pytest.mark.parametrize(
        "href",
        [
            "file:///data/a.tif",
            "/vsizip//data/a.zip/a.tif",
            "/vsicurl/file:///data/a.tif",
            "zip+file:///data/a.zip!a.tif",
            "NETCDF:/data/a.tif",
        ],
    )
    def test_remote_item_names_a_local_file(
        self, server: Server, tmp_path: Path, href: str
    ) -> None:
        asset = {"href": href, "type": "image/tiff"}
        write_item(tmp_path / "item.json", {"visual": asset})
        with pytest.raises(InputError, match="must not name files of this machine"):
            open_scene(f"{server.address}/item.json")

    def test_remote_vrt_names_a_local_file(
        self, server: Server, tmp_path: Path, make_scene: Callable[..., Path]
    ) -> None:
        rasterio.shutil.copy(make_scene(), tmp_path / "a.vrt", driver="VRT")
        text = (tmp_path / "a.vrt").read_text()
        text = re.sub(r'relativeToVRT="1">', f'relativeToVRT="0">{tmp_path}/', text)
        (tmp_path / "a.vrt").write_text(text)
        with pytest.raises(InputError, match="a file of this machine"):
            open_scene(f"{server.address}/a.vrt")

    def test_invalid_address(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stac, "RETRY_S", 0)
        write_item(tmp_path / "item.json", {"visual": {"href": "http://[::x/a.tif"}})
        with pytest.raises(InputError, match="not a valid address"):
            open_scene(f"{server.address}/item.json")
        for address in ("http://[::x/a.json", f"http://{'x' * 99}.org/items/a"):
            with pytest.raises(InputError, match=r"valid address|cannot be reached"):
                open_scene(address)


class TestOverviews:
    """The stretch is measured on an overview, which is opened by the name of the dataset."""

    @pytest.fixture(autouse=True)
    def small_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(radiometry, "_SAMPLE_LOW_PX", 2**12)
        monkeypatch.setattr(stac, "RETRY_S", 0)

    def measure(self, path: str | Path) -> Stretch:
        with open_scene(path) as scene:
            return measure_stretch(scene)

    @pytest.mark.parametrize("is_remote", [False, True])
    def test_one_asset(
        self, server: Server, tmp_path: Path, make_scene: Callable[..., Path], is_remote: bool
    ) -> None:
        path = make_scene(512, 512, dtype="uint16", scale=9, overviews=[2, 4])
        write_item(tmp_path / "item.json", {"visual": {"href": path.name}})
        folder = server.address if is_remote else tmp_path
        assert self.measure(f"{folder}/item.json") == self.measure(path)

    @pytest.mark.parametrize("is_remote", [False, True])
    @pytest.mark.parametrize("options", [{"overviews": [2, 4]}, {"internal_mask": True}])
    def test_three_assets(
        self,
        server: Server,
        tmp_path: Path,
        make_scene: Callable[..., Path],
        is_remote: bool,
        options: dict[str, Any],
    ) -> None:
        side = 512 if "overviews" in options else 256  # a VRT has no overviews below 128 pixels
        invalid = np.zeros((side, side), bool)
        invalid[:100] = "internal_mask" in options
        size = {"height": side, "width": side, "dtype": "uint16", "scale": 9, "invalid": invalid}
        whole = make_scene(**size, **options)
        assets = {}
        for k, name in enumerate(("red", "green", "blue"), 1):
            path = make_scene(
                **size, **options, bands=1, content=lambda r, c, b, k=k: smooth_content(r, c, k)
            )
            assets[name] = {"href": path.name}
        write_item(tmp_path / "item.json", assets)
        folder = server.address if is_remote else tmp_path
        with open_scene(f"{folder}/item.json") as scene, open_scene(whole) as expected:
            for got, wanted in zip(scene.read(WINDOW), expected.read(WINDOW), strict=True):
                np.testing.assert_array_equal(got, wanted)
            assert scene.info.validity == expected.info.validity
            assert measure_stretch(scene) == measure_stretch(expected)


class TestServers:
    """Servers of STAC items that answer oddly, or never to the end."""

    @pytest.fixture(autouse=True)
    def short_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stac, "RETRY_S", 0.01)
        monkeypatch.setattr(stac, "TIMEOUT_S", 0.5)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (b"", "cannot be reached"),
            (b"nonsense\r\n\r\n", "cannot be reached .*nonsense"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "cannot be reached .*Incomplete"),
            (b"HTTP/1.1 200 OK\r\n\r\n{", "not valid JSON"),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe{", "not valid JSON"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "not valid JSON"),
        ],
    )
    def test_damaged_answers_are_retried(self, answer: bytes, message: str) -> None:
        with OddServer(answer) as server, pytest.raises(InputError, match=message):
            read_item(f"{server.address}/item.json")
        assert server.n_requests == stac.RETRIES + 1

    @pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
    def test_an_answer_without_end(self, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stac, "RETRIES", 1)
        with (
            OddServer(start, drip=b"x") as server,
            pytest.raises(InputError, match=r"no complete answer in 0\.5 seconds"),
        ):
            read_item(f"{server.address}/item.json")


def test_pipes_are_refused(tmp_path: Path) -> None:
    for name in ("a.tif", "item.json", "list.txt"):
        os.mkfifo(tmp_path / name)
    write_item(tmp_path / "two.json", {"visual": {"href": "a.tif"}})
    for name in ("a.tif", "item.json", "two.json"):
        with pytest.raises(InputError, match="is a pipe or a device"):
            open_scene(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe or a device"):
        find_scenes(str(tmp_path / "list.txt"))
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_vectors(tmp_path / "a.tif")


def test_names_that_are_not_utf8(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.tif")
    path = make_scene().rename(tmp_path / name)
    for text in (str(path), f"{path}.json"):
        with pytest.raises(
            InputError, match=r"caf\\udce9\.tif.*: its name is not UTF-8; rename it"
        ):
            open_scene(text)
    scenes = find_scenes(str(tmp_path))
    assert scenes is not None
    assert len(scenes) == 1


def test_tags_that_are_not_utf8(tmp_path: Path) -> None:
    """ENVI headers of old programs are in Latin-1."""
    path = tmp_path / "scene.img"
    np.arange(1, 76, dtype=np.uint8).tofile(path)
    header = (
        "ENVI\nsamples = 5\nlines = 5\nbands = 3\ndata type = 1\ninterleave = bsq\n"
        "map info = {UTM, 1, 1, 500000, 5200000, 1, 1, 32, North, WGS-84}\nsensor type = Ren\xe9\n"
    )
    path.with_suffix(".hdr").write_text(header, encoding="latin-1")
    with open_scene(path) as scene:
        assert measure_stretch(scene).kind == "identity"
        assert acquisition_time(str(path), scene.reader.dataset) is None
    scenes = find_scenes(str(tmp_path))
    assert scenes is not None
    assert len(scenes) == 1


def test_tags_that_the_library_cannot_decode() -> None:
    """Releases of rasterio differ: some raise, some leave such a tag out."""

    class Dataset:
        def tags(self, ns: str | None = None) -> dict[str, str]:
            raise UnicodeDecodeError("utf-8", b"Ren\xe9", 3, 4, "unexpected end of data")

    assert sources.read_tags(Dataset()) == {}  # type: ignore[arg-type]


def test_gdal_settings_apply_only_while_reading(make_scene: Callable[..., Path]) -> None:
    with open_scene(make_scene()), rasterio.Env() as env:
        assert not {name for name in env.options if "HTTP" in name or "READDIR" in name}
