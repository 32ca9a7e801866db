"""BTDNet: size, BSC against a literal form, ablations, losses and the inference rule."""

import math

import pytest
import torch
import torch.nn.functional as F
from small_nets import LITE, PAPER, make_net

from rrsis_geo.config import build, to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import SegOutput, gate_logits
from rrsis_geo.nets.bert import TextConfig
from rrsis_geo.nets.bsc import SpatialCorrelation
from rrsis_geo.nets.btdnet import (
    BTDNet,
    _pool_tokens,
)
from rrsis_geo.nets.btdnet_config import PRESETS, BTDNetConfig


def millions(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_paper_preset_has_the_size_of_the_paper():
    with torch.device("meta"):
        net = BTDNet(PRESETS["btdnet"])
    assert millions(net) == pytest.approx(283.2, abs=0.05)
    assert millions(net.bsc) == pytest.approx(51.6, abs=0.05)
    assert millions(net.reconstruction) == pytest.approx(19.7, abs=0.05)
    assert millions(net.text) == pytest.approx(108.9, abs=0.05)
    assert net.trunk.channels == (128, 256, 512, 1024)


def test_lite_preset_has_fewer_than_33_million_parameters():
    with torch.device("meta"):
        net = BTDNet(PRESETS["btdnet-lite"])
    assert net.trunk.channels == (24, 40, 112, 320)
    assert millions(net) - millions(net.reconstruction) < 33


def test_presets_survive_json():
    for preset in PRESETS.values():
        assert build(BTDNetConfig, to_dict(preset)) == preset


# --- BSC against its equations in literal form ---------------------------------------------------


def unfold_pixels(pixels, r):
    """Eq. (2): the r x r window of each pixel, zeros outside, [B, C, H, W] -> [B, H W, C r r]."""
    return F.unfold(pixels, r, padding=r // 2).transpose(1, 2)


def unfold_tokens(words, r):
    """Eq. (2): the window of r tokens, ends repeated, [B, L, D] -> [B, L, D r]."""
    padded = F.pad(words.transpose(1, 2), (r // 2, r // 2), mode="replicate")
    return padded.unfold(2, r, 1).permute(0, 2, 1, 3).flatten(2)


def literal_correlation(bsc, pixels, words):
    """Eq. (2) to (4) with explicit unfolds, projections and affinities, without padding."""
    B, C, H, W = pixels.shape
    vision = bsc.to_vision
    share = vision.mix.softmax(0)
    affinity = 0
    for i, (reduce, window) in enumerate(zip(vision.reduce, vision.window, strict=True)):
        cells = unfold_pixels(F.instance_norm(reduce(pixels)), window.kernel_size[0])
        query = cells @ window.weight.flatten(1).T + window.bias  # [B, N, C]
        key = vision.keys[i](words)
        affinity = affinity + share[i] * (query @ key.transpose(1, 2) / C**0.5).softmax(-1)
    aligned = (affinity @ bsc.values(words)) @ bsc.aligned.weight.T
    aligned = aligned.transpose(1, 2).view(B, C, H, W)
    fused = bsc.fused(F.gelu(bsc.visual(pixels)) * F.instance_norm(aligned))
    new_pixels = pixels + F.instance_norm(bsc.gate(fused)).tanh() * fused

    text = bsc.to_text
    share = text.mix.softmax(0)
    flat = F.instance_norm(pixels).flatten(2).transpose(1, 2)
    affinity = 0
    for i, (reduce, window) in enumerate(zip(text.reduce, text.window, strict=True)):
        cells = unfold_tokens(reduce(words), window.kernel_size[0])
        query = cells @ window.weight.flatten(1).T + window.bias
        key = text.keys[i](flat)  # [B, N, D]
        logits = query @ key.transpose(1, 2) / key.shape[-1] ** 0.5
        affinity = affinity + share[i] * logits.softmax(-1)
    fused = text.fused(affinity @ text.values(flat))
    new_words = words + text.gate_norm(text.gate(fused)).tanh() * fused
    return new_pixels, new_words


@pytest.mark.parametrize("channels", [8, 32], ids=["fewer channels than tokens", "more"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("expressions", [1, 2])
def test_correlation_equals_the_literal_form(channels, training, expressions):
    torch.manual_seed(0)
    config = BTDNetConfig(text=TextConfig(width=24, heads=4))
    bsc = SpatialCorrelation(channels, config).double().train(training)
    with torch.no_grad():
        bsc.to_vision.mix.copy_(torch.tensor([0.3, -0.5, 1.0]))
        bsc.to_text.mix.copy_(torch.tensor([-0.2, 0.4, 0.1]))
    pixels = torch.randn(2, channels, 9, 12, dtype=torch.float64)
    words = torch.randn(expressions, 10, 24, dtype=torch.float64)
    attention = torch.ones(expressions, 10, dtype=torch.bool)
    got = bsc(pixels, words, attention)
    expected = literal_correlation(bsc, pixels, words.expand(2, -1, -1))
    for mine, literal in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, literal, atol=1e-9, rtol=1e-9)


def test_affinity_sums_to_one_over_valid_tokens():
    config = BTDNetConfig(text=TextConfig(width=24, heads=4))
    bsc = SpatialCorrelation(16, config)
    attention = torch.tensor([[True] * 4 + [False] * 3])
    affinity = bsc.to_vision(torch.randn(1, 16, 8, 8), torch.randn(1, 7, 24), attention)
    torch.testing.assert_close(affinity.sum(1), torch.ones(1, 8, 8))
    assert (affinity[:, 4:] == 0).all()


def test_token_pool_is_adaptive_pooling_of_the_valid_tokens():
    words = torch.randn(2, 9, 5)
    attention = torch.arange(9)[None] < torch.tensor([[9], [4]])
    for size in (1, 2, 3, 4):
        pooled = _pool_tokens(words, attention, size)
        for row, length in ((0, 9), (1, 4)):
            expected = F.adaptive_avg_pool1d(words[row, :length].T, size).T
            torch.testing.assert_close(pooled[row], expected)


# --- ablations: tables V to VII of the paper ------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"bsc_stages": [4]},
        {"bsc_stages": [3, 4]},
        {"bsc_stages": [2, 3, 4]},
        {"bsc_to_text": False},
        {"bsc_to_vision": False},
        {"gate_type": "input"},
        {"gate_type": "joint"},
        {"text_windows": [1, 2, 3]},
        {"loss": "softmax"},
        {"background_tokens": 3},
        {"background_tokens": 7},
        {"background_prior": False},
        {"background_weight": 0.0},
        {"reconstruction_weight": 0.0},
        {"background_weight": 0.0, "reconstruction_weight": 0.0},
        {"background_in_mci": False},
        {"vision_windows": [1], "text_windows": [1]},
        {"bsc_stages": []},
    ],
    ids=str,
)
def test_each_ablation_builds_and_trains_all_parameters(changes, image, make_tokens):
    net = make_net("btdnet", LITE, **changes).train()
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    target[0, 20:50, 30:60] = True
    parts = net.loss(net(image, make_tokens([8, 5])), target)
    parts["total"].backward()
    without_gradient = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without_gradient == []
    is_softmax = changes.get("loss") == "softmax"
    assert ("streams" in parts) == is_softmax
    assert ("foreground" in parts) != is_softmax
    has_background = changes.get("background_weight", 1) > 0
    assert ("background" in parts) == (has_background and not is_softmax)
    assert ("reconstruction" in parts) == (changes.get("reconstruction_weight", 1) > 0)


def test_text_stages_before_the_first_correlation_are_encoded_once(make_tokens):
    tokens = make_tokens([8])
    assert len(make_net("btdnet", LITE).encode_text(tokens).stages) == 1
    assert len(make_net("btdnet", LITE, bsc_stages=[3, 4]).encode_text(tokens).stages) == 3
    assert len(make_net("btdnet", LITE, bsc_to_text=False).encode_text(tokens).stages) == 4


def test_trunk_stages_before_the_first_correlation_are_encoded_once(image):
    assert len(make_net("btdnet", LITE).encode_image(image).stages) == 1
    assert len(make_net("btdnet", LITE, bsc_stages=[3, 4]).encode_image(image).stages) == 3
    assert len(make_net("btdnet", LITE, bsc_to_vision=False).encode_image(image).stages) == 4


def test_a_window_of_two_tokens_has_the_token_before(make_tokens):
    net = make_net("btdnet", LITE, text_windows=[2])
    update = net.bsc["1"].to_text
    pixels, words = torch.randn(1, net.trunk.channels[0], 6, 6), torch.randn(1, 5, 48)
    attention = torch.ones(1, 5, dtype=torch.bool)
    before = update(pixels, words, attention) - words
    changed = words.clone()
    changed[:, 2] += 1
    after = update(pixels, changed, attention) - changed
    differs = ((after - before).abs() > 1e-6).any(2)[0].tolist()
    assert differs == [False, False, True, True, False]


def test_masked_expression_hides_only_the_subject(make_tokens):
    net = make_net("btdnet", PAPER)
    tokens = make_tokens([8])
    other = tokens._replace(ids=tokens.ids.masked_fill(tokens.subject, 77))
    assert torch.equal(net.encode_text(tokens).masked_words, net.encode_text(other).masked_words)
    assert not torch.equal(net.encode_text(tokens).stages[0], net.encode_text(other).stages[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bsc_stages": [0]}, "bsc_stages"),
        ({"vision_windows": [2]}, "odd"),
        ({"text_windows": [0]}, "1 to 8 sizes"),
        ({"bsc_to_text": False, "bsc_to_vision": False}, "bsc_to_text or bsc_to_vision"),
        ({"loss": "softmax", "background_weight": 0.0}, "needs a background stream"),
        ({"class_weights": [0, 1]}, "class_weights"),
        ({"gate_type": "none"}, "gate_type"),
        ({"width": 100}, "multiple"),
        ({"background_tokens": 4}, "background_tokens"),
        ({"trunk": "no_such_network"}, "no network"),
    ],
)
def test_invalid_settings_raise(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_net("btdnet", LITE, **settings)


# --- losses and the inference rule ----------------------------------------------------------------


def loss_of(streams, target, **settings):
    net = make_net("btdnet", PAPER, **settings)
    return net.loss(SegOutput(streams[:, 0], None, {"streams": streams}), target)


def test_losses_by_hand():
    streams = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    target = torch.zeros(1, 4, 4, dtype=torch.bool)
    target[0, 0] = True  # a quarter of the pixels
    parts = loss_of(streams, target, reconstruction_weight=0.0)
    foreground = 0.25 * math.log(1 + math.exp(-2)) + 0.75 * math.log(1 + math.exp(2))
    background = 0.25 * math.log(1 + math.exp(-1)) + 0.75 * math.log(1 + math.exp(1))
    assert float(parts["foreground"]) == pytest.approx(foreground, rel=1e-5)
    assert float(parts["background"]) == pytest.approx(0.6 * background, rel=1e-5)
    assert float(parts["total"]) == pytest.approx(foreground + 0.6 * background, rel=1e-5)


def test_softmax_loss_by_hand():
    streams = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    target = torch.zeros(1, 4, 4, dtype=torch.bool)
    target[0, 0] = True  # a quarter of the pixels; log-odds of 3 everywhere
    parts = loss_of(streams, target, loss="softmax", reconstruction_weight=0.0)
    inside, outside = math.log(1 + math.exp(-3)), math.log(1 + math.exp(3))
    expected = (1.1 * 0.25 * inside + 0.9 * 0.75 * outside) / (1.1 * 0.25 + 0.9 * 0.75)
    assert float(parts["total"]) == pytest.approx(expected, rel=1e-5)
    assert set(parts) == {"streams", "total"}


def test_reconstruction_stops_the_gradient_of_its_target(image, make_tokens):
    net = make_net("btdnet", PAPER).train()
    text = torch.randn(2, 8, 48, requires_grad=True)
    masked_words = torch.randn(2, 8, 48, requires_grad=True)
    pixels = torch.randn(2, 768, 3, 3)
    attention = torch.ones(2, 8, dtype=torch.bool)
    # without the path from the text to the pixels, the target must get no gradient
    net.reconstruction.enrich.multihead_attn.requires_grad_(False)
    loss = net.reconstruction(pixels, text, masked_words, attention)
    through_enrich = torch.autograd.grad(loss, text, retain_graph=True)[0]
    net.reconstruction.enrich.multihead_attn.in_proj_weight.zero_()
    loss = net.reconstruction(pixels, text, masked_words, attention)
    text_gradient, masked_gradient = torch.autograd.grad(loss, (text, masked_words))
    assert through_enrich.abs().sum() > 0
    assert text_gradient.abs().sum() == 0
    assert masked_gradient.abs().sum() > 0


def test_mask_is_where_the_foreground_stream_is_higher(image, make_tokens):
    net = make_net("btdnet", PAPER)
    tokens = make_tokens([8, 5])
    net.train()
    streams = net(image, tokens).aux["streams"]
    net.eval()
    up = F.interpolate(streams, (96, 96), mode="bilinear", align_corners=False)
    assert torch.equal(net(image, tokens).logits > 0, up[:, 0] > up[:, 1])


def test_gate_logits_multiplies_probabilities():
    logits = torch.linspace(-6, 6, 25).view(1, 5, 5).double()
    for presence in (-4.0, 0.0, 5.0):
        gated = gate_logits(logits, torch.tensor([presence], dtype=torch.float64))
        expected = logits.sigmoid() * torch.tensor(presence).sigmoid()
        torch.testing.assert_close(gated.sigmoid().double(), expected, atol=1e-6, rtol=1e-5)
    far = gate_logits(torch.full((1, 1, 1), 90.0), torch.tensor([80.0]))
    assert far.isfinite().all()


def test_presence_loss_uses_absent_targets(image, make_tokens):
    net = make_net("btdnet", LITE).train()
    out = net(image, make_tokens([8, 5]))
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    target[0, 10:20, 10:20] = True
    parts = net.loss(out, target)
    expected = 0.3 * F.binary_cross_entropy_with_logits(out.presence, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(parts["presence"], expected)
