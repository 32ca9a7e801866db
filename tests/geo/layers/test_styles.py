"""The style of a layer in a GeoPackage."""

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rasterio.crs import CRS

from rrsis_geo.geo.layers.vector_io import Layer, write_layers
from rrsis_geo.geo.styles import OUTLINE_RGB, polygon_qml


@pytest.mark.parametrize("has_candidates", [False, True])
def test_the_style_of_a_layer_is_that_of_its_columns(tmp_path: Path, has_candidates: bool) -> None:
    facts = ("chosen",) if has_candidates else ()
    layer = Layer(features=[], expression="the red truck", facts=facts)
    write_layers(tmp_path / "o.gpkg", [layer], crs=CRS.from_epsg(32645))
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as connection:
        ((qml,),) = connection.execute("SELECT styleQML FROM layer_styles").fetchall()
    assert qml == polygon_qml(has_candidates=has_candidates)


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
