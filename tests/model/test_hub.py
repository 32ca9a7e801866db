"""Download and upload bundles on the Hugging Face Hub.

No test uses a connection. Calls of huggingface_hub are replaced, or run on a cache folder that the
test writes.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
import tiny_net
from huggingface_hub import constants, errors
from hypothesis import example, given
from hypothesis import strategies as st

from rrsis_geo.errors import ConfigError, ModelError, OutputError
from rrsis_geo.model import hub
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.model.catalog import bundle_name, find_bundle
from rrsis_geo.model.names import BUNDLE_FILES
from rrsis_geo.train.publish import push_bundle, reserve_repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with tiny_net.register():
        return save_bundle(tiny_net.make_bundle(tmp_path / "tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, in offline mode."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def add_to_cache(cache: Path, bundle: Path, commit: str, ref: str = "main") -> Path:
    """Add a snapshot in the layout of the Hub's client: blobs, links to them, and a branch."""
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


# --- download


def test_a_cached_bundle_loads_offline(cache: Path, bundle: Path) -> None:
    snapshot = add_to_cache(cache, bundle, COMMIT)
    with tiny_net.register():
        loaded = load_bundle("hf://someone/tiny-trucks")
        local = load_bundle(bundle)
    assert loaded.path == snapshot
    assert loaded.name == "someone/tiny-trucks"
    assert loaded.sha256 == local.sha256


@pytest.mark.parametrize("revision", ["v1", OTHER])
def test_a_revision_may_be_a_tag_or_a_commit(cache: Path, bundle: Path, revision: str) -> None:
    add_to_cache(cache, bundle, COMMIT)
    (bundle / "README.md").write_text("an older card")
    add_to_cache(cache, bundle, OTHER, ref="v1")
    folder = find_bundle(f"hf://someone/tiny-trucks@{revision}")
    assert (folder / "README.md").read_text() == "an older card"
    assert find_bundle("hf://someone/tiny-trucks") != folder


def test_only_the_files_of_a_bundle_are_downloaded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def download(repository: str, **options: Any) -> str:
        calls.append((repository, options))
        return str(bundle)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_bundle("hf://someone/tiny-trucks@main") == bundle
    files = ["model.json", "weights.safetensors", "vocab.txt", "README.md"]
    assert calls == [
        ("someone/tiny-trucks", {"revision": "main", "allow_patterns": files}),
    ]
    assert not any(name.endswith((".pt", ".bin", ".pkl", ".py")) for name in files)


def test_offline_and_not_in_the_cache_raises(cache: Path) -> None:
    with pytest.raises(
        ModelError, match=r"hf://a/b: .*cannot be reached.*Run once with a connection"
    ):
        find_bundle("hf://a/b")
    with pytest.raises(ModelError, match=str(cache)):
        find_bundle("hf://a/b@v2")


def test_a_repository_without_a_bundle_raises(cache: Path, bundle: Path) -> None:
    (bundle / "model.json").rename(bundle / "config.json")
    add_to_cache(cache, bundle, COMMIT)
    with pytest.raises(ModelError, match=r"someone/tiny-trucks: has no model\.json"):
        find_bundle("hf://someone/tiny-trucks")


def test_a_damaged_download_raises(cache: Path, bundle: Path) -> None:
    manifest = json.loads((bundle / "model.json").read_text())
    manifest["weights"]["sha256"] = "0" * 64
    (bundle / "model.json").write_text(json.dumps(manifest))
    add_to_cache(cache, bundle, COMMIT)
    with pytest.raises(ModelError, match="sha256 differs"), tiny_net.register():
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
def test_an_address_names_a_repository_or_raises(text: str) -> None:
    """A valid address cannot leave its folder in the cache."""
    assert hub.is_address(f"hf://{text}")
    with pytest.raises(ModelError) as caught:
        find_bundle(f"hf://{text}")
    if "is not an address" not in str(caught.value):  # a valid address
        repository, _, revision = text.partition("@")
        assert repository.count("/") == 1
        for part in (*repository.split("/"), *revision.split("/")):
            assert not part.startswith(".")
            assert ".." not in part


def test_bundle_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert bundle_name(Path()) == "mine"
    assert bundle_name(tmp_path / "snapshots" / "mine") == "mine"
    assert bundle_name(tmp_path / "models--a--b-c" / "snapshots" / COMMIT) == "a/b-c"


class Response:
    """The attributes of an HTTP response that errors read."""

    headers: ClassVar[dict[str, str]] = {}
    status_code = 500
    request = None


def http_error(kind: type[Exception]) -> Callable[[], Exception]:
    return lambda: kind("a message of the Hub", response=Response())  # type: ignore[call-arg]


def transport_error() -> Exception:
    """Error of the HTTP library for a request without a response."""
    return errors.HfHubHTTPError.__bases__[0]("read timed out")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (http_error(errors.RepositoryNotFoundError), "no such repository.*private.*hf auth login"),
        (http_error(errors.GatedRepoError), "consent"),
        (http_error(errors.RevisionNotFoundError), "no such branch, tag or commit"),
        (
            http_error(errors.HfHubHTTPError),
            "refused the request or cannot be reached: .*message of the Hub",
        ),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
        (transport_error, "read timed out"),
    ],
)
def test_errors_of_the_hub_are_translated(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], words: str
) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError, match=f"hf://a/b: .*{words}"):
        find_bundle("hf://a/b")


# --- upload


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, dict[str, Any]]]:
    """Calls that would be sent to the Hub by a user who is logged in."""
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


def test_an_upload_creates_a_private_repository_and_sends_the_bundle(
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
def test_an_upload_needs_owner_and_name(name: str, calls: list[Any]) -> None:
    with pytest.raises(ConfigError, match="write owner/name"):
        reserve_repository(name)
    assert calls == []


def test_an_upload_needs_a_token(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(OutputError, match=r"someone/trucks: .*hf auth login.*HF_TOKEN"):
        reserve_repository("someone/trucks")
    assert calls == []


def test_an_upload_without_permission_or_connection_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_made_up")
    with pytest.raises(OutputError, match="HF_HUB_OFFLINE"):  # the real client in offline mode
        reserve_repository("someone/trucks")

    def fail(*_: Any, **__: Any) -> None:
        raise http_error(errors.HfHubHTTPError)()

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", fail)
    with pytest.raises(OutputError, match="a message of the Hub"):
        reserve_repository("someone/trucks")


def test_a_failed_upload_says_how_to_repeat_it(
    bundle: Path, calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise transport_error()

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", fail)
    with pytest.raises(OutputError, match=f'"hf upload someone/trucks {bundle}"'):
        push_bundle(bundle, "someone/trucks")


def test_only_bundles_are_uploaded(tmp_path: Path, calls: list[Any]) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelError, match="photos"):
        push_bundle(tmp_path / "photos", "someone/photos")
    assert calls == []
