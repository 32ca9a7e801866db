"""Recomputed activations: the same gradients, also with dropout, and less memory."""

import pytest
import torch
from torch import Tensor

from rrsis_geo.nets import build_net
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.train.recomputation import recompute_activations

SETTINGS = {
    "trunk": "test_convnext",
    "image_px": 64,
    "drop_path": 0.2,
    "text": {
        **{"vocab_size": 50, "width": 32, "heads": 4, "ffn_width": 64, "max_tokens": 16},
        **{"stages": [1, 1, 1, 1], "dropout": 0.2},
    },
    "width": 32,
    "heads": 4,
    "mci_layers": 2,
}


def make_net() -> ReferringNet:
    torch.manual_seed(0)
    return build_net("btdnet", SETTINGS)


def tokens() -> TextBatch:
    ids = torch.arange(12).view(2, 6) + 5
    attention = torch.ones(2, 6, dtype=torch.bool)
    subject = torch.zeros_like(attention)
    subject[:, 2] = True
    return TextBatch(ids, attention, subject, subject, subject)


def count_saved_and_gradients(
    net: ReferringNet, dtype: torch.dtype
) -> tuple[int, dict[str, Tensor]]:
    """Number of values saved for the backward pass, and the gradients."""
    sizes: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        sizes[tensor.data_ptr()] = tensor.numel()
        return tensor

    torch.manual_seed(1)
    image = torch.randn(2, 3, 64, 64)
    target = torch.zeros(2, 64, 64, dtype=torch.bool)
    target[0, 10:30, 20:40] = True
    with (
        torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor),
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
    ):
        loss = net.loss(net(image, tokens()), target)["total"]
    loss.backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return sum(sizes.values()), gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_are_the_same_and_less_is_saved(dtype):
    plain, recomputing = make_net().train(), make_net().train()
    recompute_activations(recomputing)
    saved, expected = count_saved_and_gradients(plain, dtype)
    saved_less, got = count_saved_and_gradients(recomputing, dtype)
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []
    assert saved_less < 0.6 * saved


def test_nothing_changes_in_eval_mode():
    plain, recomputing = make_net().eval(), make_net().eval()
    recompute_activations(recomputing)
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(plain(image, tokens()).logits, recomputing(image, tokens()).logits)
    assert plain.state_dict().keys() == recomputing.state_dict().keys()
