"""CroBIM: size, ablations, one encoding of an image for all expressions, chosen cells."""

import json

import pytest
import torch
from small_nets import CROBIM, make_net

from rrsis_geo.config import build, to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets import PRESETS, build_net, build_preset
from rrsis_geo.nets.base import SegOutput

ABLATIONS = [
    {"prompt_stages": [1, 2, 3]},
    {"prompt_stages": [2, 3, 4]},
    {"prompt_pool": "max"},
    {"prompt_residual": True},
    {"compensation_stages": []},
    {"compensation_stages": [4]},
    {"compensation_stages": [3, 4]},
    {"projection": "mlp"},
    {"alignment": "printed"},
    {"interaction": "parallel"},
    {"interaction": "one-way"},
]


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("preset", "trunk"), [("crobim", 86_876_536), ("crobim-convnext", 87_564_416)]
)
def test_presets_have_the_sizes_of_their_parts(preset, trunk):
    with torch.device("meta"):
        net = build_preset(preset)
    assert count(net.trunk) == trunk
    assert net.trunk.channels == (128, 256, 512, 1024)
    assert count(net.text) == 108_891_648
    # 4 prompts, a map to 768 for each stage, and three of 768 x 768
    assert count(net.prompts) == 4 * 768 + 1920 * 768 + 4 * 768 + 3 * 768**2
    # queries, two convolutions and two maps of words for each stage
    assert count(net.alignments) == sum(3 * c * c + 2 * 768 * c + 5 * c for c in net.trunk.channels)
    assert net.decoder.layers[0].mixing.offsets.out_features == 256
    assert net.decoder.layers[0].mixing.weights.out_features == 128


@pytest.mark.parametrize("preset", ["crobim", "crobim-convnext"])
def test_presets_survive_json(preset):
    config = PRESETS[preset]
    assert build(type(config), json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_ablations_run_and_train(changes, image, make_tokens):
    net = make_net("crobim", CROBIM, **changes).train()
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    target[:, 20:50, 30:60] = True
    net.loss(net(image, make_tokens([8, 5])), target)["total"].backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("interaction", "expected"), [("cascaded", False), ("parallel", True), ("one-way", True)]
)
def test_pixels_read_words_that_have_read_pixels_only_if_cascaded(interaction, expected):
    """Of two images, equal at one level, a layer changes the words that this level reads."""
    net = make_net("crobim", CROBIM, interaction=interaction)
    layer, sizes = net.decoder.layers[0], [(8, 8), (4, 4), (2, 2), (1, 1)]
    layer.mixing.forward = lambda query, pixels, sizes: torch.zeros_like(pixels)
    tokens, pixels = torch.randn(1, 5, 32), torch.randn(1, 85, 32)
    other = pixels.clone()
    other[:, 64:] += 1
    position, valid = torch.zeros(1, 85, 32), torch.ones(1, 5, dtype=torch.bool)
    after = [layer(tokens, each, position, valid, sizes)[1][:, :64] for each in (pixels, other)]
    assert torch.equal(*after) == expected


def test_the_printed_alignment_attends_to_channels():
    net = make_net("crobim", CROBIM, alignment="printed", printed_tokens=6)
    channels, align = net.trunk.channels[0], net.alignments[0]
    pixels, words = torch.randn(2, channels, 3, 3), torch.randn(2, 5, 48)
    mask = torch.tensor([[True] * 4 + [False]])
    aligned, score = align(pixels, words, mask)
    assert (aligned.shape, score.shape) == ((2, channels, 3, 3), (2, 48, 3, 3))
    torch.testing.assert_close(score.sum(1), torch.ones(2, 3, 3))
    query = align.query(pixels)[:, :4]  # by hand, with the four valid tokens
    key, value = align.key(words[:, :4]), align.value(words[:, :4])
    weight = (torch.einsum("btd,bthw->bdhw", key, query) / 6**0.5).softmax(1)
    torch.testing.assert_close(score, weight)
    read = torch.nn.functional.pad(torch.einsum("bdhw,btd->bthw", weight, value), [0] * 5 + [2])
    expected = align.out(torch.nn.functional.gelu(align.mix(read))) * pixels
    torch.testing.assert_close(aligned, expected)


