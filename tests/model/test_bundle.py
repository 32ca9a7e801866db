"""Save, find and load bundles, and errors of damaged ones."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import tiny_net
import torch
from safetensors.torch import load_file, save_file

from rrsis_geo.errors import ModelError, OutputError
from rrsis_geo.model import catalog
from rrsis_geo.model.bundle import load_bundle, load_settings, save_bundle
from rrsis_geo.model.calibration import UNCALIBRATED, Calibration
from rrsis_geo.model.catalog import bundle_folders, cache_folder, find_bundle, list_bundles
from rrsis_geo.model.manifest import write_calibration, write_presence
from rrsis_geo.model.names import DEFAULT_BUNDLE, Language, Precision
from rrsis_geo.nets import PRESETS, build_net

ABOUT = {"trained_on": "painted scenes", "scores": {"mIoU": 0.5}, "licence": "CC0-1.0"}


@pytest.fixture(autouse=True)
def _register_tiny_net() -> Iterator[None]:
    with tiny_net.register():
        yield


def save(folder: Path, *, precision: Precision = "int8", **settings: Any) -> Path:
    bundle = tiny_net.make_bundle(folder, tiny_net.make_net(**settings), ABOUT)
    return save_bundle(bundle, precision=precision)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Empty folders instead of those of the checkout, the package and the user."""
    folders = [tmp_path / name for name in ("checkout", "wheel", "cache")]
    monkeypatch.setattr(catalog, "bundle_folders", lambda: folders)
    return folders


@pytest.mark.parametrize(
    ("precision", "largest_error"), [("fp32", 0.0), ("fp16", 2**-11), ("int8", 0.5 / 127)]
)
def test_round_trip(tmp_path: Path, precision: Precision, largest_error: float) -> None:
    net = tiny_net.make_net(kernels=(5,))
    folder = save(tmp_path / "tiny", precision=precision, kernels=(5,))
    bundle = load_bundle(folder)
    assert (bundle.name, bundle.path, bundle.about) == ("tiny", folder, ABOUT)
    assert bundle.image == tiny_net.make_spec()
    assert bundle.net.config == net.config  # tuples stay tuples
    assert not bundle.net.training
    assert bundle.tokenizer.vocabulary == tuple(tiny_net.PIECES)
    tokenizer, image = load_settings(folder)
    assert (tokenizer.to_dict(), image) == (bundle.tokenizer.to_dict(), bundle.image)
    assert (
        bundle.sha256 == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    )
    loaded = bundle.net.state_dict()
    for name, value in net.state_dict().items():
        if name.startswith("reconstruct."):
            continue
        assert loaded[name].dtype == value.dtype
        if value.ndim < 2:
            assert torch.equal(loaded[name], value)
        else:  # relative to the largest value of the row
            bound = value.flatten(1).abs().amax(1) * largest_error * 1.0001
            assert ((loaded[name] - value).flatten(1).abs().amax(1) <= bound).all()


def test_files_and_dtypes_of_a_bundle(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "model.json", "vocab.txt", "weights.safetensors")
    ]
    stored = load_file(folder / "weights.safetensors")
    assert stored["embed.weight"].dtype == torch.int8
    assert stored["embed.weight::scale"].shape == (len(tiny_net.PIECES),)
    assert stored["conv.weight"].dtype == torch.float16  # small
    assert stored["norm.running_var"].dtype == torch.float32
    assert stored["norm.num_batches_tracked"].dtype == torch.int64
    assert not any(name.startswith("reconstruct.") for name in stored)
    card = (folder / "README.md").read_text()
    assert "painted scenes" in card
    assert "| licence | CC0-1.0 |" in card
    assert '## scores\n\n```json\n{\n  "mIoU": 0.5\n}\n```' in card


