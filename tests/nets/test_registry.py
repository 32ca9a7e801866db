"""Networks and presets by name, and pretrained weights through the contract."""

import pytest
import timm
import tiny_net
import torch
from safetensors.torch import save_file
from small_nets import LITE, make_net

from rrsis_geo.config import to_dict
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets import NETS, PRESETS, ReferringNet, build_net, build_preset
from rrsis_geo.nets.bert import Bert


def test_every_network_is_registered_under_its_name():
    for name, net_class in NETS.items():
        assert issubclass(net_class, ReferringNet)
        assert net_class.name == name
        assert all(isinstance(c, net_class.config_class) for c in net_class.presets.values())


def test_a_preset_builds_the_network_of_its_settings():
    with torch.device("meta"):
        net = build_preset("btdnet-lite")
        same = build_net(net.name, to_dict(PRESETS["btdnet-lite"]))
    assert net.config == same.config == PRESETS["btdnet-lite"]


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("btdnet-lite", 36_788_649),
        ("lavt-lite", 28_480_322),
        ("rmsin-lite", 29_923_305),
        ("fianet-lite", 30_647_328),
        ("crobim-lite", 27_769_728),
    ],
)
def test_compact_presets_have_the_encoders_of_btdnet_lite(preset, parameters):
    with torch.device("meta"):
        net = build_preset(preset)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net.config.image_px == 512
    assert net.config.text == PRESETS["btdnet-lite"].text
    assert net.trunk.channels == (24, 40, 112, 320)


def test_unknown_names_raise():
    with pytest.raises(ConfigError, match='no network "nonsense"; choose one of: btdnet'):
        build_net("nonsense", {})
    with pytest.raises(ConfigError, match='no preset "nonsense"; choose one of: btdnet'):
        build_preset("nonsense")


def test_pretrained_weights_load_into_both_encoders(tmp_path):
    net = make_net("btdnet", LITE)
    bert = Bert(net.config.text).model
    (tmp_path / "bert").mkdir()
    save_file(bert.state_dict(), tmp_path / "bert" / "model.safetensors")
    trunk = timm.create_model(net.config.trunk)
    save_file(trunk.state_dict(), tmp_path / "trunk.safetensors")
    net.load_pretrained(trunk=tmp_path / "trunk.safetensors", text=tmp_path / "bert")
    assert torch.equal(net.trunk.stages[0].conv_stem.weight, trunk.conv_stem.weight)
    weight = bert.embeddings.word_embeddings.weight
    assert torch.equal(net.text.model.embeddings.word_embeddings.weight, weight)


def test_a_network_without_encoders_refuses_pretrained_weights():
    net = tiny_net.make_net()
    net.load_pretrained()
    with pytest.raises(ConfigError, match='"tiny" has no pretrained encoders'):
        net.load_pretrained(text="bert-base-uncased")
