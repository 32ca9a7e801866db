"""Scenes of a folder, a pattern or a list, and their names."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from rasterio.shutil import copy
from scene_files import write_scene

from rrsis_geo.errors import InputError
from rrsis_geo.geo.scene.scene_list import OWN_TAG, SUFFIXES, find_scenes, name_scenes

MakeScene = Callable[..., Path]


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A folder of rasters and other files."""
    folder = tmp_path / "tiles"
    (folder / "old").mkdir(parents=True)
    for name in ("b.tif", "a.TIF", "c.tiff", ".hidden.tif", "old/d.tif"):
        write_scene(folder / name, 32, 48)
    for name in ("notes.txt", "a.tfw", "a.tif.aux.xml", "b.tif.ovr"):
        (folder / name).write_text("not a scene")
    (folder / "folder.tif").mkdir()
    return folder


def paths(given: str | Path) -> list[str]:
    scenes = find_scenes(str(given))
    assert scenes is not None
    return [Path(scene.path).name for scene in scenes]


# --- folder


def test_folder_lists_its_rasters_in_order(tiles: Path) -> None:
    assert paths(tiles) == ["a.TIF", "b.tif", "c.tiff"]
    assert paths(f"{tiles}/") == paths(tiles)
    scenes = find_scenes(str(tiles))
    assert scenes is not None
    assert scenes[0] == (str(tiles / "a.TIF"), "a.TIF", "a")


def test_results_of_a_run_are_left_out(tiles: Path) -> None:
    with rasterio.open(tiles / "b.tif", "r+") as dataset:
        dataset.update_tags(**{OWN_TAG: "abc"})
    assert paths(tiles) == ["a.TIF", "c.tiff"]
    assert paths(f"{tiles}/?.tif*") == ["c.tiff"]


def test_damaged_raster_is_kept(tiles: Path) -> None:
    (tiles / "b.tif").write_bytes((tiles / "b.tif").read_bytes()[:100])
    assert paths(tiles) == ["a.TIF", "b.tif", "c.tiff"]


def test_vrt_of_other_files_is_left_out(tiles: Path, make_scene: MakeScene) -> None:
    copy(tiles / "b.tif", tiles / "mosaic.vrt", driver="VRT")
    copy(make_scene(32, 32), tiles / "elsewhere.vrt", driver="VRT")
    assert paths(tiles) == ["a.TIF", "b.tif", "c.tiff", "elsewhere.vrt"]


def test_folder_without_rasters(tmp_path: Path) -> None:
    (tmp_path / "picture.png").touch()
    with pytest.raises(InputError, match=r"no rasters in this folder; .*\.jp2.*/\*\.png"):
        find_scenes(str(tmp_path))


def test_folder_with_results_only(tmp_path: Path) -> None:
    write_scene(tmp_path / "mask.tif", 32, 32)
    with rasterio.open(tmp_path / "mask.tif", "r+") as dataset:
        dataset.update_tags(**{OWN_TAG: "abc"})
    with pytest.raises(InputError, match="except 1 results of rrsis-geo"):
        find_scenes(str(tmp_path))


def test_folder_that_is_a_raster(tmp_path: Path) -> None:
    grid = tmp_path / "grid.zarr"
    scene = write_scene(tmp_path / "scene.tif", 32, 32, bands=1)
    try:
        copy(scene, grid, driver="Zarr")
    except rasterio.errors.RasterioError:
        pytest.skip("this GDAL cannot write Zarr")
    assert find_scenes(str(grid)) is None


# --- pattern


def test_pattern(tiles: Path) -> None:
    assert paths(f"{tiles}/*.tif") == ["b.tif"]
    assert paths(f"{tiles}/[bc].*") == ["b.tif", "c.tiff"]
    assert paths(f"{tiles}/**/*.tif") == ["b.tif", "d.tif"]
    assert paths(f"{tiles}/*") == ["a.TIF", "b.tif", "c.tiff"]


def test_pattern_with_another_suffix(tiles: Path) -> None:
    shutil.copy(tiles / "b.tif", tiles / "b.dat")
    assert paths(f"{tiles}/*.dat") == ["b.dat"]


def test_pattern_without_a_match(tiles: Path) -> None:
    with pytest.raises(InputError, match=r"\*\.jp2: no rasters match this pattern"):
        find_scenes(f"{tiles}/*.jp2")


def test_file_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    assert find_scenes(str(write_scene(tmp_path / "a[1].tif", 32, 32))) is None


# --- list


def test_list_has_a_scene_per_line(tiles: Path, tmp_path: Path) -> None:
    text = tmp_path / "scenes.txt"
    lines = [
        "# of June",
        "",
        f"  {tiles}/b.tif",
        f'"{tiles}/old/d.tif"',
        "https://host/e.tif?key=1",
    ]
    text.write_text("\r\n".join(lines), encoding="utf-8-sig")
    scenes = find_scenes(str(text))
    assert scenes is not None
    assert [scene.path for scene in scenes] == [
        *(f"{tiles}/b.tif", f"{tiles}/old/d.tif", "https://host/e.tif?key=1")
    ]
    assert [scene.file_name for scene in scenes] == ["b.tif", "d.tif", "e.tif"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lists no scenes"),
        (b"# none\n", "lists no scenes"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_invalid_list(tmp_path: Path, content: bytes, words: str) -> None:
    text = tmp_path / "scenes.txt"
    text.write_bytes(content)
    with pytest.raises(InputError, match=rf"scenes\.txt: {words}"):
        find_scenes(str(text))


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        find_scenes(str(tmp_path / "none.txt"))


# --- single scene


@pytest.mark.parametrize(
    "given",
    [
        *("scene.tif", "none.tif", "item.json", "https://host/*.tif?a=[1]", "/vsizip/a.zip/*.tif"),
        *("s3://bucket/folder/", "NETCDF:a.nc:rgb"),
    ],
)
def test_single_scene(given: str) -> None:
    assert find_scenes(given) is None


# --- names


@pytest.mark.parametrize(
    ("path", "file_name", "name"),
    [
        ("tiles/a.b.tif", "a.b.tif", "a.b"),
        ("https://host/x/tile.tif?sig=a/b", "tile.tif", "tile"),
        ("https://host/items/S2A_1/", "S2A_1", "S2A_1"),
        ("/vsizip//data/a.zip/in/b.tif", "b.tif", "b"),
        ('NETCDF:"/data/a.nc":rgb', "a.nc__rgb", "a"),
        ("https://host/", "scene", "scene"),
    ],
)
def test_names(path: str, file_name: str, name: str) -> None:
    assert name_scenes([path]) == ((path, file_name, name),)


@pytest.mark.parametrize("other", ["b/tile.tif", "a/tile.jp2", "a/TILE.tif", "a/tile.tif"])
def test_two_scenes_of_the_same_name(other: str) -> None:
    with pytest.raises(InputError, match=r"a/tile\.tif and .* are both named"):
        name_scenes(["a/tile.tif", other])


def test_suffixes_are_lower_case() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
