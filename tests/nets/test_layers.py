"""Shared layers against the equivalent layers of torch."""

import torch
from torch import nn

from rrsis_geo.nets.layers import Attention, ChannelNorm, sine_positions


def test_attention_equals_torch():
    torch.manual_seed(0)
    mine = Attention(32, 4)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(mine.state_dict())
    query, memory = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    valid = torch.arange(7)[None] < torch.tensor([[7], [3]])
    expected, _ = theirs(query, memory, memory, key_padding_mask=~valid)
    torch.testing.assert_close(mine(query, memory, memory, valid), expected)


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
