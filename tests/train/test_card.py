"""The card of a trained bundle: its facts, as Markdown and as metadata of the Hub."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.train.card import CardFacts, render_card
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
        best_by="oIoU",
        seed=7,
        scores=meter.scores(),
        config={"name": "btdnet_rrsisd", "optim": {"lr": 3e-5}},
    )


def rows_of(card: str) -> list[list[str]]:
    """Cells of all table rows."""
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_a_card_has_data_initial_weights_scores_versions_and_seed(facts: CardFacts) -> None:
    card = render_card(facts)
    rows = rows_of(card)
    for expected in (
        ["network", "btdnet, 31.9 M parameters"],
        ["training", "rrsisd train, 12181 samples"],
        ["trunk", r"timm swin_base \| in22k"],
        ["step", "3000 of 4000, the best on the validation samples by oIoU"],
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


def test_the_card_contains_all_settings(facts: CardFacts) -> None:
    blocks = re.findall(r"```json\n(.*?)\n```", render_card(facts), flags=re.DOTALL)
    assert [json.loads(text) for text in blocks] == [facts.config]


@pytest.mark.parametrize(
    ("changes", "present", "missing"),
    [
        ({"start": {}}, "random numbers", "timm swin_base"),
        ({"categories": ()}, "## Initial weights", "Categories:"),
    ],
)
def test_unknown_facts_are_left_out(
    facts: CardFacts, changes: dict[str, Any], present: str, missing: str
) -> None:
    card = render_card(replace(facts, **changes))
    assert present in card
    assert missing not in card


def test_scores_without_kinds_or_categories(facts: CardFacts) -> None:
    meter = ScoreMeter()
    meter.add(np.ones((4, 4), bool), np.ones((4, 4), bool))
    card = render_card(replace(facts, scores=meter.scores()))
    assert [row[0] for row in rows_of(card)].count("all") == 1
    assert "| category |" not in card


def test_the_front_matter_is_valid_for_the_hub(facts: CardFacts) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(render_card(facts), ignore_metadata_errors=False).data
    assert data.library_name == "rrsis-geo"
    assert data.pipeline_tag == "image-segmentation"
    assert "remote-sensing" in data.tags
    assert data.license is None  # the user must choose it


def test_the_card_of_the_last_weights_does_not_say_that_they_were_chosen(facts: CardFacts) -> None:
    assert "The step was chosen on these samples" in render_card(facts)
    card = render_card(replace(facts, best_by=None))
    assert "3000 of 4000, the last that was validated" in card
    assert "chosen" not in card
