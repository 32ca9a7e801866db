"""Find bundles by name, path or address, and list the installed ones. Loads no torch."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrsis_geo.errors import ModelError
from rrsis_geo.model import hub
from rrsis_geo.model.facts import describe_presence
from rrsis_geo.model.manifest import read_manifest
from rrsis_geo.model.names import BUNDLE_FILES, MODEL_FILE, WEIGHTS_FILE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """A bundle as described by its model.json. The weights are not read.

    Attributes:
        name: value for ``--model``.
        path: folder of the bundle.
        net: name of the network, "" if model.json cannot be read.
        precision: of the stored weights, "" if model.json cannot be read.
        size_bytes: size of the weights file.
        sha256: checksum of the weights file in model.json, "" if it cannot be read.
        about: as in ``Bundle``.
        presence: how it tells windows without the target, "" if model.json cannot be read.
        problem: why the bundle cannot be used, "" if no problem is known.
    """

    name: str
    path: Path
    net: str
    precision: str
    size_bytes: int
    sha256: str
    about: Mapping[str, Any]
    presence: str = ""
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The facts that users compare, ready for JSON; "about" is the summary in one line."""
        return {
            "name": self.name,
            "path": str(self.path),
            "net": self.net,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "about": str(self.about.get("summary", "")),
            "presence": self.presence,
            "problem": self.problem,
        }


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle.

    A path to a bundle is used as it is. A name is searched for in the ``models`` folder of the
    source checkout, in the installed package, and in the user's cache. The bundle of an address
    (``hf://owner/name`` or ``hf://owner/name@revision``) is downloaded from the Hugging Face Hub,
    or taken from the Hub's cache.

    Raises:
        ModelError: no bundle was found. The message lists the searched folders and the available
            bundles.
    """
    if hub.is_address(str(name_or_path)):
        folder = hub.download(str(name_or_path), BUNDLE_FILES)
        if not (folder / MODEL_FILE).is_file():
            raise ModelError(f"{name_or_path}: has no {MODEL_FILE}, so it is not a model bundle")
        return folder
    path = Path(name_or_path).expanduser()
    if path.name == MODEL_FILE and path.is_file():
        return path.parent
    if (path / MODEL_FILE).is_file():
        return path
    name = str(name_or_path)
    candidates = [folder / name for folder in bundle_folders()] if _NAME.fullmatch(name) else []
    for candidate in candidates:
        if (candidate / MODEL_FILE).is_file():
            return candidate
    searched = ", ".join(map(str, [path.absolute(), *candidates]))
    available = ", ".join(summary.name for summary in list_bundles()) or "none"
    raise ModelError(
        f'no model bundle "{name}": no {MODEL_FILE} in any of: {searched}. '
        "Give the path of a bundle, an address hf://owner/name, or one of the available names: "
        f"{available}"
    )


def bundle_name(folder: Path) -> str:
    """Name of the bundle in a folder: ``owner/name`` in the Hub's cache, else the folder's name."""
    return hub.repository_of(folder) or folder.resolve().name


def list_bundles() -> list[BundleSummary]:
    """Summaries of all bundles that have a name, damaged ones included, sorted by name."""
    summaries: dict[str, BundleSummary] = {}
    for folder in bundle_folders():
        for path in sorted(folder.glob(f"*/{MODEL_FILE}")):
            if _NAME.fullmatch(path.parent.name):
                summaries.setdefault(path.parent.name, _read_summary(path.parent))
    return [summaries[name] for name in sorted(summaries)]


def bundle_folders() -> list[Path]:
    """Folders in which names are searched for, in this order. They may not exist."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "bundles", cache_folder()]
    if (package.parent / "pyproject.toml").is_file():  # a checkout, not a site-packages folder
        folders.insert(0, package.parent / "models")
    return folders


def cache_folder() -> Path:
    """Folder of the user's own bundles, at the usual place of the platform."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rrsis-geo" / "models"


def _read_summary(folder: Path) -> BundleSummary:
    weights = folder / WEIGHTS_FILE
    size_bytes = weights.stat().st_size if weights.is_file() else 0
    try:
        manifest = read_manifest(folder)
    except ModelError as err:
        return BundleSummary(folder.name, folder, "", "", size_bytes, "", {}, problem=str(err))
    return BundleSummary(
        name=folder.name,
        path=folder,
        net=manifest.net.name,
        precision=manifest.weights.precision,
        size_bytes=size_bytes,
        sha256=manifest.weights.sha256,
        about=manifest.about,
        presence=describe_presence(
            estimates=manifest.estimates_presence, threshold=manifest.presence
        ),
        problem="" if size_bytes else f"{weights}: is missing; download the bundle again",
    )
