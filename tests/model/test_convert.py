"""Checkpoints of the authors of LAVT, RMSIN and FIANet become bundles. Their code never runs."""

import argparse
import collections
import os
from pathlib import Path

import authors_checkpoint
import pytest
import torch
from authors_checkpoint import make_net, save_checkpoint

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.convert import ConvertOptions, convert_checkpoint
from rrsis_geo.nets import PRESETS, build_net
from rrsis_geo.nets.convert import infer_settings, load_renamed, rename_state

slow = pytest.mark.slow
LISTS = {  # list of names -> preset, tensors that are left out
    "lavt": ("lavt", {"relative_position_index": 24}),
    "rmsin": ("rmsin", {"relative_position_index": 24}),
    "remotesam": ("remotesam", {"relative_position_index": 24}),
    "fianet_l1": ("fianet-1", {"relative_position_index": 24, "weight": 4}),
    "fianet_l3": ("fianet", {"relative_position_index": 24, "weight": 4}),
}


@pytest.mark.parametrize("name", LISTS)
def test_every_published_name_is_read(name):
    preset, expected = LISTS[name]
    with torch.device("meta"):
        state = {
            f"module.{key}": torch.empty(shape, dtype=getattr(torch, dtype))
            for key, (shape, dtype) in authors_checkpoint.read_keys(name).items()
        }
        renamed = rename_state(state)
        found = infer_settings(renamed.tensors, heads=(1, 1, 1, 1))
        net = build_net(found.family, {"image_px": found.size_px or 480, **found.settings})
        load_renamed(net, renamed.tensors)
    assert net.config == PRESETS[preset]
    left_out = collections.Counter(key.rpartition(".")[2] for key in renamed.left_out)
    assert left_out == expected


@pytest.mark.parametrize(
    "name", ["lavt", pytest.param("rmsin", marks=slow), pytest.param("fianet", marks=slow)]
)
def test_a_checkpoint_becomes_a_bundle_with_the_same_outputs(name, tmp_path):
    net = make_net(name)
    path = save_checkpoint(net, tmp_path / "model_best.pth")
    report = convert_checkpoint(path, tmp_path / "bundle", ConvertOptions(family=name, size_px=96))
    assert (report.net, report.size_px) == (name, 96)
    assert report.left_out_kinds["optimizer"] == 1
    bundle = load_bundle(tmp_path / "bundle")
    tokens = bundle.tokenizer.encode(["the red car on the left", "a tennis court"])
    image = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(bundle.net(image, tokens).logits, net(image, tokens).logits)
    assert bundle.tokenizer.keep_separator is False
    assert bundle.tokenizer.text_rules == ("reference-rrsisd" if name == "fianet" else "aligned")
    assert bundle.about["licence"] == "not stated"
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "arXiv" in card
    assert "squashed to 96 x 96 px" in card
    assert "/home/someone" not in card


class Hostile:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    ran = tmp_path / "ran"
    torch.save({"model": {}, "args": Hostile(ran)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: holds more than weights and settings"):
        convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions())
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, 'has no "model"'),
        ([1, 2], 'has no "model"'),
        ({"model": {"a": 1}}, "not all entries of its model are tensors"),
        ({"model": {"backbone.other.weight": torch.zeros(1)}}, "unknown tensors backbone.other"),
        ({"model": {"backbone.norm0.weight": torch.zeros(1)}}, "is no checkpoint of LAVT"),
        ({"model": {}, "args": argparse.Namespace()}, "is no checkpoint of LAVT"),
    ],
)
def test_other_files_of_torch_are_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=message):
        convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions())


def test_files_that_are_not_of_torch_are_refused(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions())
    for content in (b"", b"hello", b"PK\x03\x04 broken"):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(ModelError, match=r"w\.pth: "):
            convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions())


def test_the_family_and_the_options_must_fit(tmp_path):
    path = save_checkpoint(make_net("lavt"), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="is a checkpoint of lavt, not of rmsin"):
        convert_checkpoint(path, tmp_path / "out", ConvertOptions(family="rmsin"))
    with pytest.raises(ConfigError, match="max_tokens is 99"):
        convert_checkpoint(path, tmp_path / "out", ConvertOptions(max_tokens=99))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["btdnet", "crobim"])
def test_networks_without_a_published_checkpoint_are_refused(family, tmp_path):
    with pytest.raises(ConfigError, match=f"the authors of {family} published no checkpoint"):
        convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions(family=family))
    with pytest.raises(ConfigError, match='no family "nonsense"; choose one of: lavt'):
        convert_checkpoint(tmp_path / "w.pth", tmp_path / "out", ConvertOptions(family="nonsense"))


def test_lavt_with_its_bert_outside_of_the_network(tmp_path):
    net = make_net("lavt")
    whole = torch.load(save_checkpoint(net, tmp_path / "a.pth"), weights_only=False)
    is_bert = {key: key.startswith("text_encoder.") for key in whole["model"]}
    bert = {
        f"module.{k.removeprefix('text_encoder.')}": v
        for k, v in whole["model"].items()
        if is_bert[k]
    }
    bert["pooler.dense.bias"] = torch.zeros(64)
    model = {k: v for k, v in whole["model"].items() if not is_bert[k]}
    torch.save({"model": model, "bert_model": bert}, tmp_path / "b.pth")
    report = convert_checkpoint(tmp_path / "b.pth", tmp_path / "out", ConvertOptions(size_px=96))
    assert report.parameters == sum(p.numel() for p in net.parameters())


def test_a_checkpoint_of_an_old_torch_is_read(tmp_path):
    path = save_checkpoint(make_net("lavt"), tmp_path / "a.pth")
    torch.save(
        torch.load(path, weights_only=False),
        tmp_path / "old.pth",
        _use_new_zipfile_serialization=False,
    )
    report = convert_checkpoint(tmp_path / "old.pth", tmp_path / "out", ConvertOptions())
    assert (report.net, report.size_px) == ("lavt", 480)
