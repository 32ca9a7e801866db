"""Networks and tokens shared by the tests of nets."""

from collections.abc import Callable

import pytest
import torch
from small_nets import NETS, make_net

from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.batch import TextBatch


@pytest.fixture(params=NETS, ids=list(NETS))
def net(request: pytest.FixtureRequest) -> ReferringNet:
    """A small network of each kind in eval mode, always with the same weights."""
    return make_net(*NETS[request.param])


@pytest.fixture
def make_tokens() -> Callable[..., TextBatch]:
    """Make random tokens of given lengths, padded to ``length``.

    Token 2 is the subject, tokens 2 and 3 name an object.
    """

    def make(lengths: list[int], length: int = 12, seed: int = 0) -> TextBatch:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(5, 200, (len(lengths), length), generator=generator)
        attention = torch.arange(length)[None] < torch.tensor(lengths)[:, None]
        subject = torch.zeros_like(attention)
        subject[:, 2] = True
        objects = subject.clone()
        objects[:, 3] = True
        return TextBatch(ids * attention, attention, subject, objects, attention)

    return make


@pytest.fixture
def image() -> torch.Tensor:
    """Two random images, float32 [2, 3, 96, 96]."""
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
