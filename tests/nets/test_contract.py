"""The contract that every network fulfils."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rrsis_geo.nets.base import SegOutput
from rrsis_geo.text.batch import TextBatch


def single_expression(tokens: TextBatch, row: int) -> TextBatch:
    return TextBatch(*(field[row : row + 1] for field in tokens))


def assert_same_sums(logits: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the order of float32 sums: a few units in the last place of the largest."""
    largest = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(logits, expected, atol=2e-5 * largest, rtol=1e-4)


def test_shapes(net, image, make_tokens):
    out = net(image, make_tokens([8, 5]))
    assert out.logits.shape == (2, 96, 96)
    assert out.logits.dtype == torch.float32
    assert out.aux == {}
    if getattr(net.config, "presence", False):
        assert out.presence.shape == (2,)
    else:
        assert out.presence is None


def test_batch_equals_its_images_one_by_one(net, image, make_tokens):
    tokens = make_tokens([8, 5])
    both = net(image, tokens).logits
    each = torch.cat([net(image[i : i + 1], single_expression(tokens, i)).logits for i in range(2)])
    assert_same_sums(both, each)


def test_words_of_one_expression_work_with_many_images(net, image, make_tokens):
    tokens = make_tokens([7])
    words = net.encode_text(tokens)
    shared = net.segment(image, words).logits
    each = torch.cat([net(image[i : i + 1], tokens).logits for i in range(2)])
    assert_same_sums(shared, each)


def test_encoded_images_work_with_many_expressions(net, image, make_tokens):
    pixels = net.encode_image(image)
    for length in (7, 4):
        words = net.encode_text(make_tokens([length]))
        assert torch.equal(net.segment(pixels, words).logits, net.segment(image, words).logits)


class RecordWaits(TorchDispatchMode):
    """Keeps the operations for which a GPU must be waited: values that come back, or go there."""

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in self.waits:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def test_segment_does_not_wait_for_a_gpu(net, image, make_tokens):
    words = net.encode_text(make_tokens([7]))
    with torch.no_grad():
        net.segment(net.encode_image(image), words)  # what is made once
        with RecordWaits() as waits:
            net.segment(net.encode_image(image), words)
    assert waits.found == []


def test_padding_does_not_change_the_logits(net, image, make_tokens):
    short = make_tokens([6, 6], length=6)
    padded = TextBatch(*(torch.nn.functional.pad(field, (0, 5)) for field in short))
    longer = TextBatch(
        *(torch.cat([a, b]) for a, b in zip(padded, make_tokens([11], length=11), strict=True))
    )
    reference = net(image, short).logits
    torch.testing.assert_close(net(image, padded).logits, reference, atol=1e-6, rtol=1e-5)
    # next to a longer expression, the padding is not dropped before the network
    three = torch.cat([image, image[:1]])
    assert_same_sums(net(three, longer).logits[:2], reference)


def test_forward_is_segment_of_encode_text(net, image, make_tokens):
    tokens = make_tokens([8, 5])
    assert torch.equal(
        net(image, tokens).logits, net.segment(image, net.encode_text(tokens)).logits
    )


def test_gradients_reach_every_parameter(net, image, make_tokens):
    net.train()
    for block in net.modules():
        for layer, act in pairwise(block if isinstance(block, nn.Sequential) else ()):
            if isinstance(act, nn.ReLU) and getattr(layer, "bias", None) is not None:
                layer.bias.data += 1  # or the few units of a small network may all be off by chance
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    target[0, 20:50, 30:60] = True
    net.loss(net(image, make_tokens([8, 5])), target)["total"].backward()
    without_gradient = [
        name
        for name, parameter in net.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
    ]
    assert without_gradient == []


def test_parameters_without_gradient_are_left_out_of_bundles(net):
    fixed = [name for name, parameter in net.named_parameters() if not parameter.requires_grad]
    assert all(name.startswith(net.training_only) for name in fixed)


def test_its_tensors_are_known_without_memory(net):
    """Bundles compare their weights with a network on the device "meta"."""
    with torch.device("meta"):
        shapes = type(net)(net.config).state_dict()
    assert all(tensor.is_meta for tensor in shapes.values())
    assert {name: tensor.shape for name, tensor in shapes.items()} == {
        name: tensor.shape for name, tensor in net.state_dict().items()
    }


def test_bfloat16_is_close_to_float32(net, image, make_tokens):
    tokens = make_tokens([8, 5])
    exact = net(image, tokens).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(image, tokens).logits
    # bfloat16 has 8 bits of precision: a few hundredths of the standard deviation
    spread = exact.std()
    assert (rough - exact).abs().mean() < 0.12 * spread
    assert rough.dtype == torch.float32


def test_constant_window_gives_finite_logits(net, make_tokens):
    for level in (-2.0, 0.0, 2.6):
        out: SegOutput = net(torch.full((1, 3, 96, 96), level), make_tokens([8]))
        assert out.logits.isfinite().all()


def test_sides_that_the_network_cannot_read_raise(net, make_tokens):
    with pytest.raises(ValueError, match=r"multiples of|must be 96 x 96"):
        net(torch.zeros(1, 3, 98, 96), make_tokens([5]))


def test_ignored_pixels_change_no_term_of_the_loss(net, image, make_tokens):
    net.train()
    tokens = make_tokens([8, 5])
    torch.manual_seed(0)
    target = torch.rand(2, 96, 96) > 0.7
    ignored = torch.zeros_like(target)
    ignored[:, 30:] = True
    terms = []
    for truth in (target, target ^ ignored):
        torch.manual_seed(1)  # the same dropout
        terms.append(net.loss(net(image, tokens), truth, ignored))
    assert terms[0].keys() == terms[1].keys()
    for name, value in terms[0].items():
        torch.testing.assert_close(terms[1][name], value)
    torch.manual_seed(1)
    everywhere = net.loss(net(image, tokens), target)
    assert not torch.allclose(everywhere["total"], terms[0]["total"])
