"""Fragments of expressions by the rules of FIANet's code."""

import sys

import pytest

from rrsis_geo.errors import ConfigError
from rrsis_geo.model.bundle import load_settings
from rrsis_geo.text import reference_phrases
from rrsis_geo.text.reference_phrases import find_reference_places
from rrsis_geo.text.tokenizer import Tokenizer


@pytest.mark.parametrize(
    ("expression", "objects"),
    [
        ("the ship by the harbor", {2, 5}),  # reference objects too
        ("a tennis court", {2, 3}),
        ("the tennis court by the tennis court", {2, 3}),  # the first occurrence only
        ("a boat in the shipyard", {5}),  # inside of a word
        ("the airport", {2}),
        ("Ship on the left", set()),  # upper and lower case differ
        ("a green field", set()),
        ("two storage tanks", {2, 3}),
    ],
)
def test_objects(expression, objects):
    assert find_reference_places(expression, "reference-rrsisd").objects == objects


@pytest.mark.parametrize(
    ("expression", "positions"),
    [
        ("the ship on the left", {3, 4, 5}),
        ("the ship on the lower left", {3, 4, 5, 6}),
        ("the ship in the harbor in the middle", {3, 4, 5}),  # both are at the first "in"
        ("the ship on the roof", set()),  # "of" is in "roof"
        ("the ship of the line", set()),
        ("the ship near ships", set()),  # no plurals
        ("the ship", set()),
    ],
)
def test_positions(expression, positions):
    assert find_reference_places(expression, "reference-rrsisd").positions == positions


def test_names_are_those_of_the_dataset():
    expression = "the van on the road marking"
    assert find_reference_places(expression, "reference-rrsisd").objects == set()
    # "road" and "road marking" begin at the same word
    assert find_reference_places(expression, "reference-refsegrs").objects == {2, 5, 6}


def test_the_tokenizer_takes_words_for_tokens():
    """The word "unobservable" has several pieces, so the code marks pieces of other words."""
    shipped, _ = load_settings()
    expression = "unobservable ship on the left"
    aligned, reference = (
        Tokenizer(shipped.vocabulary, max_tokens=20, text_rules=rules).encode([expression])
        for rules in ("aligned", "reference-rrsisd")
    )
    pieces = [shipped.vocabulary[i] for i in aligned.ids[0].tolist()]
    n_more = pieces.index("ship") - 2
    assert n_more > 0
    assert aligned.objects[0].nonzero().flatten().tolist() == [2 + n_more]
    assert reference.objects[0].nonzero().flatten().tolist() == [2]
    assert reference.positions[0].nonzero().flatten().tolist() == [3, 4, 5]


def test_places_after_the_last_token_are_cut_and_empty_positions_are_all_tokens():
    shipped, _ = load_settings()
    tokenizer = Tokenizer(
        shipped.vocabulary, max_tokens=5, keep_separator=False, text_rules="reference-rrsisd"
    )
    tokens = tokenizer.encode(["the big white tennis court", "the ship"])
    assert tokens.objects.tolist() == [
        [False, False, False, False, True],
        [False, False, True, False, False],
    ]
    assert tokens.positions[1].tolist() == tokens.attention[1].tolist()


def test_the_rules_of_a_tokenizer_are_saved():
    shipped, _ = load_settings()
    tokenizer = Tokenizer(shipped.vocabulary, max_tokens=20, text_rules="reference-refsegrs")
    assert tokenizer.to_dict()["text_rules"] == "reference-refsegrs"
    assert shipped.to_dict()["text_rules"] == "aligned"


def test_rules_without_nltk_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model fails when it is loaded, not at its first window."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ship"]
    monkeypatch.setitem(sys.modules, "nltk.tokenize", None)
    reference_phrases._word_tokenizer.cache_clear()
    with pytest.raises(ConfigError, match=r'pip install "rrsis-geo\[fianet\]"'):
        Tokenizer(vocabulary, max_tokens=8, text_rules="reference-rrsisd")
    assert Tokenizer(vocabulary, max_tokens=8).text_rules == "aligned"
