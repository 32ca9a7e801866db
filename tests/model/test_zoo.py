"""Published checkpoints are fetched from a stand-in for the Hub, checked and converted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import hub_server
import pytest
from authors_checkpoint import make_net, save_checkpoint
from huggingface_hub import constants
from repository import ROOT

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.model import zoo
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.catalog import list_bundles

REMOTESAM = zoo.MODELS["remotesam"]
PROGRAM = """
import sys
from dataclasses import replace
from rrsis_geo.cli import app
from rrsis_geo.model import zoo
zoo.MODELS["remotesam"] = replace(zoo.MODELS["remotesam"], sha256=sys.argv.pop())
app()
"""
"""The command line with another checksum, its last argument, of the published file."""
Run = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of this test only, without a connection."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "published").mkdir()
    return tmp_path


@pytest.fixture
def fetch(folders: Path) -> Callable[[str], Run]:
    """Fetch RemoteSAM, of this checksum, while the folder "published" is served as its repository.

    In a process of its own, because huggingface_hub reads its endpoint when it is imported.
    """

    def run(checksum: str) -> Run:
        with hub_server.serve(
            REMOTESAM.repository, REMOTESAM.revision, folders / "published"
        ) as endpoint:
            return subprocess.run(
                [sys.executable, "-c", PROGRAM, "models", "fetch", "remotesam", "--json", checksum],
                env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(folders / "hub")},
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )

    return run


@pytest.mark.slow
def test_a_published_checkpoint_becomes_a_listed_bundle(folders, fetch):
    path = save_checkpoint(make_net("rmsin"), folders / "published" / REMOTESAM.file)
    done = fetch(sha256(path.read_bytes()).hexdigest())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["network"], report["size_px"]) == ("rmsin", 96)
    assert "remotesam" in {summary.name for summary in list_bundles()}
    bundle = load_bundle("remotesam")
    assert bundle.image.size_px == 96
    assert bundle.about["licence"] == REMOTESAM.licence
    assert REMOTESAM.revision in bundle.about["source"]


def test_another_file_than_the_published_one_is_refused(folders, fetch):
    (folders / "published" / REMOTESAM.file).write_bytes(b"other weights")
    done = fetch(REMOTESAM.sha256)
    assert done.returncode == 4
    assert "sha256 differs from that of the published file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folders / "cache").exists()


def test_a_repository_without_the_file_is_refused(folders, fetch):
    (folders / "published" / "other.pth").write_bytes(b"other weights")
    done = fetch(REMOTESAM.sha256)
    assert done.returncode == 4
    assert "has no file RemoteSAMv1.pth" in done.stderr


def test_without_a_connection_one_sentence_says_so():
    with pytest.raises(ModelError, match="the Hugging Face Hub cannot be reached"):
        zoo.fetch_model("remotesam")


def test_unknown_names_are_refused():
    with pytest.raises(
        ConfigError, match='no published model "nonsense"; choose one of: remotesam'
    ):
        zoo.fetch_model("nonsense")
