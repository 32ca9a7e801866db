"""Shared layers against the equivalent layers of torch."""

import re
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from repository import ROOT
from torch import Tensor, nn

from rrsis_geo.nets.layers import (
    Attention,
    ChannelNorm,
    average_to,
    instance_norm,
    sample_at,
    sine_positions,
)


@pytest.mark.parametrize(
    ("n_queries", "n_keys", "masked"),
    [(5, 7, True), (8, 40, False), (8, 40, True), (9, 40, False), (40, 16, True), (40, 17, True)],
)
@pytest.mark.parametrize("training", [True, False])
def test_attention_equals_torch(n_queries, n_keys, masked, training):
    """Inference multiplies the weights in another order where queries or keys are few."""
    torch.manual_seed(0)
    mine = Attention(32, 4).train(training)
    nn.init.normal_(mine.in_proj_bias)
    nn.init.normal_(mine.out_proj.bias)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(mine.state_dict())
    query, memory = torch.randn(2, n_queries, 32), torch.randn(2, n_keys, 32)
    valid = torch.arange(n_keys)[None] < torch.tensor([[n_keys], [3]]) if masked else None
    padding = None if valid is None else ~valid
    value = torch.randn(2, n_keys, 32)
    expected, _ = theirs(query, memory, value, key_padding_mask=padding)
    torch.testing.assert_close(mine(query, memory, value, valid), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("plain", [True, False])
def test_instance_norm_equals_torch(layout, plain):
    torch.manual_seed(0)
    maps = (torch.randn(2, 6, 9, 7) * 5 + 100).contiguous(memory_format=layout)
    normed = instance_norm(maps, plain=plain)
    torch.testing.assert_close(normed, F.instance_norm(maps.double()).float(), atol=2e-5, rtol=0)
    if not plain:
        assert normed.stride() == maps.stride()


def test_channel_norm_normalises_over_channels():
    out = ChannelNorm(6)(torch.randn(2, 6, 3, 4))
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    assert out.shape == (2, 6, 3, 4)


def test_positions_of_levels_are_consistent():
    positions = sine_positions([(4, 4), (2, 2)], 16, torch.device("cpu"))
    assert positions.shape == (1, 20, 16)
    # the centre of a coarse pixel is in the middle of its four fine pixels
    fine, coarse = positions[0, :16].view(4, 4, 16), positions[0, 16:].view(2, 2, 16)
    nearest = (fine.flatten(0, 1) - coarse[0, 0]).norm(dim=1).argsort()[:4]
    assert sorted(nearest.tolist()) == [0, 1, 4, 5]


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def check_same(mine: Callable[..., Tensor], theirs: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Check outputs and gradients."""
    results = []
    for layer in (mine, theirs):
        copies = [value.clone().requires_grad_() for value in inputs]
        out = layer(*copies)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        results.append((out, *(value.grad for value in copies)))
    torch.testing.assert_close(*results)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("size", [(15, 15), (7, 4), (1, 1), (33, 20), (40, 21)])
def test_averages_without_an_order_of_threads_are_those_of_torch(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 33, 20, dtype=torch.float64)
    check_same(
        lambda value: average_to(value, size),
        lambda value: F.adaptive_avg_pool2d(value, size),
        maps,
    )


@pytest.mark.usefixtures("deterministic")
def test_samples_without_an_order_of_threads_are_those_of_torch() -> None:
    """Also at the edges and outside of the map."""
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    points = 3 * torch.rand(2, 50, 4, 2, dtype=torch.float64) - 1.5
    check_same(sample_at, lambda *inputs: F.grid_sample(*inputs, align_corners=False), maps, points)


@pytest.mark.usefixtures("deterministic")
def test_averages_keep_their_type_under_autocast() -> None:
    maps = torch.rand(1, 2, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = average_to(maps, (2, 2))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, F.adaptive_avg_pool2d(maps.float(), 2).bfloat16())


def test_no_network_uses_operations_that_are_not_deterministic_on_a_gpu() -> None:
    """Those that `torch.use_deterministic_algorithms` lists, as far as networks would use them."""
    names = re.compile(
        r"adaptive_\w+_pool|AdaptiveA|AdaptiveM|grid_sample|nll_loss|NLLLoss|F\.cross_entropy"
        r"|reflect|median|histc"
    )
    found = {
        path.name: match[0]
        for path in (ROOT / "rrsis_geo" / "nets").rglob("*.py")
        if path.name != "layers.py" and (match := names.search(path.read_text()))
    }
    assert found == {}
