"""Rewording of training expressions."""

import numpy as np

from rrsis_geo.data.expressions.rewording import (
    reword_expression,
    write_foreign_expression,
)
from rrsis_geo.text.vocabulary import FOREIGN_THINGS


def variants(expression: str, n: int = 300) -> set[str]:
    return {reword_expression(expression, np.random.default_rng(i)) for i in range(n)}


def test_rare_names_keep_the_number() -> None:
    texts = variants("the white airplanes next to the harbor")
    assert "the white jetliners next to the wharf" in texts
    assert not any("airplane" in text or "harbor" in text for text in texts)
    texts = variants("the red car at the bottom")
    assert any(text.startswith("the red sedan at the bottom") for text in texts)


def test_articles_match_the_new_name() -> None:
    texts = variants("an airplane")
    assert "a jet" in texts
    assert "an airliner" in texts


def test_the_head_of_a_long_name_takes_the_plural() -> None:
    assert "places to play tennis" in variants("tennis courts")
    assert "pools of water" in variants("swimming pools")
    assert "all plants" in variants("all vegetation")


def test_requests_and_asides_are_rare() -> None:
    texts = [reword_expression("blue trucks", np.random.default_rng(i)) for i in range(1000)]
    plain = sum(text.startswith("blue ") and text.count(" ") <= 3 for text in texts)
    assert 600 < plain < 850
    assert any(text.startswith("show me blue ") for text in texts)


def test_unknown_names_stay() -> None:
    assert "the thing over there" in variants("the thing over there")


def test_foreign_expressions() -> None:
    # "tank" is replaced inside longer names too
    assert all(name in text for name in FOREIGN_THINGS for text in variants(name, 5))
    texts = {write_foreign_expression(np.random.default_rng(i)) for i in range(10000)}
    assert {"the dam", "all the cooling towers", "an igloo"} <= texts
    assert any(text.endswith("horses on the left") for text in texts)
