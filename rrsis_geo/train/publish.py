"""Bundles onto the Hugging Face Hub."""

from pathlib import Path

from rrsis_geo.model import hub
from rrsis_geo.model.bundle import find_bundle
from rrsis_geo.model.names import BUNDLE_FILES


def reserve_repository(repository: str) -> str:
    """Make sure, before the work of training, that its result can be pushed; give the page's URL.

    Raises:
        ConfigError: that is no ``owner/name``.
        OutputError: nobody is logged in, may write there, or the Hub cannot be reached.
    """
    return hub.reserve(repository)


def push_bundle(folder: Path, repository: str) -> None:
    """Upload the files of a bundle, in one commit.

    Raises:
        ModelError: the folder is no bundle.
        OutputError: it did not work; the message says how to do it later.
    """
    hub.push(find_bundle(folder), repository, BUNDLE_FILES, f"Bundle {folder.name} of rrsis-geo")
