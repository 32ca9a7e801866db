"""Cards: what they state, and that it reads as Markdown and as the Hub's metadata."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.train.card import CardFacts, trained_card
from rrsis_geo.version import __version__


@pytest.fixture
def facts() -> CardFacts:
    meter, target = ScoreMeter(), np.ones((10, 10), bool)
    half = np.arange(100).reshape(10, 10) < 50
    meter.add(half, target, kind="category", category="truck")
    meter.add(target, target, kind="colour", category="storage tank")
    meter.add(~target, ~target, kind="absent", category="truck")
    return CardFacts(
        title="btdnet_rrsisd",
        summary="ships and airports",
        net="btdnet",
        parameters=31_900_000,
        image="512 px",
        data={"training": "rrsisd train, 12181 samples", "validation": "rrsisd val, 1740 samples"},
        start={"trunk": "timm swin_base | in22k"},
        categories=("storage tank", "truck"),
        step=3000,
        steps=4000,
        seed=7,
        scores=meter.scores(),
        config={"name": "btdnet_rrsisd", "optim": {"lr": 3e-5}},
    )


def rows_of(card: str) -> list[list[str]]:
    """Cells of every table row."""
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_a_card_states_data_start_scores_versions_and_seed(facts: CardFacts) -> None:
    card = trained_card(facts)
    rows = rows_of(card)
    for expected in (
        ["network", "btdnet, 31.9 M parameters"],
        ["training", "rrsisd train, 12181 samples"],
        ["trunk", r"timm swin_base \| in22k"],
        ["step", "3000 of 4000, the best on the validation samples"],
        ["seed", "7"],
        # mIoU (0.5 + 1 + 0) / 3, oIoU 150 / 200, gIoU (0.5 + 1 + 1) / 3
        ["all", "3", "0.500", "0.750", "0.667", "0.333", "0.333", "0.833", "1.000"],
        ["category", "1", "0.500", "0.500", "1.000", "0.000", "0.000", "0.500", ""],
        ["absent", "1", "", "", "", "", "", "1.000", "1.000"],
        ["truck", "2", "0.250", "0.500", "0.500", "0.000", "0.000", "0.750", "1.000"],
    ):
        assert expected in rows
    versions = next(row[1] for row in rows if row[0] == "versions")
    assert f"rrsis-geo {__version__}, torch 2." in versions
    assert "Categories: storage tank, truck." in card
    assert "ships and airports" in card


def test_every_setting_can_be_read_back(facts: CardFacts) -> None:
    found = re.findall(r"```json\n(.*?)\n```", trained_card(facts), flags=re.DOTALL)
    assert [json.loads(text) for text in found] == [facts.config]


@pytest.mark.parametrize(
    ("changes", "present", "missing"),
    [
        ({"start": {}}, "random numbers", "timm swin_base"),
        ({"categories": ()}, "## Start", "Categories:"),
    ],
)
def test_what_is_not_known_is_said_or_left_out(
    facts: CardFacts, changes: dict[str, Any], present: str, missing: str
) -> None:
    card = trained_card(replace(facts, **changes))
    assert present in card
    assert missing not in card


def test_scores_without_kinds_or_categories(facts: CardFacts) -> None:
    meter = ScoreMeter()
    meter.add(np.ones((4, 4), bool), np.ones((4, 4), bool))
    card = trained_card(replace(facts, scores=meter.scores()))
    assert [row[0] for row in rows_of(card)].count("all") == 1
    assert "| category |" not in card


def test_the_hub_can_read_the_front_matter(facts: CardFacts) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(trained_card(facts), ignore_metadata_errors=False).data
    assert data.library_name == "rrsis-geo"
    assert data.pipeline_tag == "image-segmentation"
    assert "remote-sensing" in data.tags
    assert data.license is None  # nobody said
