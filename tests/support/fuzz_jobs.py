"""Cases of whole runs: hostile expressions, outputs, options, STAC items and job folders."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from fuzz_files import Rng, corrupt
from job_stubs import stop_after
from PIL import Image
from predictor_stubs import RedPredictor, blobs, make_options
from scene_files import write_scene

from rrsis_geo.errors import RrsisError
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import RunOptions, segment_scene

BYSTANDERS = (
    *("m.tif.part2.zip", "o.gpkg.partial", "o.gpkg.part", ".p.png.part-1", "r.html.partial"),
    *("o.gpkg.parts/notes.txt", "o.gpkg.job.txt", "m.tif.part-old/1.tif", "m.tif.partly.aux.xml"),
)
"""Files of the user with names that resemble temporary ones. No run may touch them."""
STRANGE_NAMES = (
    *("o.gpkg", "o.GPKG", "o", ".gpkg", "o.docx", "o.gpkg ", "ö\u0301.gpkg", "a\nb.gpkg"),
    *("-o.gpkg", "no/such/o.gpkg", "file/o.gpkg", "folder", "folder.gpkg", "loop.gpkg"),
    *("dangling.gpkg", "pipe.gpkg", "a\0b.gpkg", "x" * 250 + ".gpkg", "ü" * 120 + ".gpkg"),
    *("\udcff.gpkg", "%s{}.gpkg", "../scene.tif", "../scene.gpkg", "m.tif", "taken.gpkg"),
    *("taken.geojson", "o.shp", "o.parquet", "o.fgb", "o.geojson", "CON.gpkg", "~/o.gpkg"),
    *("'; drop.gpkg", ""),
)
STRANGE_EXPRESSIONS = (
    *("", " ", "\0", "\ud800", "red\udcff discs", "a\nb\r\tc", "\u202ered discs", "=1+1"),
    *("../../x", "'; DROP TABLE layers; --", "%s %n {0} {expression}", "x" * 999, "red " * 400),
    *("<script>alert(1)</script>", "a" * 10**6, "\u0301" * 900, "🚗" * 300, "红色的圆", "con"),
    *(".", "NUL", "red discs", "-h", "--help", "\x1b[31mred\x1b[0m", "&lt;&#0;", "a" * 1000),
    *("\ufeffred", "\uffff", "١٢٣"),
)


def run_segment(
    scene: Path,
    out: Path,
    outputs: Outputs | None = None,
    expression: Any = "red discs",
    **options: Any,
) -> None:
    """Segment a scene. Outputs must be complete, or absent after an error."""
    out.mkdir(exist_ok=True)
    outputs = outputs or Outputs(out / "o.gpkg", mask=out / "m.tif", preview=out / "p.png")
    with bystanders(out):
        try:
            segment_scene(
                scene,
                expression,
                outputs,
                make_options(**{"overlap_px": 16, **options}),
                predictor=RedPredictor(),
            )
        except RrsisError:
            check_absence(out)
            raise
        check_outputs(outputs, [expression] if isinstance(expression, str) else expression)


@contextmanager
def bystanders(folder: Path) -> Iterator[None]:
    """Write files of the user beside outputs, and check that they are the same after the block."""
    files = {folder / name: f"text of {name}" for name in BYSTANDERS}
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    error: BaseException | None = None
    try:
        yield
    except RrsisError as err:
        error = err
    gone = [path.name for path, text in files.items() if not _has_text(path, text)]
    assert not gone, f"files of the user were changed or removed: {gone}"
    if error is not None:
        raise error


def _has_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def own_files(out: Path) -> list[str]:
    """Names in a folder of outputs, without those of the user and folders of unfinished jobs."""
    theirs = {Path(name).parts[0] for name in BYSTANDERS}
    return sorted(
        path.name
        for path in out.iterdir()
        if path.name not in theirs and not path.name.endswith(".job")
    )


def check_absence(out: Path) -> None:
    remaining = own_files(out)
    assert not remaining, f"incomplete output: {remaining}"


def check_outputs(outputs: Outputs, expressions: Sequence[str] = ("red discs",)) -> None:
    """Check that every output exists and can be read."""
    for each in outputs.per_expression(expressions):
        if each.vector.suffix.lower() == ".parquet":
            gpd.read_parquet(each.vector)
        else:
            gpd.read_file(each.vector, layer=0)
        for raster in filter(None, (each.mask, each.probability)):
            _read_raster(raster)
        if each.preview is not None:
            Image.open(each.preview).load()
        if each.report is not None:
            assert each.report.read_text(encoding="utf-8").rstrip().endswith("</html>")
    if outputs.stac_item is not None:
        json.loads(outputs.stac_item.read_text(encoding="utf-8"))
    remaining = [name for name in own_files(outputs.vector.parent) if ".part" in name]
    assert not remaining, f"temporary files: {remaining}"


def _read_raster(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"), rasterio.open(path) as dataset:
        dataset.read()


def _pick(rng: Rng, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def run_expression(folder: Path, seed: int) -> None:
    """Segment with strange expressions and all kinds of outputs."""
    rng = np.random.default_rng([7, seed])
    scene = write_scene(folder / "scene.tif", 120, 150, content=blobs())
    expression: Any = STRANGE_EXPRESSIONS[seed % len(STRANGE_EXPRESSIONS)]
    if seed >= len(STRANGE_EXPRESSIONS):
        chosen = [_pick(rng, STRANGE_EXPRESSIONS) for _ in range(int(rng.integers(0, 5)))]
        usable = [each for each in chosen if each.isprintable() and 0 < len(each) < 60]
        expression = usable if rng.random() < 0.7 else chosen
        if rng.random() < 0.1:
            expression = [f"red discs {index}" for index in range(8)]
    out = folder / "out"
    outputs = Outputs(
        out / f"o{_pick(rng, ('.gpkg', '.gpkg', '.geojson', '.fgb', '.shp'))}",
        mask=out / "m.tif",
        report=out / "r.html",
        stac_item=out / "s.json",
    )
    run_segment(scene, out, outputs, expression)


def run_output(folder: Path, seed: int) -> None:
    """Write to strange names, over files of the user, and to one file twice."""
    rng = np.random.default_rng([8, seed])
    scene = write_scene(folder / "scene.tif", 120, 150, content=blobs())
    out = folder / "out"
    (out / "folder.gpkg").mkdir(parents=True)
    (out / "folder").mkdir()
    (out / "folder.gpkg" / "inside.txt").write_text("text")
    for name in ("file", "taken.gpkg", "taken.geojson"):
        (out / name).write_text("of the user")
    (out / "loop.gpkg").symlink_to("loop.gpkg")
    (out / "dangling.gpkg").symlink_to("no/such.gpkg")
    os.mkfifo(out / "pipe.gpkg")
    before = {path: path.read_bytes() for path in (scene, out / "file", *out.glob("taken.*"))}
    before[out / "folder.gpkg" / "inside.txt"] = b"text"
    names = [STRANGE_NAMES[seed % len(STRANGE_NAMES)], *(_pick(rng, STRANGE_NAMES) for _ in "ab")]
    overwrite = bool(rng.integers(2))
    written: set[Path] = set()
    present = own_files(out)
    try:
        with bystanders(out):
            outputs = Outputs(
                out / names[0],
                mask=out / (names[1] if rng.random() < 0.3 else "m.tif"),
                preview=out / (names[2] if rng.random() < 0.3 else "p.png"),
                overwrite=overwrite,
            )
            segment_scene(
                scene, "red discs", outputs, make_options(overlap_px=16), predictor=RedPredictor()
            )
            check_outputs(outputs)
            written = set(outputs.files().values()) if overwrite else set()
    except RrsisError:
        remaining = sorted(set(own_files(out)) - set(present))
        assert not remaining, f"incomplete output: {remaining}"
        raise
    finally:
        changed = [
            path.name
            for path, content in before.items()
            if path not in written and (not path.is_file() or path.read_bytes() != content)
        ]
        assert not changed, f"files of the user were changed or removed: {changed}"


def run_option(folder: Path, seed: int) -> None:
    """Segment with one to three extreme options."""
    rng = np.random.default_rng([9, seed])
    huge, nan, inf = 1e308, float("nan"), float("inf")
    choices: dict[str, tuple[Any, ...]] = {
        "bbox": (
            *((0, 0, 0, 0), (huge,) * 4, (-huge, -huge, huge, huge), (nan,) * 4, (inf,) * 4),
            *((500_010, 5_199_950, 500_000, 5_199_940), (500_000, 5_199_900, 500_040, 5_200_000)),
            *((500_010, 5_199_950, 500_010.1, 5_199_950.1), (9, 46, 9.1, 47), (-180, -90, 180, 90)),
        ),
        "bbox_crs": ("EPSG:4326", "EPSG:0", "", "x" * 5000, "EPSG:4978", "EPSG:5773", "\0", "{}"),
        "aoi": tuple(map(Path, ("", "no.gpkg", "/dev/null", ".", "a\0b", "scene.tif"))),
        "bands": ((0,), (-1, 1, 1), (99,), (1, 1, 1), (3, 2, 1), (2**40,), (), (1, 2), (1,) * 4),
        "nodata": (nan, inf, -inf, 1e300, -1.0, 0.0, 40.0, 220.0, 1e-320),
        "gsd_m": (1e-300, 1e-6, 0.01, 0.05, 3.0, 1e3, 1e9, 1e300),
        "resample": (False,),
        "threshold": (1e-300, 1e-9, 0.999999999, 1 - 1e-16, 0.5),
        "min_area_m2": (1e300, 1e-300, 10.0),
        "simplify_m": (1e300, 1e-300, 10.0, 1e6),
        "overlap_px": (-1, 0, 1, 31, 32, 33, 63, 64, 10**9),
        "rows_per_shard": (1, 7, 10**9, 2**70),
        "batch_size": (1, 10**9, 2**70),
    }
    names = rng.choice(sorted(choices), int(rng.integers(1, 4)), replace=False).tolist()
    options = {name: _pick(rng, choices[name]) for name in names}
    scene = write_scene(folder / "scene.tif", 120, 150, content=blobs())
    run_segment(scene, folder / "out", **options)


def run_stac(folder: Path, seed: int) -> None:
    """Segment a malformed STAC item."""
    rng = np.random.default_rng([10, seed])
    write_scene(folder / "a b.tif", 120, 150, content=blobs())
    write_scene(folder / "red.tif", 120, 150, content=blobs(), bands=1)
    hrefs = ("a%20b.tif", "./a b.tif", (folder / "a b.tif").as_uri(), "red.tif", "a%2520b.tif")
    bad = (
        *("", ".", "item.json", "../../../etc/passwd", "file:///etc/passwd", "/dev/zero", "a\0b"),
        *("http://127.0.0.1:1/a.tif", "http://[", "/vsimem/x", "/vsizip/a b.tif", "ftp://x", "%"),
        *("data:image/tiff;base64,SUkqAA==", None, 3, [], {}, "\ud800", "x" * 10_000),
    )
    bands = [{"name": name, "eo:common_name": name} for name in ("red", "green", "blue")]
    asset: dict[str, Any] = {"href": _pick(rng, hrefs), "roles": ["data"], "type": "image/tiff"}
    assets: dict[str, Any] = {"visual": asset}
    if rng.random() < 0.3:
        assets = {
            name: {"href": "red.tif", "roles": ["data"], "bands": [band]}
            for name, band in zip(("red", "green", "blue"), bands, strict=True)
        }
    item: dict[str, Any] = {"type": "Feature", "stac_version": "1.1.0", "id": "x", "assets": assets}
    item["properties"] = {"datetime": "2024-01-01T00:00:00Z", "gsd": 0.5}
    kind = seed % 4
    values = [*bad, -1, 0, 1e308, True, [None], [{}], {"a": []}, "2024"]
    if kind == 0:
        _pick(rng, list(assets.values()))["href"] = _pick(rng, bad)
    elif kind == 1:
        target = _pick(rng, [item, item["properties"], *assets.values()])
        target[_pick(rng, sorted(target))] = _pick(rng, values)
    elif kind == 2:
        _pick(rng, list(assets.values()))[_pick(rng, ("bands", "eo:bands", "roles"))] = _pick(
            rng, [*values, bands, bands[:1] * 9, [{"eo:common_name": []}], [{"name": None}] * 3]
        )
    path = folder / "item.json"
    path.write_text(json.dumps(item))
    if kind == 3:
        corrupt(path, rng)
    run_segment(path, folder / "out")


def run_job(folder: Path, seed: int) -> None:
    """Resume a job after something happened to its folder."""
    rng = np.random.default_rng([11, seed])
    scene = write_scene(folder / "scene.tif", 200, 150, content=blobs())
    out = folder / "out"
    out.mkdir()
    outputs = Outputs(out / "o.gpkg", mask=out / "m.tif", preview=out / "p.png")
    with bystanders(out):
        try:
            _run_job(scene, outputs, "refuse", stop_after(int(rng.integers(2, 5))))
        except RrsisError:
            check_absence(out)
        _damage_job(out, rng)
        try:
            existing = _pick(rng, ("resume", "resume", "resume", "restart"))
            _run_job(scene, outputs, existing, lambda: False)
        except RrsisError:
            check_absence(out)
            raise
        check_outputs(outputs)


def _run_job(scene: Path, outputs: Outputs, existing: Any, stop: Callable[[], bool]) -> None:
    segment_scene(
        scene,
        "red discs",
        outputs,
        make_options(overlap_px=16, rows_per_shard=48),
        run=RunOptions(existing=existing),
        predictor=RedPredictor(),
        stop=stop,
    )


def _damage_job(out: Path, rng: Rng) -> None:
    job = next(out.glob("*.job"))
    files = sorted(path for path in job.rglob("*") if path.is_file())
    path = _pick(rng, files)
    kind = int(rng.integers(5))
    if kind == 0:
        corrupt(path, rng)
    elif kind == 1:
        path.unlink()
    elif kind == 2:
        path.unlink()
        path.mkdir()
    elif kind == 3:
        (job / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (path.parent / "Thumbs.db").write_bytes(b"x")
    else:
        manifest = _pick(rng, sorted(job.rglob("*.json")))
        content = json.loads(manifest.read_text())
        if isinstance(content, dict):
            content[_pick(rng, sorted(content))] = _pick(rng, (None, -1, "x", [], {}, 1e308))
        manifest.write_text(json.dumps(content))