def test_the_printed_alignment_refuses_longer_expressions():
    net = make_net("crobim", CROBIM, alignment="printed", printed_tokens=6)
    with pytest.raises(ConfigError, match='the alignment "printed" reads 6 tokens'):
        net.check_inputs(size_px=96, vocab_size=100, max_tokens=7)


def test_an_image_is_encoded_once_for_all_expressions(image, make_tokens):
    net = make_net("crobim", CROBIM)
    pixels = net.encode_image(image)
    net.trunk.stages = None
    for length in (8, 4):
        assert net.segment(pixels, net.encode_text(make_tokens([length]))).logits.isfinite().all()


def test_prompts_depend_on_the_image(image):
    net = make_net("crobim", CROBIM)
    prompts = net.encode_image(image).prompts
    assert prompts.shape == (2, 4, 48)
    assert not torch.allclose(prompts[0], prompts[1])


def test_only_the_cells_of_most_difference_are_compensated():
    net = make_net("crobim", CROBIM, compensation_share=0.25)
    sizes = (16, 8, 4, 2)
    maps = [torch.randn(1, c, s, s) for c, s in zip(net.trunk.channels, sizes, strict=True)]
    scores = [torch.zeros(1, 3, s, s) for s in sizes]
    scores[0][0, 1, 8:, :8] = 1  # the lower left cell differs between stages 1 and 2
    mask = torch.ones(1, 3, dtype=torch.bool)
    for new, old in zip(net.compensation(maps, scores, mask), maps, strict=True):
        half = old.shape[-1] // 2
        changed = (new != old).any(1)[0]
        assert changed[half:, :half].all()
        assert not changed[:half].any()
        assert not changed[half:, half:].any()


def test_padding_does_not_choose_cells():
    net = make_net("crobim", CROBIM)
    scores = [torch.rand(1, 3, s, s) for s in (16, 8, 4, 2)]
    mask = torch.tensor([[True, True, False]])
    maps = [torch.randn(1, c, s, s) for c, s in zip(net.trunk.channels, (16, 8, 4, 2), strict=True)]
    before = net.compensation(maps, scores, mask)
    for score in scores:
        score[:, 2] = torch.rand(score.shape[-2:]) * 9
    for a, b in zip(net.compensation(maps, scores, mask), before, strict=True):
        assert torch.equal(a, b)


def test_the_loss_weighs_cross_entropy_and_dice():
    net = make_net("crobim", CROBIM)
    logits, target = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    target[0, :2] = True
    parts = net.loss(SegOutput(logits, None, {}), target)
    assert parts["cross_entropy"].item() == pytest.approx(0.9 * 0.693147, rel=1e-5)
    assert parts["dice"].item() == pytest.approx(0.1 * (1 - 9 / 17), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_px": 100}, "multiple of 32"),
        ({"prompts": 0}, "prompts"),
        ({"prompt_stages": []}, "at least one stage"),
        ({"prompt_stages": [5]}, "prompt_stages"),
        ({"compensation_stages": [1, 1]}, "compensation_stages"),
        ({"compensation_share": 0}, "compensation_share"),
        ({"width": 36}, "width must be a multiple"),
        ({"attention_width": 66}, "attention_width"),
        ({"compensation_width": 18}, "compensation_width"),
        ({"mid_layers": 0}, "mid_layers"),
        ({"heads": 0}, "heads"),
        ({"printed_tokens": 2}, "printed_tokens"),
        ({"interaction": "none"}, "interaction"),
    ],
)
def test_invalid_settings_raise(settings, message):
    with pytest.raises(ConfigError, match=message):
        build_net("crobim", {**CROBIM, **settings})
