"""Windows that are predicted mirrored too."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_net
from numpy.typing import NDArray

from rrsis_geo.errors import ConfigError
from rrsis_geo.log_odds import to_probability
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.model.presence import ABSENT_LOG_ODDS

FLIPS = [(), (2,), (1,), (1, 2)]


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


def make_predictor(*, presence: bool = True, **options: object) -> Predictor:
    """A predictor of TinyNet, whose convolution is not symmetric."""
    bundle = tiny_net.make_bundle(net=tiny_net.make_net(presence=presence))
    return Predictor(replace(bundle, language="resolved"), "cpu", "fp32", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("presence", [True, False])
def test_the_log_odds_are_the_mean_of_four_views(images: NDArray[np.uint8], presence: bool) -> None:
    plain, averaged = make_predictor(presence=presence), make_predictor(presence=presence, tta=True)
    views = [plain.predict(np.flip(images, axes), plain.encode("the road")) for axes in FLIPS]
    found = averaged.predict(images, averaged.encode("the road"))
    expected = np.mean(
        [np.flip(view.logits, axes) for view, axes in zip(views, FLIPS, strict=True)], 0
    )
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(found.logits - views[0].logits).max() > 0.1
    if presence:
        np.testing.assert_allclose(
            found.presence,  # type: ignore[arg-type]
            np.mean([view.presence for view in views], 0),
            rtol=1e-5,
        )
    else:
        assert found.presence is None


def test_a_mirrored_window_has_the_mirrored_answer(images: NDArray[np.uint8]) -> None:
    plain, averaged = make_predictor(), make_predictor(tta=True)
    for axes in FLIPS[1:]:
        errors = [
            np.abs(
                np.flip(each.predict(np.flip(images, axes), words).logits, axes)
                - each.predict(images, words).logits
            ).max()
            for each in (plain, averaged)
            for words in [each.encode("the road")]
        ]
        assert errors[0] > 0.1
        assert errors[1] < 1e-4


def test_the_threshold_of_presence_is_for_the_mean(images: NDArray[np.uint8]) -> None:
    averaged = make_predictor(tta=True)
    words = averaged.encode("the road")
    presence = averaged.predict(images, words).presence
    assert presence is not None
    middle = to_probability(float(np.sort(presence)[:2].mean()))
    averaged.presence = middle
    logits = averaged.predict(images, words).logits
    is_dropped = (logits <= ABSENT_LOG_ODDS).all((1, 2))
    assert is_dropped.tolist() == (presence == presence.min()).tolist()


def test_all_expressions_and_pairs_have_the_same_answers(images: NDArray[np.uint8]) -> None:
    averaged = make_predictor(tta=True)
    texts = ["the road", "all buildings", "the truck"]
    outputs = averaged.predict_all(images, [averaged.encode(text) for text in texts])
    pairs = averaged.predict_pairs(images, texts)
    for number, output in enumerate(outputs):
        np.testing.assert_allclose(
            pairs.logits[number], output.logits[number], rtol=1e-5, atol=1e-5
        )
    averaged.batch_limit = 2
    again = averaged.predict_all(images, [averaged.encode(texts[0])])[0]
    np.testing.assert_allclose(again.logits, outputs[0].logits, rtol=1e-5, atol=1e-5)


def test_a_network_that_reads_sides_is_refused() -> None:
    message = 'tiny: its network reads words of sides such as "left"'
    with pytest.raises(ConfigError, match=message):
        Predictor(tiny_net.make_bundle(), "cpu", tta=True)


def test_facts_say_so() -> None:
    assert (make_predictor(tta=True).facts.tta, make_predictor().facts.tta) == (True, False)
