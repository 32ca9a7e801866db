"""Bundles on the Hugging Face Hub: fetched, taken from its cache, pushed, and refused.

No test reaches the network: the calls of huggingface_hub are replaced where they leave us, or run
against a cache folder made on the spot.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
import tiny_net
from huggingface_hub import errors
from hypothesis import example, given
from hypothesis import strategies as st

from rrsis_geo.errors import ConfigError, ModelError, OutputError
from rrsis_geo.model import hub
from rrsis_geo.model.bundle import bundle_name, find_bundle, load_bundle, save_bundle
from rrsis_geo.model.names import BUNDLE_FILES
from rrsis_geo.train.publish import push_bundle, reserve_repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with tiny_net.registered():
        spec, tokenizer = tiny_net.make_spec(), tiny_net.make_tokenizer()
        return save_bundle(tmp_path / "tiny", tiny_net.make_net(), tokenizer, spec, {})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no network."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder


def put_in_cache(cache: Path, bundle: Path, commit: str, ref: str = "main") -> Path:
    """As the Hub's client lays a snapshot out: blobs, links to them, and a branch."""
    repository = cache / "models--someone--tiny-trucks"
    snapshot = repository / "snapshots" / commit
    for folder in (repository / "blobs", repository / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(sorted(bundle.iterdir())):
        blob = repository / "blobs" / f"{commit[:8]}{i}"
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", blob.name))
    (repository / "refs" / ref).write_text(commit)
    return snapshot


# --- fetching


def test_a_model_of_the_cache_loads_without_a_network(cache: Path, bundle: Path) -> None:
    snapshot = put_in_cache(cache, bundle, COMMIT)
    with tiny_net.registered():
        loaded = load_bundle("hf://someone/tiny-trucks")
        local = load_bundle(bundle)
    assert loaded.path == snapshot
    assert loaded.name == "someone/tiny-trucks"
    assert loaded.sha256 == local.sha256


@pytest.mark.parametrize("revision", ["v1", OTHER])
def test_a_revision_is_a_tag_or_a_commit(cache: Path, bundle: Path, revision: str) -> None:
    put_in_cache(cache, bundle, COMMIT)
    (bundle / "README.md").write_text("the older one")
    put_in_cache(cache, bundle, OTHER, ref="v1")
    found = find_bundle(f"hf://someone/tiny-trucks@{revision}")
    assert (found / "README.md").read_text() == "the older one"
    assert find_bundle("hf://someone/tiny-trucks") != found


def test_only_the_files_of_a_bundle_are_asked_for(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def download(repository: str, **options: Any) -> str:
        asked.append((repository, options))
        return str(bundle)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_bundle("hf://someone/tiny-trucks@main") == bundle
    wanted = ["model.json", "weights.safetensors", "vocab.txt", "README.md"]
    assert asked == [
        ("someone/tiny-trucks", {"revision": "main", "allow_patterns": wanted}),
    ]
    assert not any(name.endswith((".pt", ".bin", ".pkl", ".py")) for name in wanted)


def test_not_in_the_cache_and_no_network(cache: Path) -> None:
    with pytest.raises(ModelError, match=r"hf://a/b: .*cannot be reached.*Run once with a network"):
        find_bundle("hf://a/b")
    with pytest.raises(ModelError, match=str(cache)):
        find_bundle("hf://a/b@v2")


def test_a_repository_that_holds_no_bundle(cache: Path, bundle: Path) -> None:
    (bundle / "model.json").rename(bundle / "config.json")
    put_in_cache(cache, bundle, COMMIT)
    with pytest.raises(ModelError, match=r"someone/tiny-trucks: has no model\.json"):
        find_bundle("hf://someone/tiny-trucks")


def test_a_damaged_download_is_refused(cache: Path, bundle: Path) -> None:
    facts = json.loads((bundle / "model.json").read_text())
    facts["weights"]["sha256"] = "0" * 64
    (bundle / "model.json").write_text(json.dumps(facts))
    put_in_cache(cache, bundle, COMMIT)
    with pytest.raises(ModelError, match="sha256 differs"), tiny_net.registered():
        load_bundle("hf://someone/tiny-trucks")


@given(st.text(st.sampled_from("ab.-/@:_~ "), max_size=20))
@example("a/../../etc")
@example("a/b/c")
@example("a/b@../../refs")
@example("a/b@")
@example("a--b/c")
@example("a/b@x..y")
@example("../b")
@example("a/.b")
@example("a")
@example("")
def test_an_address_names_a_repository_or_is_refused(text: str) -> None:
    """Nothing that is let through can leave its folder in the cache."""
    assert hub.is_address(f"hf://{text}")
    with pytest.raises(ModelError) as caught:
        find_bundle(f"hf://{text}")
    if "no address" not in str(caught.value):  # so it was looked for
        repository, _, revision = text.partition("@")
        assert repository.count("/") == 1
        for part in (*repository.split("/"), *revision.split("/")):
            assert not part.startswith(".")
            assert ".." not in part


def test_the_name_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert bundle_name(Path()) == "mine"
    assert bundle_name(tmp_path / "snapshots" / "mine") == "mine"
    assert bundle_name(tmp_path / "models--a--b-c" / "snapshots" / COMMIT) == "a/b-c"


class Answer:
    """What an HTTP error carries, as far as anyone looks."""

    headers: ClassVar[dict[str, str]] = {}
    status_code = 500
    request = None


def http_error(kind: type[Exception]) -> Callable[[], Exception]:
    return lambda: kind("the Hub's own words", response=Answer())  # type: ignore[call-arg]


def transport_error() -> Exception:
    """A request that got no answer, as the HTTP library says it."""
    return errors.HfHubHTTPError.__bases__[0]("read timed out")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (http_error(errors.RepositoryNotFoundError), "no such repository.*private.*hf auth login"),
        (http_error(errors.GatedRepoError), "consent"),
        (http_error(errors.RevisionNotFoundError), "no such branch, tag or commit"),
        (http_error(errors.HfHubHTTPError), "refused, or could not be reached: .*own words"),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
        (transport_error, "read timed out"),
    ],
)
def test_what_goes_wrong_at_the_hub_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], words: str
) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError, match=f"hf://a/b: .*{words}"):
        find_bundle("hf://a/b")


