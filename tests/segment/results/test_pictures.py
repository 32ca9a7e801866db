"""Pictures and pages never cost the polygons."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from predictor_stubs import RedPredictor, blobs

from rrsis_geo.cli.segment_report import print_polygons, print_report
from rrsis_geo.errors import IncompleteError, OutputError
from rrsis_geo.geo.layers.preview import PreviewPainter
from rrsis_geo.segment.from_probability import polygonize
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.results import finish, layers
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.segment.scene import segment_scene

EXPRESSION = "red discs"
MakeScene = Callable[..., Path]


def run(scene: Path, outputs: Outputs, *expressions: str) -> SegmentReport:
    return segment_scene(scene, expressions or EXPRESSION, outputs, predictor=RedPredictor(256))


def outputs_in(folder: Path) -> Outputs:
    return Outputs(
        folder / "o.gpkg",
        probability=folder / "p.tif",
        preview=folder / "o.png",
        report=folder / "o.html",
        stac_item=folder / "o.json",
    )


def noise(row: np.ndarray, col: np.ndarray, band: int) -> np.ndarray:
    """Random colours that no predictor here finds."""
    values = np.random.default_rng(band).integers(0, 256, row.shape)
    return values if band > 1 else np.zeros_like(values)


def test_a_noisy_scene_without_objects_has_a_page(tmp_path: Path, make_scene: MakeScene) -> None:
    scene = make_scene(700, 700, content=noise, blocks=256)
    report = run(scene, outputs_in(tmp_path))
    assert report.n_objects == 0
    assert not report.unwritten
    assert "<img src" in (tmp_path / "o.html").read_text()


def test_a_picture_that_cannot_be_drawn_is_left_out(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PreviewPainter, "picture", fail)
    scene, outputs = make_scene(300, 300, content=blobs()), outputs_in(tmp_path)
    report = run(scene, outputs)
    assert report.unwritten == {"preview": "too little memory"}
    assert "preview" not in report.outputs
    assert "preview" not in report.results[0].outputs
    assert len(gpd.read_file(outputs.vector, layer="red_discs")) == report.n_objects > 0
    page = (tmp_path / "o.html").read_text()
    assert "The picture could not be drawn" in page
    assert "the picture of the report cannot be drawn: too little memory" in page
    assert "o.png" not in (tmp_path / "o.json").read_text()
    with pytest.raises(IncompleteError, match=r"preview \(too little memory\)"):
        print_report(report, as_json=True)
    again = Outputs(tmp_path / "again.gpkg", preview=tmp_path / "again.png")
    polygons = polygonize(outputs.files()["probability"], again)
    assert polygons.unwritten == {"preview": "too little memory"}
    assert again.vector.exists()
    assert list(polygons.outputs) == ["vector"]
    with pytest.raises(IncompleteError, match="preview"):
        print_polygons(polygons, as_json=True)


def test_a_page_that_cannot_be_made_is_left_out(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(finish, "write_page", fail)
    scene, outputs = make_scene(300, 300, content=blobs()), outputs_in(tmp_path)
    report = run(scene, outputs, EXPRESSION, "red rings")
    assert report.unwritten == {"report": "too little memory"}
    assert any("o.html: cannot be made" in text for text in report.warnings)
    assert "o.html" not in (tmp_path / "o.json").read_text()
    assert {"preview:red_discs", "preview:red_rings"} < set(report.outputs)


@pytest.mark.parametrize("error", [TypeError("a bug"), OutputError("o.png: no space")])
def test_other_errors_come_when_the_polygons_are_in_place(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(PreviewPainter, "add", fail)
    scene, outputs = make_scene(300, 300, content=blobs()), outputs_in(tmp_path)
    with pytest.raises(type(error), match=str(error)):
        run(scene, outputs)
    assert len(gpd.read_file(outputs.vector, layer="red_discs")) > 0


def test_the_background_is_read_once(
    tmp_path: Path, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    read = layers.read_background
    monkeypatch.setattr(
        "rrsis_geo.segment.results.merge.read_background",
        lambda *arguments: calls.append(arguments) or read(*arguments),
    )
    run(make_scene(300, 300, content=blobs()), outputs_in(tmp_path), EXPRESSION, "red rings")
    assert len(calls) == 1
