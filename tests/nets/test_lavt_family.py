"""LAVT, RMSIN, FIANet: published sizes, ablations, losses, rotation of filters."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from small_nets import FAMILY, make_net

from rrsis_geo.config import build, to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets import NETS, PRESETS, build_net, build_preset
from rrsis_geo.nets.base import SegOutput
from rrsis_geo.nets.lavt_family.rmsin import RotatedConv, rotation_matrix

UNUSED_LAYER = 1_392_640
"""Parameters of a layer in the authors' FIANet that is never called."""
PARAMETERS = {
    "lavt": 227_739_514,
    "rmsin": 240_037_163,
    "remotesam": 241_590_421,
    "fianet": 256_168_626 - UNUSED_LAYER,
    "fianet-1": 251_918_706 - UNUSED_LAYER,
}
"""Of the authors' networks, with BERT and without its pooler."""
NAMES = ["lavt", "rmsin", "fianet"]
ABLATIONS = [
    *((name, {"decoder_input": "sum"}) for name in NAMES),
    ("lavt", {"language_pathway": "sum"}),
    ("lavt", {"language_pathway": "none"}),
    ("lavt", {"fusion_heads": [1, 2, 3, 4]}),
    ("rmsin", {"visual_branch": False}),
    ("rmsin", {"cross_scale": False}),
    ("rmsin", {"rotated_conv": False}),
    ("fianet", {"tmem_blocks": 0}),
    ("fianet", {"position_branch": False}),
    ("fianet", {"object_branch": False, "position_branch": False}),
    ("fianet", {"channel_modulation": False}),
]


@pytest.mark.parametrize("preset", PARAMETERS)
def test_presets_have_the_published_size(preset):
    with torch.device("meta"):
        net = build_preset(preset)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[preset]