# --- pushing


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, dict[str, Any]]]:
    """What would have been sent, by one who is logged in."""
    sent: list[tuple[str, Any, dict[str, Any]]] = []

    def create_repo(self: Any, repository: str, **options: Any) -> str:
        sent.append(("create_repo", repository, options))
        return f"https://huggingface.co/{repository}"

    def upload_folder(self: Any, **options: Any) -> None:
        sent.append(("upload_folder", options.pop("repo_id"), options))

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_made_up")
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    return sent


def test_a_push_reserves_a_private_repository_and_sends_the_bundle(
    bundle: Path, calls: list[Any]
) -> None:
    (bundle / "notes.pkl").touch()
    assert reserve_repository("someone/trucks") == "https://huggingface.co/someone/trucks"
    push_bundle(bundle, "someone/trucks")
    assert calls == [
        ("create_repo", "someone/trucks", {"private": True, "exist_ok": True}),
        (
            "upload_folder",
            "someone/trucks",
            {
                "folder_path": bundle,
                "allow_patterns": list(BUNDLE_FILES),
                "commit_message": "Bundle tiny of rrsis-geo",
            },
        ),
    ]


@pytest.mark.parametrize("name", ["trucks", "a/b/c", "hf://a/b", "a/b@main", "../b", "a/b--c", ""])
def test_a_push_needs_owner_and_name(name: str, calls: list[Any]) -> None:
    with pytest.raises(ConfigError, match="write it owner/name"):
        reserve_repository(name)
    assert calls == []


def test_a_push_needs_a_token(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(OutputError, match=r"someone/trucks: .*hf auth login.*HF_TOKEN"):
        reserve_repository("someone/trucks")
    assert calls == []


def test_a_push_that_may_not_write_or_finds_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_made_up")
    with pytest.raises(OutputError, match="HF_HUB_OFFLINE"):  # the real client, switched off
        reserve_repository("someone/trucks")

    def refuse(*_: Any, **__: Any) -> None:
        raise http_error(errors.HfHubHTTPError)()

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(OutputError, match="own words"):
        reserve_repository("someone/trucks")


def test_a_push_that_fails_says_how_to_do_it_later(
    bundle: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise transport_error()

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", fail)
    with pytest.raises(OutputError, match=f'"hf upload someone/trucks {bundle}"'):
        push_bundle(bundle, "someone/trucks")


def test_only_bundles_are_pushed(tmp_path: Path, calls: list[Any]) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelError, match="photos"):
        push_bundle(tmp_path / "photos", "someone/photos")
    assert calls == []