def test_a_row_of_zeros_and_a_value_too_large_for_fp16(tmp_path: Path) -> None:
    net = tiny_net.make_net()
    with torch.no_grad():
        net.embed.weight[3] = 0
        net.conv.weight[0, 0, 0, 0] = 1e6
    folder = save_bundle(tiny_net.make_bundle(tmp_path / "tiny", net))
    loaded = load_bundle(folder).net.state_dict()
    assert not loaded["embed.weight"][3].any()
    assert torch.equal(loaded["conv.weight"], net.conv.weight)


def test_weights_that_are_not_finite_raise(tmp_path: Path) -> None:
    net = tiny_net.make_net()
    with torch.no_grad():
        net.conv.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"conv\.weight .* not finite"):
        save_bundle(tiny_net.make_bundle(tmp_path / "tiny", net))
    assert not list(tmp_path.iterdir())


def test_saving_replaces_an_older_bundle(tmp_path: Path) -> None:
    first = load_bundle(save(tmp_path / "tiny", seed=0))
    second = load_bundle(save(tmp_path / "tiny", seed=1))
    assert first.sha256 != second.sha256
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_saving_twice_gives_the_same_files(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a" / "tiny"), save(tmp_path / "b" / "tiny")
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()


def test_saving_does_not_replace_other_files(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(OutputError, match="is not a model bundle"):
        save(tmp_path / "photos")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not a model bundle"):
        save(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        save(tmp_path / "file" / "tiny")


def test_a_failed_save_keeps_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "tiny")
    sha256 = load_bundle(folder).sha256
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target) == folder and ".part-" in self.name and not self.name.endswith("-old"):
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        save(tmp_path / "tiny", seed=1)
    assert load_bundle(folder).sha256 == sha256
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_loading_needs_no_connection_and_keeps_the_random_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "tiny")

    def connect(*_: object) -> None:
        raise AssertionError("loading a bundle opened a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    state = torch.get_rng_state()
    load_bundle(folder)
    assert torch.equal(state, torch.get_rng_state())


# --- damage


def edit_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / "model.json").read_text())
        change(manifest)
        (folder / "model.json").write_text(json.dumps(manifest))

    return damage