@pytest.mark.parametrize("preset", PARAMETERS)
def test_presets_survive_json(preset):
    config = PRESETS[preset]
    assert build(type(config), json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(("name", "changes"), ABLATIONS, ids=str)
def test_ablations_run_and_train(name, changes, image, make_tokens):
    net = make_net(name, FAMILY, **changes).train()
    out = net(image, make_tokens([8, 5]))
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    target[:, 20:50, 30:60] = True
    net.loss(out, target)["total"].backward()
    for key, parameter in net.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key


@pytest.mark.parametrize("name", NAMES)
def test_all_is_used_if_the_decoder_gets_the_sum(name):
    net = make_net(name, FAMILY, decoder_input="sum")
    assert net.training_only == ()
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_depends_on_what_bundles_leave_out(name, image, make_tokens):
    net, tokens = make_net(name, FAMILY), make_tokens([8, 5])
    before = net(image, tokens).logits
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.startswith(net.training_only):
                value.fill_(7)
    assert torch.equal(net(image, tokens).logits, before)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lavt", {"image_px": 0}, "image_px"),
        ("lavt", {"image_px": 98}, "multiple of 4"),
        ("lavt", {"image_px": 10**9}, "image_px"),
        ("lavt", {"drop_path": -1}, "drop_path"),
        ("lavt", {"fusion_heads": [1, 1, 1, 0]}, "fusion_heads"),
        ("lavt", {"fusion_heads": [1, 1, 1]}, "fusion_heads"),
        ("lavt", {"fusion_heads": [1, 1, 1, 5]}, "fusion_heads"),
        ("lavt", {"class_weights": [0, 1]}, "class_weights"),
        ("lavt", {"dice_weight": -1}, "dice_weight"),
        ("lavt", {"cross_entropy_weight": 1e9}, "cross_entropy_weight"),
        ("rmsin", {"image_px": 100}, "multiple of 32"),
        ("fianet", {"tmem_blocks": 25}, "tmem_blocks"),
        ("fianet", {"object_branch": False}, "position_branch needs object_branch"),
    ],
)
def test_invalid_settings_raise(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        build_net(name, {**FAMILY, **settings})


def test_rmsin_reads_only_images_of_its_size(make_tokens):
    net = make_net("rmsin", FAMILY)
    facts = {"vocab_size": 200, "max_tokens": 12}
    net.check_inputs(size_px=96, **facts)
    with pytest.raises(ConfigError, match="only images of 96 px"):
        net.check_inputs(size_px=128, **facts)
    with pytest.raises(ValueError, match="must be 96 x 96"):
        net(torch.zeros(1, 3, 128, 128), make_tokens([5]))


def test_lavt_reads_images_of_any_size(make_tokens):
    net = make_net("lavt", FAMILY)
    net.check_inputs(size_px=100, vocab_size=200, max_tokens=12)
    assert net(torch.zeros(1, 3, 100, 132), make_tokens([5])).logits.shape == (1, 100, 132)
    with pytest.raises(ConfigError, match="multiple of 4"):
        net.check_inputs(size_px=98, vocab_size=200, max_tokens=12)


# --- fragments of expressions


def test_an_expression_without_objects_adds_no_object_branch(image, make_tokens):
    net, tokens = make_net("fianet", FAMILY), make_tokens([8, 5])
    none = tokens._replace(objects=torch.zeros_like(tokens.objects))
    with torch.no_grad():
        logits = net(image, none).logits
        for stage in net.fusions:
            for parameter in stage.objects.parameters():
                parameter.fill_(0.3)
        assert torch.equal(net(image, none).logits, logits)
    assert not torch.equal(net(image, tokens).logits, logits)


def test_a_name_of_one_token_has_no_effect(image, make_tokens):
    net, tokens = make_net("fianet", FAMILY), make_tokens([8, 5])
    single, none = (tokens._replace(objects=m) for m in (tokens.subject, tokens.subject & False))
    logits = net(image, none).logits
    torch.testing.assert_close(net(image, single).logits, logits, rtol=1e-3, atol=1e-4)


def test_fragments_read_only_their_tokens(make_tokens):
    net, tokens = make_net("fianet", FAMILY), make_tokens([8])
    before = net.encode_text(tokens)
    ids = tokens.ids.clone()
    ids[0, 5] += 1  # not in the object fragment, which is tokens 2 and 3
    after = net.encode_text(tokens._replace(ids=ids))
    torch.testing.assert_close(after.objects[0, 2], before.objects[0, 2])
    assert not torch.allclose(after.words[0, 2], before.words[0, 2])


# --- losses


def literal_loss(logits, target, *, ce, dice):
    """The authors' loss on two logits [B, 2, H, W]: weighted cross-entropy, Dice summed."""
    weights = torch.tensor([0.9, 1.1])
    p, y = logits.softmax(1).flatten(2), F.one_hot(target.long()).movedim(-1, 1).flatten(2)
    overlap = 1 - (2 * (p * y).sum(2) + 1e-6) / (p.sum(2) + y.sum(2) + 1e-6)
    return ce * F.cross_entropy(logits, target.long(), weight=weights) + dice * overlap.sum()


@pytest.mark.parametrize(
    ("name", "ce", "dice"), [("lavt", 1.0, 0.0), ("rmsin", 0.9, 0.1), ("fianet", 0.9, 0.1)]
)
def test_the_loss_equals_that_of_two_logits(name, ce, dice):
    net = NETS[name]
    two = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    target = two[:, 0] > 0.5
    output = SegOutput(two[:, 1] - two[:, 0], None, {})
    fake = type("Net", (), {"config": net.config_class()})()
    parts = net.loss(fake, output, target)
    expected = literal_loss(two, target, ce=ce, dice=dice)
    torch.testing.assert_close(parts["total"], expected, rtol=1e-5, atol=1e-6)


def test_a_mean_dice_does_not_grow_with_the_batch():
    fake = type("Net", (), {"config": NETS["rmsin"].config_class(dice_reduction="mean")})()
    logits, target = torch.randn(1, 8, 8), torch.rand(1, 8, 8) > 0.5
    one, four = (
        NETS["rmsin"].loss(
            fake, SegOutput(logits.repeat(n, 1, 1), None, {}), target.repeat(n, 1, 1)
        )
        for n in (1, 4)
    )
    torch.testing.assert_close(one["dice"], four["dice"])


# --- rotated convolution


def test_a_filter_that_is_not_turned_stays():
    torch.testing.assert_close(rotation_matrix(torch.zeros(1))[0], torch.eye(9))


def test_rows_of_the_rotation_sum_to_one():
    angles = torch.linspace(-math.radians(40), math.radians(40), 9)
    torch.testing.assert_close(rotation_matrix(angles).sum(2), torch.ones(9, 9))


def test_opposite_rotations_mirror_each_other():
    angle = torch.tensor([0.3])
    flip = torch.tensor([2, 1, 0, 5, 4, 3, 8, 7, 6])
    turned, back = rotation_matrix(angle)[0], rotation_matrix(-angle)[0]
    torch.testing.assert_close(turned[flip][:, flip], back)


def test_each_image_has_its_own_filters():
    torch.manual_seed(0)
    conv = RotatedConv(16).eval()
    torch.nn.init.normal_(conv.angle.weight)
    pixels = torch.randn(2, 16, 9, 9)
    each = torch.cat([conv(pixels[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(conv(pixels), each)
