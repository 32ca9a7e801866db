"""Names of things: plurals, labels, and the three lists of names of each category."""

import pytest

from rrsis_geo.text.categories import CATEGORIES
from rrsis_geo.text.vocabulary import (
    COMPOUNDS,
    FOREIGN_THINGS,
    SYNONYMS,
    THINGS,
    can_be_named,
    category_from_label,
    kinds_of,
    names_of,
    noun_of,
    pluralize,
    wider_than,
)


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("bus", "buses"),
        ("body of water", "bodies of water"),
        ("place to play tennis", "places to play tennis"),
        ("lorry", "lorries"),
        ("pier", "piers"),
        ("court for tennis", "courts for tennis"),
        ("bikeway", "bikeways"),
        ("aircraft", "aircraft"),
        ("grass and shrubs", "grass and shrubs"),
    ],
)
def test_pluralize(name: str, plural: str) -> None:
    assert pluralize(name) == plural


def test_unknown_category_is_its_own_noun() -> None:
    assert noun_of("cooling tower").plural == ("cooling towers",)
    assert all(noun_of(category).singular[0] for category in THINGS)


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("Storage_Tanks", "storage tank"),
        ("  truck ", "truck"),
        ("Buses", "bus"),
        ("bus", "bus"),
        ("well pads", "well pad"),
        ("Substations", "substation"),
        ("quarries", "quarry"),
        ("churches", "church"),
        ("grass", "grass"),
        ("gas", "gas"),
    ],
)
def test_category_from_label(label: str, category: str) -> None:
    assert category_from_label(label) == category


def test_labels_that_are_names() -> None:
    names = ["car", "Storage_Tanks", "f-16", "caf\u00e9", "semi-trailer", "F16"]
    none = [
        "4",
        "4.0",
        "",
        " ",
        "-",
        "?",
        "N/A",
        "No_Data",
        "nan",
        "Other",
        "\u5361\u8f66",
        "\u0434",
    ]
    assert all(map(can_be_named, names))
    assert not any(map(can_be_named, none))


def test_each_synonym_names_one_category_that_the_parser_knows() -> None:
    synonyms = [name for thing in THINGS.values() for name in thing.synonyms]
    assert len(synonyms) == len(set(synonyms))
    assert set(SYNONYMS.values()) <= set(CATEGORIES)
    assert not set(synonyms) & {*CATEGORIES, *COMPOUNDS}


@pytest.mark.parametrize("category", [name for name, thing in THINGS.items() if thing.rare])
def test_rare_names_name_no_other_category(category: str) -> None:
    written = {
        name for other in THINGS for name in (*noun_of(other).singular, *noun_of(other).plural)
    }
    assert not written & set(THINGS[category].rare)
    rare_names = [name for thing in THINGS.values() for name in thing.rare]
    assert len(rare_names) == len(set(rare_names))


def test_names_of_a_category_known_or_not() -> None:
    assert {"lake", "lakes", "body of water"} <= names_of("water")
    assert names_of("semi-trailer") == {"semi-trailer", "semi-trailers"}


def test_foreign_things_are_no_names_of_trained_categories() -> None:
    benchmark_only = {"golf field", "windmill", "expressway toll station"}
    known = {name for category in THINGS.keys() - benchmark_only for name in names_of(category)}
    assert not known & set(FOREIGN_THINGS)


def test_kinds_include_the_category_itself() -> None:
    assert kinds_of("large vehicle") == {"large vehicle", "bus", "truck"}
    assert kinds_of("dam") == {"dam"}
    assert wider_than("truck") == ["vehicle", "large vehicle"]
    assert wider_than("dam") == []
