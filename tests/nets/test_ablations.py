"""Each term of the loss and each switch of an ablation changes what it should, and nothing else."""

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


def parts_of(net, image, tokens):
    """Loss parts of the same forward pass each time, dropout included."""
    torch.manual_seed(1)
    return net.train().loss(net(image, tokens), TARGET)


@pytest.mark.parametrize(("term", "name", "value"), [(t, *w) for t, w in WEIGHTS.items()])
def test_a_weight_scales_its_own_term(term, name, value, image, make_tokens):
    tokens = make_tokens([8, 5])
    before = parts_of(make_net("btdnet", LITE, **{name: value}), image, tokens)
    after = parts_of(make_net("btdnet", LITE, **{name: 2 * value}), image, tokens)
    assert before[term] > 0
    for part, loss in before.items():
        if part != "total":
            torch.testing.assert_close(after[part], (2 if part == term else 1) * loss)
    torch.testing.assert_close(after["total"], before["total"] + before[term])


def gradient_of(net, parts, term, prefix):
    """Length of the gradient of one term on the parameters of one part of the network."""
    own = [p for name, p in net.named_parameters() if name.startswith(prefix)]
    found = torch.autograd.grad(parts[term], own, retain_graph=True, allow_unused=True)
    return sum(float(g.norm()) for g in found if g is not None)


def test_each_term_teaches_the_parts_that_it_speaks_of(image, make_tokens):
    net = make_net("btdnet", LITE, background_in_mci=False)
    parts = parts_of(net, image, make_tokens([8, 5]))
    reaches = {
        (term, part): gradient_of(net, parts, term, part) > 0
        for term in ("foreground", "background", "reconstruction", "presence")
        for part in ("trunk.", "text.", "background.", "reconstruction.", "presence.")
    }
    everything = {"trunk.", "text."}
    taught = {
        "foreground": everything,
        "background": everything | {"background."},
        "reconstruction": everything | {"reconstruction."},
        "presence": everything | {"background.", "presence."},
    }
    assert {pair for pair, yes in reaches.items() if yes} == {
        (term, part) for term, own in taught.items() for part in own
    }


def background_of(net, tokens):
    return net.encode_text(tokens).background


def test_the_prior_makes_background_tokens_depend_on_the_expression(make_tokens):
    one, other = make_tokens([8]), make_tokens([5])
    with_prior = make_net("btdnet", LITE)
    assert not torch.allclose(background_of(with_prior, one), background_of(with_prior, other))
    without = make_net("btdnet", LITE, background_prior=False)
    assert torch.equal(background_of(without, one), background_of(without, other))
    assert without.encode_text(one).background.shape[1] == 5


@pytest.mark.parametrize("count", [3, 5, 7])
def test_there_are_as_many_background_tokens_as_asked_for(count, make_tokens):
    net = make_net("btdnet", LITE, background_tokens=count)
    assert background_of(net, make_tokens([8])).shape == (1, count, 48)


@pytest.mark.parametrize("in_mci", [True, False])
def test_background_tokens_see_the_image_in_mci_only(in_mci, image, make_tokens, monkeypatch):
    net = make_net("btdnet", LITE, background_in_mci=in_mci)
    seen = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: seen.append(forward(*args)) or seen[-1]
    )
    net.segment(image, net.encode_text(make_tokens([8])))
    _, fg_BE, bg_BE = seen[0]
    assert not torch.allclose(fg_BE[0], fg_BE[1])
    assert torch.equal(bg_BE[0], bg_BE[1]) == (not in_mci)


@pytest.mark.parametrize("to_text", [True, False])
def test_the_text_depends_on_the_image_by_one_half_of_the_correlation(
    to_text, image, make_tokens, monkeypatch
):
    net = make_net("btdnet", LITE, bsc_to_text=to_text)
    seen = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: seen.append(args[2]) or forward(*args)
    )
    net.segment(image, net.encode_text(make_tokens([8])))
    text = seen[0]
    assert (len(text) == 1 or torch.equal(text[0], text[1])) == (not to_text)


@pytest.mark.parametrize("stages", [[], [4], [1, 2, 3, 4]])
def test_words_reach_the_pixels_at_the_stages_named(stages, image, make_tokens, monkeypatch):
    net = make_net("btdnet", LITE, bsc_stages=stages)
    seen = []
    forward = net.decoder.forward
    monkeypatch.setattr(
        net.decoder, "forward", lambda *args: seen.append(args[1]) or forward(*args)
    )
    for tokens in (make_tokens([8]), make_tokens([5])):
        net.segment(image, net.encode_text(tokens))
    changed = [
        stage
        for stage, (one, other) in enumerate(zip(*seen, strict=True), start=1)
        if not torch.equal(one, other)
    ]
    assert changed == stages
