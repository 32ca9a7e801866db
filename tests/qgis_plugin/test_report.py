"""Which layers the plugin loads from a report."""

from typing import Any

import pytest

from qgis_plugin.rrsis_geo.program.report import (
    ResultLayer,
    main_file,
    result_layers,
    summary_lines,
)


def make_result(expression: str, layer: str, **outputs: str) -> dict[str, Any]:
    return {
        "expression": expression,
        "layer": layer,
        "outputs": outputs,
        "n_objects": 1,
        "area_m2": 1234.56,
        "reading": "",
    }


def make_report(*results: dict[str, Any]) -> dict[str, Any]:
    return {"outputs": {"report": "r.html"}, "n_objects": len(results), "results": list(results)}


def test_layers_of_one_expression() -> None:
    report = make_report(
        make_result("The bus", "the_bus", vector="o.gpkg", mask="m.tif", preview="p.png")
    )
    assert result_layers(report, has_windows=True) == [
        ResultLayer("vector", "The bus", "o.gpkg|layername=the_bus"),
        ResultLayer("windows", "The bus: windows", "o.gpkg|layername=windows"),
        ResultLayer("mask", "The bus: mask", "m.tif"),
    ]


def test_layers_of_several_expressions() -> None:
    report = make_report(
        make_result("a", "a", vector="o.gpkg", probability="p_a.tif"),
        make_result("b", "b", vector="o.gpkg", probability="p_b.tif"),
    )
    assert [layer.source for layer in result_layers(report, has_windows=True)] == [
        *("o.gpkg|layername=a", "o.gpkg|layername=windows_a", "p_a.tif"),
        *("o.gpkg|layername=b", "o.gpkg|layername=windows_b", "p_b.tif"),
    ]


def test_other_formats_have_one_layer() -> None:
    report = make_report(make_result("a", "a", vector="o_a.fgb"))
    assert [layer.source for layer in result_layers(report)] == ["o_a.fgb"]


def test_polygons_of_a_probability_raster() -> None:
    report = {
        "expression": "a",
        "outputs": {"vector": "o.gpkg"},
        "n_objects": 2,
        "area_m2": None,
        "dropped": "1 object under 0.36 m²",
    }
    assert result_layers(report) == [ResultLayer("vector", "a", "o.gpkg")]
    assert summary_lines(report) == ['"a": 2 objects', "dropped: 1 object under 0.36 m²"]


@pytest.mark.parametrize(
    ("kind", "path"), [("mask", "m_a.tif"), ("report", "r.html"), ("preview", None)]
)
def test_main_files(kind: str, path: str | None) -> None:
    report = make_report(
        make_result("a", "a", vector="o.gpkg", mask="m_a.tif"),
        make_result("b", "b", vector="o.gpkg", mask="m_b.tif"),
    )
    assert main_file(report, kind) == path


def test_summary_tells_how_an_expression_is_understood() -> None:
    result = {**make_result("the bigest bus", "b", vector="o.gpkg"), "reading": "buses; largest"}
    assert summary_lines(make_report(result)) == [
        '"the bigest bus" (understood as "buses; largest"): 1 object, 1,234.6 m²'
    ]
