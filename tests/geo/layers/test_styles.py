"""The style of a layer in a GeoPackage."""

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rasterio.crs import CRS

from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.styles import LAYER_RGB, OUTLINE_RGB, polygon_qml, score_qml, windows_qml


@pytest.mark.parametrize("has_candidates", [False, True])
def test_the_style_of_a_layer_is_that_of_its_columns(tmp_path: Path, has_candidates: bool) -> None:
    facts = ("chosen",) if has_candidates else ()
    layer = Layer(features=[], expression="the red truck", facts=facts)
    write_layers(tmp_path / "o.gpkg", [layer], crs=CRS.from_epsg(32645))
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as connection:
        styles = connection.execute("SELECT styleQML FROM layer_styles ORDER BY id").fetchall()
    assert styles == [
        (polygon_qml(has_candidates=has_candidates),),
        (score_qml(has_candidates=has_candidates),),
    ]


def test_candidates_that_are_not_chosen_are_dashed_and_have_no_label() -> None:
    style = ElementTree.fromstring(polygon_qml(has_candidates=True).partition("\n")[2])
    rules = [(each.get("filter"), each.get("symbol")) for each in style.iter("rule")]
    assert rules == [('"chosen"', "0"), ("ELSE", "1")]
    symbols = {
        symbol.get("name"): {
            option.get("name"): option.get("value") for option in symbol.iter("Option")
        }
        for symbol in style.iter("symbol")
    }
    rgb = ",".join(map(str, OUTLINE_RGB))
    assert (symbols["0"]["outline_style"], symbols["0"]["style"]) == ("solid", "solid")
    assert (symbols["1"]["outline_style"], symbols["1"]["style"]) == ("dash", "no")
    assert symbols["0"]["outline_color"] == symbols["1"]["outline_color"] == f"{rgb},255"
    (text,) = style.iter("text-style")
    assert text.get("fieldName") == 'CASE WHEN "chosen" THEN "id" END'
    assert text.get("isExpression") == "1"


def parse(qml: str) -> ElementTree.Element:
    return ElementTree.fromstring(qml.partition("\n")[2])


def test_labels_have_the_colour_of_the_layer_and_begin_at_a_scale_and_a_size() -> None:
    for number, rgb in enumerate(LAYER_RGB):
        style = parse(polygon_qml(number))
        (text,), (rendering,) = style.iter("text-style"), style.iter("rendering")
        assert text.get("textColor") == ",".join(map(str, rgb)) + ",255"
        assert rendering.get("scaleMax") == "25000"
        assert rendering.get("minFeatureSize") == "4"


def test_objects_are_named_by_id_and_score() -> None:
    style = parse(polygon_qml())
    name = """concat('#', "id", ', score ', format_number("score", 3))"""
    assert style.findtext("previewExpression") == name
    tip = style.findtext("mapTip") or ""
    assert tip.startswith('<b>[% "expression" %]</b>')
    assert 'format_number("area_m2", 2)' in tip


def test_classes_by_score_cover_all_scores_without_a_gap() -> None:
    ranges = [(each.get("lower"), each.get("upper")) for each in parse(score_qml()).iter("range")]
    assert ranges[0][0] == "0.0"
    assert ranges[-1][1] == "1.0"
    assert all(above[0] == below[1] for below, above in pairwise(ranges))
    assert len(list(parse(score_qml()).iter("symbol"))) == len(ranges)


def test_windows_are_outlines() -> None:
    options = {each.get("name"): each.get("value") for each in parse(windows_qml()).iter("Option")}
    assert (options["style"], options["outline_style"]) == ("no", "dot")
