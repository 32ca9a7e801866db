"""The table of output kinds: complete, and equal to the fields of `Outputs`."""

from dataclasses import fields

import pytest

from rrsis_geo.geo.layers.layer_files import SUFFIXES
from rrsis_geo.segment.plan.output_kinds import OUTPUT_KINDS
from rrsis_geo.segment.plan.outputs import OUTPUT_FLAGS, Outputs

SUFFIXES_OF_KINDS = [
    (name, suffix) for name, kind in OUTPUT_KINDS.items() for suffix in kind.suffixes
]


@pytest.mark.parametrize(("name", "suffix"), SUFFIXES_OF_KINDS)
def test_every_kind_is_described_in_every_format(name: str, suffix: str) -> None:
    kind = OUTPUT_KINDS[name]
    assert kind.name == name
    assert kind.help.endswith(".")
    assert kind.stac_roles
    assert "{}" in kind.stac_title
    assert suffix.startswith(".")
    assert suffix == suffix.lower()
    file_format = kind.formats[suffix]
    assert "/" in file_format.media_type
    assert all(companion.role for companion in file_format.companions.values())


@pytest.mark.parametrize("name", OUTPUT_KINDS)
def test_the_file_of_a_scene_has_a_suffix_of_its_kind(name: str) -> None:
    kind = OUTPUT_KINDS[name]
    assert kind.scene_ending.endswith(kind.suffixes)


def test_endings_are_unique() -> None:
    endings = [kind.scene_ending for kind in OUTPUT_KINDS.values()]
    assert len(set(endings)) == len(endings)


def test_every_kind_is_a_field_of_outputs() -> None:
    flags = {"overwrite", "creation_options", *OUTPUT_FLAGS}
    assert [field.name for field in fields(Outputs) if field.name not in flags] == [*OUTPUT_KINDS]


def test_rasters_have_a_size() -> None:
    sized = [name for name, kind in OUTPUT_KINDS.items() if kind.bytes_per_px]
    assert sized == ["mask", "probability"]


def test_every_vector_format_has_a_writer() -> None:
    assert OUTPUT_KINDS["vector"].suffixes == SUFFIXES
