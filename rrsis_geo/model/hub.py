"""Model bundles on the Hugging Face Hub: fetched by their address, and pushed.

An address is ``hf://owner/name`` or ``hf://owner/name@revision``, a revision being a branch, a tag
or a commit. Only the files of a bundle travel, so no pickle and no code do. What was fetched once
lies in the Hub's own cache and serves without a network too.

huggingface_hub is imported where it is used, so that finding other bundles is quick.
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
    """Whether a model is named by its place on the Hub."""
    return name.startswith(SCHEME)


def fetch(address: str, files: Sequence[str]) -> Path:
    """The folder, in the Hub's cache, of the newest copy of a repository that can be had.

    Args:
        address: ``hf://owner/name`` or ``hf://owner/name@revision``.
        files: names of those to fetch; the folder may lack some, where the repository does.

    Raises:
        ModelError: the address is none, there is no such repository or revision, it may not be
            read, or it is not in the cache and the Hub cannot be reached.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or ".." in address or "--" in found["repository"]:
        raise ModelError(
            f'"{address}" is no address of a model on the Hugging Face Hub; '
            "write it hf://owner/name or hf://owner/name@revision"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    logger.info("looking for %s", address)
    try:
        with _explained(address, ModelError):
            return Path(
                snapshot_download(
                    found["repository"], revision=found["revision"], allow_patterns=list(files)
                )
            )
    except LocalEntryNotFoundError as err:
        raise ModelError(
            f"{address}: the Hugging Face Hub cannot be reached, and no whole copy is in its cache "
            f"({constants.HF_HUB_CACHE}). Run once with a network and without HF_HUB_OFFLINE, or "
            "copy the folder from elsewhere and give its path"
        ) from err


def repository_of(folder: Path) -> str | None:
    """``owner/name`` of a folder in the Hub's cache, None for any other."""
    if folder.parent.name != "snapshots":
        return None
    found = _IN_CACHE.fullmatch(folder.parents[1].name)
    return f"{found['owner']}/{found['name']}" if found else None


def reserve(repository: str) -> str:
    """Make sure that a bundle can be pushed, before the work of making one; give the page's URL.

    A repository that does not exist yet is made, private; one that exists stays as visible as it
    is.

    Raises:
        ConfigError: that is no name of a repository.
        OutputError: nobody is logged in, may write there, or the Hub cannot be reached.
    """
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise ConfigError(
            f'"{repository}" is no repository of the Hugging Face Hub; write it owner/name'
        )
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise OutputError(
            f"{repository}: pushing to the Hugging Face Hub needs a token that may write; "
            'log in with "hf auth login", or set HF_TOKEN'
        )
    with _explained(repository, OutputError):
        return str(HfApi().create_repo(repository, private=True, exist_ok=True))


def push(folder: Path, repository: str, files: Sequence[str], message: str) -> None:
    """Upload files of a folder in one commit.

    Args:
        folder: where they lie.
        repository: ``owner/name``, see ``reserve``.
        files: their names.
        message: of the commit.

    Raises:
        OutputError: it did not work; the message says how to do it later.
    """
    from huggingface_hub import HfApi

    try:
        with _explained(repository, OutputError):
            HfApi().upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=list(files),
                commit_message=message,
            )
    except OutputError as err:
        raise OutputError(
            f'{err}. {folder} is whole: push it later with "hf upload {repository} {folder}"'
        ) from err
    logger.info("pushed %s to %s", folder, repository)


@contextmanager
def _explained(what: str, kind: type[ModelError] | type[OutputError]) -> Iterator[None]:
    """Turn what huggingface_hub raises into ours, each with its remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # Requests that never got an answer raise the HTTP library's own errors, and which library that
    # is depends on the version of huggingface_hub: its base class names it.
    transport_error: type[Exception] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except LocalEntryNotFoundError:
        raise  # a question of the cache
    except OfflineModeIsEnabled as err:
        raise kind(f"{what}: HF_HUB_OFFLINE keeps us from the Hugging Face Hub; unset it") from err
    except GatedRepoError as err:
        raise kind(
            f"{what}: its owner asks for consent first; give it on the repository's page, "
            'and log in with "hf auth login"'
        ) from err
    except RepositoryNotFoundError as err:
        raise kind(
            f"{what}: no such repository on the Hugging Face Hub, or it is private and you are "
            'not logged in as one who may see it ("hf auth login")'
        ) from err
    except RevisionNotFoundError as err:
        raise kind(f"{what}: the repository has no such branch, tag or commit") from err
    except (HFValidationError, OSError, transport_error) as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise kind(
            f"{what}: the Hugging Face Hub refused, or could not be reached: {reason}"
        ) from err
