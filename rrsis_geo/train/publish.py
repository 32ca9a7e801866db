"""Push trained bundles to the Hugging Face Hub."""

from pathlib import Path

from rrsis_geo.model import hub
from rrsis_geo.model.catalog import find_bundle
from rrsis_geo.model.names import BUNDLE_FILES


def reserve_repository(repository: str) -> str:
    """Check before training that the bundle can be pushed, and return the URL of its page.

    The repository is created if it does not exist.

    Raises:
        ConfigError: the name is not ``owner/name``.
        OutputError: no user is logged in, the user has no write access, or the Hub is unreachable.
    """
    return hub.create_repository(repository)


def push_bundle(folder: Path, repository: str) -> None:
    """Upload the files of a bundle in one commit.

    Raises:
        ModelError: the folder is not a bundle.
        OutputError: the upload failed; the message says how to repeat it later.
    """
    hub.upload(find_bundle(folder), repository, BUNDLE_FILES, f"Bundle {folder.name} of rrsis-geo")
