"""Export: ONNX Runtime gives what torch gives, and the file describes itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import small_nets
import tiny_net
import torch

from rrsis_geo.errors import ConfigError, ModelError, OutputError
from rrsis_geo.export.export import default_file, export_bundle
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle, load_bundle, save_bundle
from rrsis_geo.nets import ReferringNet
from rrsis_geo.text.tokenizer import Tokenizer

EXPRESSIONS = ["the truck on the road", "all buildings", "the road"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    about = {"summary": "tiny", "categories": ["truck"], "seed": 3}
    with tiny_net.register():
        save_bundle(tiny_net.make_bundle(folder, about=about), precision="fp32")
        yield load_bundle(folder)


@pytest.fixture(scope="module")
def exported(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    report = export_bundle(bundle.path, path)
    assert report.size_bytes == path.stat().st_size > 0
    assert report.inputs == {
        "image": ["batch", 3, 64, 64],
        "ids": ["batch", 10],
        "attention": ["batch", 10],
    }
    assert report.outputs == {"logits": ["batch", 64, 64], "presence": ["batch"]}
    return path


def test_onnx_runtime_gives_what_torch_gives(bundle: Bundle, exported: Path) -> None:
    for count in (1, 2, 3):
        assert_same_outputs(bundle, exported, EXPRESSIONS[:count])


def test_the_metadata_describe_the_inputs(bundle: Bundle, exported: Path) -> None:
    session = pytest.importorskip("onnxruntime").InferenceSession(exported)
    facts = session.get_modelmeta().custom_metadata_map
    assert ImageSpec.from_dict(json.loads(facts["image"])) == bundle.image
    text = json.loads(facts["text"])
    again = Tokenizer(json.loads(facts["vocabulary"]), **text)
    for mine, expected in zip(
        again.encode(EXPRESSIONS), bundle.tokenizer.encode(EXPRESSIONS), strict=True
    ):
        assert torch.equal(mine, expected)
    assert (facts["model"], facts["sha256"]) == ("tiny", bundle.sha256)
    assert json.loads(facts["presence"]) is None
    assert json.loads(facts["about"]) == {"summary": "tiny", "categories": ["truck"]}


@pytest.mark.slow
def test_the_compact_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    net = small_nets.make_net(*small_nets.NETS["btdnet-lite"])
    tokenizer = Tokenizer(tiny_net.PIECES[:200], max_tokens=12)
    spec = ImageSpec(size_px=96, gsd_m=0.3, gsd_range_m=(0.15, 0.6))
    made = Bundle("lite", tmp_path / "lite", net, tokenizer, spec, {}, "")
    save_bundle(made, precision="fp32")
    report = export_bundle(made.path, tmp_path / "lite.onnx")
    assert list(report.inputs) == ["image", "ids", "attention", "subject"]
    for count in (1, 3):
        assert_same_outputs(load_bundle(made.path), report.path, EXPRESSIONS[:count])


def test_what_cannot_be_written(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    (tmp_path / "old.onnx").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"old\.onnx: exists already"):
        export_bundle(bundle.path, tmp_path / "old.onnx")
    with pytest.raises(ConfigError, match=r"lite\.pt: the name of the file must end in \.onnx"):
        export_bundle(bundle.path, tmp_path / "lite.pt")
    with pytest.raises(ModelError, match="no model bundle"):
        export_bundle(tmp_path / "none", tmp_path / "new.onnx")
    error = torch.onnx.OnnxExporterError("no such operator\nmore")
    with (
        mock.patch("torch.onnx.export", side_effect=error),
        pytest.raises(ModelError, match=r"cannot express the network tiny \(no such operator\)"),
    ):
        export_bundle(bundle.path, tmp_path / "new.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.onnx"]


def test_without_the_libraries(bundle: Bundle, tmp_path: Path) -> None:
    with (
        mock.patch("rrsis_geo.export.export.find_spec", return_value=None),
        pytest.raises(ConfigError, match=r"onnx and onnxscript: not installed; pip install"),
    ):
        export_bundle(bundle.path, tmp_path / "new.onnx")


def test_the_file_has_the_name_of_the_bundle(bundle: Bundle) -> None:
    assert default_file(bundle.path) == Path("tiny.onnx")


def assert_same_outputs(bundle: Bundle, path: Path, expressions: list[str]) -> None:
    """Compare ONNX Runtime with the network on random images."""
    net: ReferringNet = bundle.net
    tokens = bundle.tokenizer.encode(expressions)
    size_px = bundle.image.size_px
    image = np.random.default_rng(0).normal(size=(len(expressions), 3, size_px, size_px))
    image = image.astype(np.float32)
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    values = {"image": image, **{name: field.numpy() for name, field in tokens._asdict().items()}}
    logits, presence = session.run(
        None, {each.name: values[each.name] for each in session.get_inputs()}
    )
    with torch.inference_mode():
        expected = net(torch.from_numpy(image), tokens)
    assert expected.presence is not None
    np.testing.assert_allclose(logits, expected.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(presence, expected.presence, rtol=1e-4, atol=1e-4)
