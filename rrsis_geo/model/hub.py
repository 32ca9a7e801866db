"""Download model bundles from the Hugging Face Hub, and upload them.

An address is ``hf://owner/name`` or ``hf://owner/name@revision``; a revision is a branch, a tag or
a commit. Only the files that are asked for are transferred: the four of a bundle, or a checkpoint
that ``rrsis_geo.model.zoo`` lists. Downloads stay in the cache of huggingface_hub and can be used
offline.

huggingface_hub is imported inside functions, because importing it is slow.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rrsis_geo.errors import ConfigError, ModelError, OutputError

logger = logging.getLogger(__name__)

SCHEME = "hf://"

_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_REPOSITORY = re.compile(f"{_WORD}/{_WORD}")
_ADDRESS = re.compile(
    f"{SCHEME}(?P<repository>{_WORD}/{_WORD})(?:@(?P<revision>{_WORD}(/{_WORD})*))?"
)
_IN_CACHE = re.compile(r"models--(?P<owner>.+?)--(?P<name>.+)")


def is_address(name: str) -> bool:
    """Whether the name of a model is an address on the Hub."""
    return name.startswith(SCHEME)


def download(address: str, files: Sequence[str]) -> Path:
    """Download files of a repository and return their folder in the Hub's cache.

    Without a connection, the newest cached copy is used.

    Args:
        address: ``hf://owner/name`` or ``hf://owner/name@revision``.
        files: names of the files. The folder lacks those that the repository lacks.

    Raises:
        ModelError: the address is malformed, the repository or revision does not exist or is not
            accessible, or it is not in the cache and the Hub cannot be reached.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in address or "--" in match["repository"]:
        raise ModelError(
            f'"{address}" is not an address of a model on the Hugging Face Hub; '
            "write hf://owner/name or hf://owner/name@revision"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    logger.info("downloading %s", address)
    try:
        with _translate_errors(address, ModelError):
            return Path(
                snapshot_download(
                    match["repository"], revision=match["revision"], allow_patterns=list(files)
                )
            )
    except LocalEntryNotFoundError as err:
        raise ModelError(
            f"{address}: the Hugging Face Hub cannot be reached, and there is no complete copy in "
            f"its cache ({constants.HF_HUB_CACHE}). Run once with a connection and without "
            "HF_HUB_OFFLINE, or copy the folder from another machine and give its path"
        ) from err


def repository_of(folder: Path) -> str | None:
    """``owner/name`` of a folder in the Hub's cache, None for other folders."""
    if folder.parent.name != "snapshots":
        return None
    match = _IN_CACHE.fullmatch(folder.parents[1].name)
    return f"{match['owner']}/{match['name']}" if match else None


def create_repository(repository: str) -> str:
    """Create a private repository on the Hub and return the URL of its page.

    An existing repository is not changed, and keeps its visibility. Call it before training, so
    that a missing permission is reported early.

    Raises:
        ConfigError: the name is not ``owner/name``.
        OutputError: the user is not logged in or may not write, or the Hub cannot be reached.
    """
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise ConfigError(
            f'"{repository}" is not a repository of the Hugging Face Hub; write owner/name'
        )
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise OutputError(
            f"{repository}: an upload to the Hugging Face Hub needs a token with write access; "
            'log in with "hf auth login", or set HF_TOKEN'
        )
    with _translate_errors(repository, OutputError):
        return str(HfApi().create_repo(repository, private=True, exist_ok=True))


def upload(folder: Path, repository: str, files: Sequence[str], message: str) -> None:
    """Upload files in one commit.

    Args:
        folder: folder of the files.
        repository: ``owner/name``, see ``create_repository``.
        files: names of the files.
        message: message of the commit.

    Raises:
        OutputError: the upload failed. The message says how to repeat it.
    """
    from huggingface_hub import HfApi

    try:
        with _translate_errors(repository, OutputError):
            HfApi().upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=list(files),
                commit_message=message,
            )
    except OutputError as err:
        raise OutputError(
            f"{err}. The bundle {folder} is complete; upload it with "
            f'"hf upload {repository} {folder}"'
        ) from err
    logger.info("uploaded %s to %s", folder, repository)


@contextmanager
def _translate_errors(name: str, kind: type[ModelError] | type[OutputError]) -> Iterator[None]:
    """Translate errors of huggingface_hub into ours, each with what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # Requests without a response raise errors of the HTTP library. Which library that is depends on
    # the version of huggingface_hub, so take the class that its own error is derived from.
    transport_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except LocalEntryNotFoundError:
        raise  # handled by `download`
    except OfflineModeIsEnabled as err:
        raise kind(
            f"{name}: HF_HUB_OFFLINE forbids access to the Hugging Face Hub; unset it"
        ) from err
    except GatedRepoError as err:
        raise kind(
            f"{name}: its owner requires consent; accept the terms on the page of the repository, "
            'and log in with "hf auth login"'
        ) from err
    except RepositoryNotFoundError as err:
        raise kind(
            f"{name}: no such repository on the Hugging Face Hub, or it is private and you are "
            'not logged in with access to it ("hf auth login")'
        ) from err
    except RevisionNotFoundError as err:
        raise kind(f"{name}: the repository has no such branch, tag or commit") from err
    except (HFValidationError, OSError, transport_error) as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise kind(
            f"{name}: the Hugging Face Hub refused the request or cannot be reached: {reason}"
        ) from err