def edit_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Change the weights and update their checksum."""

    def damage(folder: Path) -> None:
        path = folder / "weights.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        set_sha256(folder, path.read_bytes())

    return damage


def set_sha256(folder: Path, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(lambda manifest: manifest["weights"].update(sha256=digest))(folder)


def overwrite(file: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / file).write_bytes(content)
        if file == "weights.safetensors":
            set_sha256(folder, content)

    return damage


def truncate_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (overwrite("model.json", b"{"), r"model\.json: is not JSON"),
        (overwrite("model.json", b"\xff"), r"model\.json: is not JSON"),
        (overwrite("model.json", b"[" * 100_000), r"model\.json: is not JSON"),
        (overwrite("model.json", b"[]"), 'no "format"'),
        (
            edit_manifest(lambda f: f.update(format=99)),
            r"format 99; this rrsis-geo .* reads format 1",
        ),
        (edit_manifest(lambda f: f.pop("net")), '"net" must be set'),
        (edit_manifest(lambda f: f["weights"].pop("sha256")), r'"weights\.sha256" must be set'),
        (edit_manifest(lambda f: f["net"].update(config=3)), r'"net\.config" must be a table'),
        (edit_manifest(lambda f: f["net"].update(name="os.system")), 'no network "os.system"'),
        (edit_manifest(lambda f: f["net"]["config"].update(depth=3)), r"model\.json: .*depth"),
        (edit_manifest(lambda f: f["image"].update(size_px=500)), "multiple of 32"),
        (edit_manifest(lambda f: f["text"].pop("max_tokens")), "max_tokens"),
        (truncate_weights, r"weights\.safetensors: its sha256 differs"),
        (overwrite("vocab.txt", b"[PAD]\n"), r"vocab\.txt: its sha256 differs"),
        (overwrite("weights.safetensors", b"\x80\x04."), "not a complete safetensors file"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "vocab.txt").unlink(), "cannot be read"),
        (edit_tensors(lambda t: t.pop("conv.bias")), r"conv\.bias is missing"),
        (edit_tensors(lambda t: t.pop("embed.weight::scale")), r"embed\.weight is torch\.int8"),
        (edit_tensors(lambda t: t.update(extra=torch.ones(1))), "extra is unknown"),
        (edit_tensors(lambda t: t.update({"x::scale": torch.ones(1)})), "x::scale is unknown"),
        (
            edit_tensors(lambda t: t.update({"conv.bias": torch.ones(3)})),
            r"conv\.bias is \[3\] and not \[128\]",
        ),
        (
            edit_tensors(lambda t: t["conv.bias"].fill_(torch.nan)),
            r"conv\.bias has values that are not finite",
        ),
        (
            edit_manifest(lambda f: f["net"]["config"].update(vocab_size=20)),
            r"model\.json: the vocabulary has 600 word pieces",
        ),
        (
            edit_manifest(lambda f: f["net"]["config"].update(width=64)),
            r"weights\.safetensors: does not fit .* and 4 more",
        ),
        (  # 2.4 TB: no network of this size is built
            edit_manifest(lambda f: f["net"]["config"].update(width=10**9)),
            r"weights\.safetensors: does not fit .*\[128\] and not \[1000000000\]",
        ),
    ],
)
def test_a_damaged_bundle_raises(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = save(tmp_path / "tiny")
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_bundle(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("net", [None, "x", []]),
        ("net.name", [None, 3, ["tiny"]]),
        ("net.config", [None, [], "x"]),
        ("image", [None, 512]),
        ("image.size_px", [None, True, 512.0, "512", 0, 10**9, 10**30]),
        ("image.mean", [None, 0.5, [0.5], [0.5, 0.5, "x"], [0.5, 0.5, 1e308]]),
        ("image.std", [[0.2, 0.2, 0], [0.2, 0.2, 1e-300], [10**400] * 3]),
        ("image.gsd_m", ["x", True, -1, 0, 1e308]),
        ("image.gsd_range_m", [1, [1], [None, 1], [2, 1], [0, 1e400]]),
        ("text.max_tokens", [None, True, 24.0, 2, -1, 10**9]),
        ("text.lower_case", [None, 1, "yes"]),
        ("text.sha256", [None, 3]),
        ("weights.precision", [None, 8, "int4", ["int8"]]),
        ("weights.sha256", [None, [], {}]),
        ("language", [None, 1, "english", ["resolved"]]),
        ("presence", [0, 1, 1.5, "high", [0.5]]),
        ("calibration", [2, [1.0, 0.0]]),
        ("calibration.scale", [None, 0, -1, 1e9, "x"]),
        ("calibration.offset", [None, 1e9, [0.5]]),
        ("about", [None, "x", [1]]),
        ("about.summary", [None, 3, "\ud800"]),
        ("about.categories", [None, "car", [1], [["car"]]]),
        ("about.seconds_per_window", [None, "0.1", 0, -1, 1e308, 1e400, float("nan")]),
    ],
)
def test_every_field_of_the_manifest_is_checked(
    tmp_path: Path, field: str, values: list[object]
) -> None:
    folder = save(tmp_path / "tiny")
    whole = json.loads((folder / "model.json").read_text())
    *parents, name = field.split(".")
    for value in values:
        manifest = json.loads(json.dumps(whole))
        part = manifest
        for parent in parents:
            part = part.setdefault(parent, {})
        part[name] = value
        (folder / "model.json").write_text(json.dumps(manifest).replace("Infinity", "1e400"))
        with pytest.raises(ModelError) as caught:
            load_bundle(folder)
        message = str(caught.value)
        assert message.startswith(f"{folder / 'model.json'}: "), (value, message)
        assert name in message or "is not JSON" in message, (value, message)
        assert len(message) < 600


def test_the_threshold_of_presence_of_a_bundle_is_kept(tmp_path: Path) -> None:
    bundle = replace(tiny_net.make_bundle(tmp_path / "tiny"), presence=0.875)
    folder = save_bundle(bundle)
    assert load_bundle(folder).presence == 0.875
    assert "| presence | threshold 0.875 |" in (folder / "README.md").read_text()
    write_presence(folder, 0.25)
    assert load_bundle(folder).presence == 0.25
    again = save_bundle(replace(bundle, presence=None))
    assert load_bundle(again).presence is None
    assert "presence" not in json.loads((again / "model.json").read_text())


def test_the_calibration_of_a_bundle_is_kept(tmp_path: Path) -> None:
    calibration = Calibration(scale=0.5, offset=-1.25)
    bundle = replace(tiny_net.make_bundle(tmp_path / "tiny"), calibration=calibration)
    folder = save_bundle(bundle)
    assert load_bundle(folder).calibration == calibration
    line = "| score | log-odds of the mean probability x 0.5 -1.25 |"
    assert line in (folder / "README.md").read_text()
    write_calibration(folder, Calibration(scale=2.0))
    assert load_bundle(folder).calibration == Calibration(scale=2.0)
    write_calibration(folder, UNCALIBRATED)
    assert load_bundle(folder).calibration == UNCALIBRATED
    assert "calibration" not in json.loads((folder / "model.json").read_text())


def test_bundles_say_how_they_tell_windows_without_the_target(folders: list[Path]) -> None:
    save(folders[0] / "a", presence=True)
    save(folders[0] / "b", presence=False)
    write_presence(save(folders[0] / "c", presence=False), 0.9)
    assert {each.name: each.presence for each in list_bundles()} == {
        "a": "by the network",
        "b": "none",
        "c": "threshold 0.9",
    }


@pytest.mark.parametrize("language", get_args(Language))
def test_the_language_of_a_bundle_is_kept(tmp_path: Path, language: Language) -> None:
    bundle = replace(
        tiny_net.make_bundle(tmp_path / "tiny", tiny_net.make_net()), language=language
    )
    assert load_bundle(save_bundle(bundle)).language == language
    assert f"| language | {language} |" in (tmp_path / "tiny" / "README.md").read_text()


def test_networks_of_earlier_bundles_read_all_words(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    edit_manifest(lambda f: f.pop("language"))(folder)
    assert load_bundle(folder).language == "network"


def test_a_bundle_with_priors_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    edit_manifest(lambda f: f["net"].update(name="btdnet", config={"place_prior": True}))(folder)
    message = r'model\.json: .*"place_prior" was removed: .*train the bundle again from the shipped'
    with pytest.raises(ModelError, match=message):
        load_bundle(folder)


def test_optional_facts_may_be_missing(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    edit_manifest(lambda f: f.pop("versions"))(folder)
    edit_manifest(lambda f: f["about"].clear())(folder)
    edit_manifest(lambda f: f.update(note="fields of later versions are ignored"))(folder)
    assert load_bundle(folder).about == {}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such devices")
@pytest.mark.parametrize("file", ["model.json", "vocab.txt", "weights.safetensors"])
def test_a_device_in_place_of_a_file_is_not_read(tmp_path: Path, file: str) -> None:
    folder = save(tmp_path / "tiny")
    (folder / file).unlink()
    (folder / file).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=r"not a file|no model bundle"):
        load_bundle(folder)


def test_a_large_manifest_is_not_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny")
    with (folder / "model.json").open("r+b") as file:
        file.truncate(2**34)
    with pytest.raises(ModelError, match="is larger than"):
        load_bundle(folder)


# --- finding


def test_find_by_path(tmp_path: Path, folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "here" / "tiny")
    assert find_bundle(folder) == folder
    assert find_bundle(str(folder / "model.json")) == folder
    monkeypatch.chdir(folder.parent)
    assert find_bundle("tiny").resolve() == folder
    monkeypatch.chdir(folder)
    assert load_bundle(".").name == "tiny"


def test_find_by_name_takes_the_first_folder(folders: list[Path]) -> None:
    for folder in reversed(folders):
        save(folder / "tiny")
        assert find_bundle("tiny") == folder / "tiny"


def test_a_folder_without_a_bundle_does_not_hide_one(
    tmp_path: Path, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folders[2] / "tiny")
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_bundle("tiny") == folders[2] / "tiny"


def test_the_error_lists_searched_folders_and_available_names(
    tmp_path: Path, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folders[1] / "tiny")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ModelError, match=r'no model bundle "tinny".*available names: tiny'
    ) as caught:
        find_bundle("tinny")
    for folder in (tmp_path, *folders):
        assert str(folder / "tinny") in str(caught.value)


@pytest.mark.parametrize("name", ["../tiny", "..", "", ".hidden", "a/b", "tiny\0"])
def test_a_name_cannot_leave_the_folders(tmp_path: Path, folders: list[Path], name: str) -> None:
    save(tmp_path / "tiny")  # next to the folders, where "../tiny" would find it
    folders[0].mkdir()
    with pytest.raises(ModelError, match="no model bundle"):
        find_bundle(name)


def test_list_bundles(folders: list[Path]) -> None:
    assert list_bundles() == []
    save(folders[0] / "tiny", precision="fp16")
    save(folders[1] / "tiny")  # hidden by the first
    broken = save(folders[2] / "broken")
    (broken / "model.json").write_text("{")
    empty = save(folders[2] / "empty")
    (empty / "weights.safetensors").unlink()
    (folders[2] / ".tiny.part-x").mkdir()
    shutil.copy(folders[0] / "tiny" / "model.json", folders[2] / ".tiny.part-x")
    summaries = list_bundles()
    assert [summary.name for summary in summaries] == ["broken", "empty", "tiny"]
    assert "not JSON" in summaries[0].problem
    assert "missing" in summaries[1].problem
    tiny = summaries[2]
    assert (tiny.path, tiny.net, tiny.precision) == (folders[0] / "tiny", "tiny", "fp16")
    assert tiny.about == ABOUT
    assert tiny.size_bytes == (tiny.path / "weights.safetensors").stat().st_size
    assert not tiny.problem


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rrsis-geo" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert cache_folder() == Path("/home/ada/.cache/rrsis-geo/models")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/ada/Library/Caches/rrsis-geo/models")


def test_an_installed_package_ignores_the_folders_next_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "rrsis_geo" / "model" / "catalog.py"))
    assert tmp_path / "models" not in bundle_folders()
    (tmp_path / "pyproject.toml").touch()
    assert bundle_folders()[:2] == [tmp_path / "models", tmp_path / "rrsis_geo" / "bundles"]


def test_listing_bundles_does_not_import_torch() -> None:
    code = """
