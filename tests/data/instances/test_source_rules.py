import pytest

from rrsis_geo.data.instances.source_rules import complete_categories, parse_gsd_m


@pytest.mark.parametrize(
    ("value", "gsd_m"),
    [
        ("0.5-2 (Google Earth); 0.08 for the rest", 1.0),
        ("~0.3 stretched to 640x360", 0.3),
        ("0.149", 0.149),
        (0.6, 0.6),
        ("~0.6-1.5", 0.9**0.5),
        ("", None),
        (None, None),
        (0, None),
    ],
)
def test_parse_gsd_m(value: object, gsd_m: float | None) -> None:
    assert parse_gsd_m(value) == (gsd_m if gsd_m is None else pytest.approx(gsd_m))


def complete(source: str, *here: str, all_labelled: bool = True) -> frozenset[str]:
    return complete_categories(
        source, here, all_labelled=all_labelled, source_categories={"ship", "car"}
    )


def test_an_unknown_source_is_trusted() -> None:
    assert complete("mine", "car") == {"ship", "car"}
    assert complete("mine", "car", all_labelled=False) == frozenset()


def test_boats_in_a_harbor_are_not_labelled_as_ships() -> None:
    assert "ship" in complete("nwpu_vhr10", "airplane")
    assert "ship" not in complete("nwpu_vhr10", "harbor")


def test_unlabelled_vehicles_are_never_complete() -> None:
    assert "vehicle" not in complete("nwpu_vhr10", "tennis court")
    assert "vehicle" in complete("nwpu_vhr10", "vehicle")
    assert "building" not in complete("fair_oam", "building", all_labelled=False)


def test_a_vehicle_can_be_of_any_kind() -> None:
    assert "bus" in complete("aerial_cars_minsk", "car")
    assert "bus" not in complete("aerial_cars_minsk", "vehicle")


def test_a_list_of_complete_categories_replaces_the_flag() -> None:
    listed = complete_categories(
        "mine", ["water"], all_labelled=True, source_categories={"water"}, complete_for={"ship"}
    )
    assert listed == {"ship"}
    known = complete_categories(
        "ihians/simd", ["truck"], all_labelled=False, source_categories=(), complete_for=()
    )
    assert known == {"wind turbine", "baseball field", "ground track field"}
