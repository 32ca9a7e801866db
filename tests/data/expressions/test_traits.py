import pytest

from rrsis_geo.data.expressions.traits import can_be


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("car", "car"),
        ("car", "vehicle"),
        ("vehicle", "car"),
        ("truck", "large vehicle"),
        ("car", "small vehicle"),
        ("airport vehicle", "truck"),
        ("tree", "vegetation"),
    ],
)
def test_an_object_can_be_of_both(label: str, category: str) -> None:
    assert can_be(label, category)
    assert can_be(category, label)


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("car", "truck"),
        ("bus", "truck"),
        ("van", "car"),
        ("car", "ship"),
        ("helicopter", "airplane"),
    ],
)
def test_no_object_is_of_both(label: str, category: str) -> None:
    assert not can_be(label, category)
    assert not can_be(category, label)