import sys
from rrsis_geo import list_bundles
list_bundles()
print("torch" in sys.modules)
"""
    root = Path(catalog.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.strip() == "False"


# --- real networks


def test_btdnet_round_trip(tmp_path: Path) -> None:
    lite = PRESETS["btdnet-lite"]
    text = replace(lite.text, vocab_size=len(tiny_net.PIECES), width=64, heads=4, ffn_width=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build_net("btdnet", asdict(replace(lite, text=text, width=64, fine_width=16))).eval()
    original = tiny_net.make_bundle(tmp_path / "lite", net)
    bundle = load_bundle(save_bundle(original))
    assert bundle.net.config == net.config
    stored = load_file(bundle.path / "weights.safetensors")
    assert net.training_only
    assert any(name.startswith(net.training_only) for name in net.state_dict())
    assert not any(name.startswith(net.training_only) for name in stored)
    tokens = original.tokenizer.encode(["the truck on the road"])
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = net(image, tokens).logits, bundle.net(image, tokens).logits
    # int8 rounds each weight by up to 1/254 of the largest value of its row
    assert (before - after).abs().max() < 0.05 * before.abs().max()


def test_the_shipped_bundle_loads() -> None:
    assert (bundle_folders()[0] / DEFAULT_BUNDLE / "model.json").is_file()
    bundle = load_bundle()
    assert bundle.name == DEFAULT_BUNDLE
    assert bundle.image.gsd_m is not None
    assert bundle.tokenizer.encode(["the truck on the road"]).subject.sum() == 1
