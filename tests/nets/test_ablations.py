"""Effect of each loss weight and of each ablation setting."""

import pytest
import torch
from small_nets import LITE, make_net

TARGET = torch.zeros(2, 96, 96, dtype=torch.bool)
TARGET[0, 20:50, 30:60] = True
WEIGHTS = {
    "background": ("background_weight", 0.6),
    "reconstruction": ("reconstruction_weight", 0.1),
    "dice": ("dice_weight", 0.5),
    "presence": ("presence_weight", 0.5),
}


def loss_terms(net, image, tokens):
    """Loss terms with a fixed random seed, so that dropout is the same each time."""
    torch.manual_seed(1)
    return net.train().loss(net(image, tokens), TARGET)


@pytest.mark.parametrize(("term", "name", "value"), [(t, *w) for t, w in WEIGHTS.items()])
def test_a_weight_scales_its_own_term(term, name, value, image, make_tokens):
    tokens = make_tokens([8, 5])
    before = loss_terms(make_net("btdnet", LITE, **{name: value}), image, tokens)
    after = loss_terms(make_net("btdnet", LITE, **{name: 2 * value}), image, tokens)
    assert before[term] > 0
    for part, loss in before.items():
        if part != "total":
            torch.testing.assert_close(after[part], (2 if part == term else 1) * loss)
    torch.testing.assert_close(after["total"], before["total"] + before[term])


def gradient_norm(net, parts, term, prefix):
    """Norm of the gradient of one loss term in one part of the network."""
    parameters = [p for name, p in net.named_parameters() if name.startswith(prefix)]
    gradients = torch.autograd.grad(parts[term], parameters, retain_graph=True, allow_unused=True)
    return sum(float(g.norm()) for g in gradients if g is not None)


def test_each_loss_term_trains_its_parts_of_the_network(image, make_tokens):
    net = make_net("btdnet", LITE, background_in_mci=False)
    parts = loss_terms(net, image, make_tokens([8, 5]))
    has_gradient = {
        (term, part): gradient_norm(net, parts, term, part) > 0
        for term in ("foreground", "background", "reconstruction", "presence")
        for part in ("trunk.", "text.", "background.", "reconstruction.", "presence.")
    }
    encoders = {"trunk.", "text."}
    expected = {
        "foreground": encoders,
        "background": encoders | {"background."},
        "reconstruction": encoders | {"reconstruction."},
        "presence": encoders | {"background.", "presence."},
    }
    assert {pair for pair, yes in has_gradient.items() if yes} == {
        (term, part) for term, parts_of_net in expected.items() for part in parts_of_net
    }


def background_tokens(net, tokens):
    return net.encode_text(tokens).background


def test_background_tokens_depend_on_the_expression_with_the_prior_only(make_tokens):
    one, other = make_tokens([8]), make_tokens([5])
    with_prior = make_net("btdnet", LITE)
    assert not torch.allclose(
        background_tokens(with_prior, one), background_tokens(with_prior, other)
    )
    without = make_net("btdnet", LITE, background_prior=False)
    assert torch.equal(background_tokens(without, one), background_tokens(without, other))
    assert without.encode_text(one).background.shape[1] == 5


@pytest.mark.parametrize("count", [3, 5, 7])
def test_number_of_background_tokens_is_the_setting(count, make_tokens):
    net = make_net("btdnet", LITE, background_tokens=count)
    assert background_tokens(net, make_tokens([8])).shape == (1, count, 48)


@pytest.mark.parametrize("in_mci", [True, False])
def test_background_tokens_depend_on_the_image_only_in_mci(in_mci, image, make_tokens, monkeypatch):
    net = make_net("btdnet", LITE, background_in_mci=in_mci)
    outputs = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: outputs.append(forward(*args)) or outputs[-1]
    )
    net.segment(image, net.encode_text(make_tokens([8])))
    _, fg_BE, bg_BE = outputs[0]
    assert not torch.allclose(fg_BE[0], fg_BE[1])
    assert torch.equal(bg_BE[0], bg_BE[1]) == (not in_mci)


@pytest.mark.parametrize("to_text", [True, False])
def test_text_depends_on_the_image_only_with_bsc_to_text(to_text, image, make_tokens, monkeypatch):
    net = make_net("btdnet", LITE, bsc_to_text=to_text)
    texts = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: texts.append(args[2]) or forward(*args)
    )
    net.segment(image, net.encode_text(make_tokens([8])))
    text = texts[0]
    assert (len(text) == 1 or torch.equal(text[0], text[1])) == (not to_text)


@pytest.mark.parametrize("stages", [[], [4], [1, 2, 3, 4]])
def test_words_change_the_pixels_at_the_stages_of_bsc(stages, image, make_tokens, monkeypatch):
    net = make_net("btdnet", LITE, bsc_stages=stages)
    maps = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: maps.append(args[1]) or forward(*args)
    )
    for tokens in (make_tokens([8]), make_tokens([5])):
        net.segment(image, net.encode_text(tokens))
    changed = [
        stage
        for stage, (one, other) in enumerate(zip(*maps, strict=True), start=1)
        if not torch.equal(one, other)
    ]
    assert changed == stages
