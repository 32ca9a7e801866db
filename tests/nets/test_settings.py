"""Settings of networks are checked before memory is allocated for them."""

from typing import Any

import pytest
from small_nets import LITE, make_net

from rrsis_geo.errors import ConfigError
from rrsis_geo.nets import build_net


@pytest.mark.parametrize("value", [-1, 10**9, 10**30])
@pytest.mark.parametrize(
    "name",
    [
        *("image_px", "drop_path", "bsc_text_width", "width", "heads", "mci_layers", "ffn_ratio"),
        *("fine_width", "background_tokens", "background_weight", "reconstruction_weight"),
        *("dice_weight", "presence_weight", "text.vocab_size", "text.width", "text.heads"),
        *("text.ffn_width", "text.max_tokens", "text.dropout"),
    ],
)
def test_sizes_out_of_range_raise(name: str, value: int) -> None:
    *parents, field = name.split(".")
    settings: dict[str, Any] = {field: value}
    with pytest.raises(ConfigError, match=field):
        build_net("btdnet", {parents[0]: settings} if parents else settings)


@pytest.mark.parametrize("name", ["width", "heads", "text.width", "text.heads", "text.vocab_size"])
def test_sizes_of_zero_raise(name: str) -> None:
    *parents, field = name.split(".")
    settings: dict[str, Any] = {field: 0}
    with pytest.raises(ConfigError, match=field):
        build_net("btdnet", {parents[0]: settings} if parents else settings)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bsc_stages", [[5], [0], [10**9]]),
        ("vision_windows", [[], [2], [-1], [10**9 + 1], [3] * 9]),
        ("text_windows", [[], [32], [0]]),
    ],
)
def test_lists_out_of_range_raise(name: str, values: list[list[int]]) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=name):
            build_net("btdnet", {name: value})


@pytest.mark.parametrize(
    "stages", [[1, 1, 1], [1, 1, 1, -1], [0, 0, 0, 0], [1, 1, 1, 10**9], [7, 7, 7, 7]]
)
def test_layers_out_of_range_raise(stages: list[int]) -> None:
    with pytest.raises(ConfigError, match="stages"):
        build_net("btdnet", {"text": {"stages": stages}})


@pytest.mark.parametrize("name", ["place_prior", "order_prior"])
def test_removed_priors_are_refused_with_what_to_do(name: str) -> None:
    message = f'settings of btdnet: "{name}" was removed: .*train the bundle again'
    with pytest.raises(ConfigError, match=message):
        make_net("btdnet", LITE, **{name: True})


def test_removed_priors_may_be_switched_off() -> None:
    """Every bundle of an earlier version has these settings, those of the paper's network too."""
    net = make_net("btdnet", LITE, place_prior=False, order_prior=False)
    assert net.config == make_net("btdnet", LITE).config
