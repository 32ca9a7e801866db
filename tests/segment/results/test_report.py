"""Reports give their objects as data frames, and show themselves in a notebook."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
from PIL import Image
from predictor_stubs import RedPredictor, make_options

from rrsis_geo.errors import InputError
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene

OPTIONS = make_options(overlap_px=16)
MakeScene = Callable[..., Path]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb", ".parquet"])
@pytest.mark.parametrize("expressions", [["a disc"], ["a disc", "discs in the northern half"]])
def test_objects_of_every_format(
    suffix: str, expressions: list[str], make_blobs: MakeScene, tmp_path: Path
) -> None:
    outputs = Outputs(tmp_path / f"o{suffix}")
    report = segment_scene(make_blobs(), expressions, outputs, OPTIONS, predictor=RedPredictor())
    objects = report.to_geodataframe()
    assert isinstance(objects, gpd.GeoDataFrame)
    assert len(objects) == report.n_objects
    assert objects.crs == ("EPSG:4326" if suffix == ".geojson" else "EPSG:32632")
    assert objects.expression.unique().tolist() == expressions
    for result in report.results:
        own = result.to_geodataframe()
        assert len(own) == result.n_objects
        assert own.area_m2.sum() == pytest.approx(result.area_m2, rel=1e-3)


def test_nothing_found_is_an_empty_frame(make_scene: MakeScene, tmp_path: Path) -> None:
    report = segment_scene(
        make_scene(80, 80, content=lambda row, col, band: 90 + col % 5),
        "a disc",
        Outputs(tmp_path / "o.gpkg"),
        OPTIONS,
        predictor=RedPredictor(),
    )
    objects = report.to_geodataframe()
    assert (len(objects), objects.crs) == (0, "EPSG:32632")


def test_a_file_that_was_removed(make_blobs: MakeScene, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", preview=tmp_path / "o.png")
    report = segment_scene(make_blobs(), "a disc", outputs, OPTIONS, predictor=RedPredictor())
    for path in outputs.files().values():
        path.unlink()
    with pytest.raises(InputError, match=r"o\.gpkg: no such file"):
        report.to_geodataframe()
    assert "<img" not in report._repr_html_()  # the table is still shown


def test_a_report_shows_its_preview_and_a_table(make_blobs: MakeScene, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", preview=tmp_path / "o.png")
    report = segment_scene(
        make_blobs(),
        ["a <b>red</b> disc", "discs"],
        outputs,
        OPTIONS,
        predictor=RedPredictor(),
    )
    text = report._repr_html_()
    assert text.count('<img src="data:image/jpeg;base64,') == 2
    assert '<td style="text-align: left">a &lt;b&gt;red&lt;/b&gt; disc</td>' in text
    assert f"<td>{report.results[0].n_objects}</td>" in text
    assert str(tmp_path / "o.gpkg") in text
    for warning in report.warnings:
        assert warning.split('"')[0] in text
    sources = re.findall(r'(?:src|href)="([^"]{1,20})', text)
    assert all(source.startswith("data:image/jpeg") for source in sources)
    assert "<script" not in text


def test_pictures_in_a_notebook_are_small(make_blobs: MakeScene, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", preview=tmp_path / "o.png")
    report = segment_scene(
        make_blobs(900, 900), "a disc", outputs, OPTIONS, predictor=RedPredictor()
    )
    with Image.open(tmp_path / "o.png") as preview:
        assert max(preview.size) > 800
    (data,) = re.findall('base64,([^"]+)', report._repr_html_())
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        assert max(shown.size) == 800


def test_polygons_from_a_probability(make_blobs: MakeScene, tmp_path: Path) -> None:
    probability = tmp_path / "p.tif"
    outputs = Outputs(tmp_path / "o.gpkg", probability=probability)
    segment_scene(make_blobs(), "a disc", outputs, OPTIONS, predictor=RedPredictor())
    report = polygonize(probability, Outputs(tmp_path / "q.parquet", preview=tmp_path / "q.png"))
    assert len(report.to_geodataframe()) == report.n_objects > 20
    assert report._repr_html_().count("<img") == 1
