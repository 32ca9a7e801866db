"""Model bundles: the folder that ``train`` writes and ``segment`` reads.

A bundle holds ``model.json`` (network and its settings, image and text settings, sha256 of the
files, what there is to know about the model), ``weights.safetensors``, ``vocab.txt`` and the card
``README.md``. Loading one runs no code of the bundle's, and fetches nothing but what is named by an
address on the Hugging Face Hub (``hf://owner/name``).

The modules that need torch are imported where they are used, so that listing bundles is quick.
"""

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo.errors import ConfigError, ModelError, OutputError
from rrsis_geo.files import atomic_folder, is_empty
from rrsis_geo.model import hub
from rrsis_geo.model.names import (
    BUNDLE_FILES,
    CARD_FILE,
    DEFAULT_BUNDLE,
    MODEL_FILE,
    WEIGHTS_FILE,
)
from rrsis_geo.text import VOCABULARY_FILE
from rrsis_geo.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from rrsis_geo.images import ImageSpec
    from rrsis_geo.model.storage import Precision
    from rrsis_geo.nets import ReferringNet
    from rrsis_geo.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model.

    Attributes:
        name: the folder's name; ``owner/name`` of one from the Hub.
        path: the folder.
        net: in eval mode, on the CPU, float32.
        tokenizer: for its expressions.
        image: what its images look like.
        about: what there is to know: data, scores, licence; free-form, JSON-able.
        sha256: of the weights file; names the model exactly.
    """

    name: str
    path: Path
    net: "ReferringNet"
    tokenizer: "Tokenizer"
    image: "ImageSpec"
    about: Mapping[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What a bundle says of itself, read without its weights.

    Attributes:
        name: to be given as ``--model``.
        path: the folder.
        net: name of the network, "" where unreadable.
        precision: of the stored weights, "" where unreadable.
        size_bytes: of the weights file.
        sha256: of the weights file, as stated; "" where unreadable.
        about: as in ``Bundle``.
        problem: why the bundle cannot be used, "" where nothing speaks against it.
    """

    name: str
    path: Path
    net: str
    precision: str
    size_bytes: int
    sha256: str
    about: Mapping[str, Any]
    problem: str = ""


# --- finding


def find_bundle(name_or_path: str | Path) -> Path:
    """The folder of a bundle.

    A path to a bundle is taken as it is; a name is looked up among the checkout's ``models``, the
    bundles of the installed package, and the user's cache. An address (``hf://owner/name``, or
    ``hf://owner/name@revision``) is fetched from the Hugging Face Hub, or taken from its cache.

    Raises:
        ModelError: nothing there; the message says where it looked and which bundles there are.
    """
    if hub.is_address(str(name_or_path)):
        folder = hub.fetch(str(name_or_path), BUNDLE_FILES)
        if not (folder / MODEL_FILE).is_file():
            raise ModelError(f"{name_or_path}: has no {MODEL_FILE}, so it is no model bundle")
        return folder
    path = Path(name_or_path).expanduser()
    if path.name == MODEL_FILE and path.is_file():
        return path.parent
    if (path / MODEL_FILE).is_file():
        return path
    name = str(name_or_path)
    places = [folder / name for folder in bundle_folders()] if _NAME.fullmatch(name) else []
    for place in places:
        if (place / MODEL_FILE).is_file():
            return place
    tried = ", ".join(map(str, [path.absolute(), *places]))
    there = ", ".join(summary.name for summary in list_bundles()) or "none"
    raise ModelError(
        f'no model bundle "{name}": no {MODEL_FILE} in any of: {tried}. '
        "Give the path of a bundle, an address hf://owner/name, or one of the names found: "
        f"{there}"
    )


def bundle_name(folder: Path) -> str:
    """What to call the bundle in a folder."""
    return hub.repository_of(folder) or folder.resolve().name


def list_bundles() -> list[BundleSummary]:
    """The bundles that can be named, sorted; damaged ones too, with what is wrong with them."""
    found: dict[str, BundleSummary] = {}
    for folder in bundle_folders():
        for path in sorted(folder.glob(f"*/{MODEL_FILE}")):
            if _NAME.fullmatch(path.parent.name):
                found.setdefault(path.parent.name, _summary(path.parent))
    return [found[name] for name in sorted(found)]


def bundle_folders() -> list[Path]:
    """Where names are looked up, first come first served; the folders need not exist."""
    package = Path(__file__).resolve().parents[1]
    folders = [package / "bundles", cache_folder()]
    if (package.parent / "pyproject.toml").is_file():  # else it is a site-packages folder
        folders.insert(0, package.parent / "models")
    return folders


def cache_folder() -> Path:
    """The user's own bundles, at the platform's place for such files."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "rrsis-geo" / "models"


def _summary(folder: Path) -> BundleSummary:
    weights = folder / WEIGHTS_FILE
    size_bytes = weights.stat().st_size if weights.is_file() else 0
    try:
        facts = _read_facts(folder)
    except ModelError as err:
        return BundleSummary(folder.name, folder, "", "", size_bytes, "", {}, problem=str(err))
    return BundleSummary(
        name=folder.name,
        path=folder,
        net=facts["net"]["name"],
        precision=facts["weights"]["precision"],
        size_bytes=size_bytes,
        sha256=facts["weights"]["sha256"],
        about=facts["about"],
        problem="" if size_bytes else f"{weights}: is missing; fetch the bundle again",
    )


# --- loading


def load_bundle(name_or_path: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Load a bundle, checked whole: format, settings, checksums, every tensor's name and shape.

    Raises:
        ModelError: there is no such bundle, or it is damaged, or from another version of rrsis-geo.
    """
    folder = find_bundle(name_or_path)
    facts = _read_facts(folder)
    for part, file in (("weights", WEIGHTS_FILE), ("text", VOCABULARY_FILE)):
        if _sha256(folder / file) != facts[part]["sha256"]:
            raise ModelError(
                f"{folder / file}: is not the file that {MODEL_FILE} speaks of (its sha256 "
                "differs): the copy is damaged or mixed up; fetch the bundle again"
            )
    tensors = _read_tensors(folder / WEIGHTS_FILE)

    from rrsis_geo.model.storage import fill

    tokenizer, image = _settings(folder, facts)
    try:
        net = _build(facts["net"]["name"], facts["net"]["config"])
    except (ConfigError, ModelError) as err:
        raise ModelError(f"{folder / MODEL_FILE}: {err}") from err
    try:
        fill(net, tensors)
    except ModelError as err:
        raise ModelError(f"{folder / WEIGHTS_FILE}: {err}") from err
    return Bundle(
        name=bundle_name(folder),
        path=folder,
        net=net.eval(),
        tokenizer=tokenizer,
        image=image,
        about=facts["about"],
        sha256=facts["weights"]["sha256"],
    )


def load_settings(name_or_path: str | Path = DEFAULT_BUNDLE) -> "tuple[Tokenizer, ImageSpec]":
    """How a bundle reads expressions and images; its weights are not touched.

    Raises:
        ModelError: there is no such bundle, or its settings are damaged.
    """
    folder = find_bundle(name_or_path)
    return _settings(folder, _read_facts(folder))


def _settings(folder: Path, facts: Mapping[str, Any]) -> "tuple[Tokenizer, ImageSpec]":
    from rrsis_geo.images import ImageSpec
    from rrsis_geo.text.tokenizer import Tokenizer

    text = {key: value for key, value in facts["text"].items() if key != "sha256"}
    try:
        return Tokenizer.from_dict(folder, text), ImageSpec.from_dict(facts["image"])
    except ModelError as err:
        raise ModelError(f"{folder / MODEL_FILE}: {err}") from err


_FACTS: dict[str, dict[str, type]] = {
    "net": {"name": str, "config": dict},
    "image": {},
    "text": {"sha256": str},
    "weights": {"sha256": str, "precision": str},
    "about": {},
}
"""The objects that model.json must hold, and what each of them must."""


def _read_facts(folder: Path) -> dict[str, Any]:
    """The contents of model.json, with everything of ``_FACTS`` in it.

    Raises:
        ModelError: it cannot be read, or holds something else.
    """
    path = folder / MODEL_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, RecursionError) as err:
        raise ModelError(f"{path}: is not JSON ({err}); fetch the bundle again") from err
    if not isinstance(facts, dict) or "format" not in facts:
        raise ModelError(f'{path}: has no "format", so it is not a bundle of rrsis-geo')
    if facts["format"] != FORMAT:
        raise ModelError(
            f"{path}: has format {facts['format']!r}; this rrsis-geo ({__version__}) reads format "
            f"{FORMAT}. Install the version that the bundle's card names"
        )
    for part, fields in _FACTS.items():
        if not isinstance(facts.get(part), dict):
            raise ModelError(f'{path}: has no "{part}"; fetch the bundle again')
        for name, kind in fields.items():
            if not isinstance(facts[part].get(name), kind):
                raise ModelError(f'{path}: "{part}" has no {kind.__name__} "{name}"')
    return facts


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ModelError(
            f"{path}: cannot be read ({err.strerror}); fetch the bundle again"
        ) from err


def _read_tensors(path: Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as err:
        raise ModelError(f"{path}: is not a whole safetensors file: {err}") from err


def _build(name: str, config: Mapping[str, Any]) -> "ReferringNet":
    """A network with fresh weights; the random numbers of the caller are left alone."""
    import torch

    from rrsis_geo.nets import build_net

    with torch.random.fork_rng(devices=[]):
        return build_net(name, config)


# --- saving


def save_bundle(
    folder: Path,
    net: "ReferringNet",
    tokenizer: "Tokenizer",
    image: "ImageSpec",
    about: Mapping[str, Any],
    *,
    precision: "Precision" = "int8",
    card: str | None = None,
) -> Path:
    """Write a bundle; it appears under its name when whole, and then replaces an older one.

    Args:
        folder: where; its name is the bundle's.
        net: of a class in ``NETS``; its training-only parts are left out.
        tokenizer: that the network was trained with.
        image: settings the network was trained with.
        about: what there is to know, JSON-able.
        precision: of the stored weights, see ``nets.storage``.
        card: Markdown for README.md; None writes a plain one from ``about``.

    Raises:
        ModelError: the weights are not all finite.
        OutputError: the folder cannot be written, or something that is no bundle stands there.
    """
    from safetensors.torch import save_file

    from rrsis_geo.model.storage import stored_state

    folder = Path(folder)
    if folder.exists() and not (folder / MODEL_FILE).is_file() and not is_empty(folder):
        raise OutputError(f"{folder}: exists and is not a model bundle; give another place")
    tensors = stored_state(net, precision)
    facts = _facts_of(net, tokenizer, image, about, precision)
    try:
        with atomic_folder(folder) as part:
            save_file(tensors, part / WEIGHTS_FILE)
            (part / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only the owner read
            tokenizer.save(part)
            facts["weights"]["sha256"] = _sha256(part / WEIGHTS_FILE)
            facts["text"]["sha256"] = _sha256(part / VOCABULARY_FILE)
            text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            (part / MODEL_FILE).write_text(text, encoding="utf-8")
            card = card if card is not None else plain_card(folder.name, facts)
            (part / CARD_FILE).write_text(card, encoding="utf-8")
    except OSError as err:
        raise OutputError(f"{folder}: the bundle cannot be written: {err}") from err
    logger.info("saved %s", folder)
    return folder


def plain_card(name: str, facts: Mapping[str, Any]) -> str:
    """A card that says what ``model.json`` says, for bundles that no one wrote a better one for."""
    about = facts["about"]
    nested = {key: value for key, value in about.items() if isinstance(value, dict | list)}
    rows = [
        ("network", facts["net"]["name"]),
        ("weights", f"{facts['weights']['precision']}, sha256 {facts['weights']['sha256']}"),
        ("image", f"{facts['image']['size_px']} px, {facts['image']['gsd_m'] or '?'} m a pixel"),
        *((key, value) for key, value in about.items() if key not in nested),
    ]
    lines = [f"# {name}", "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows]
    for key, value in nested.items():
        text = json.dumps(value, indent=2, ensure_ascii=False)
        lines += ["", f"## {key}", "", "```json", text, "```"]
    return "\n".join([*lines, ""])


def _facts_of(
    net: "ReferringNet",
    tokenizer: "Tokenizer",
    image: "ImageSpec",
    about: Mapping[str, Any],
    precision: "Precision",
) -> dict[str, Any]:
    """What model.json holds, but for the checksums."""
    from importlib.metadata import version

    libraries = ("torch", "timm", "transformers", "safetensors")
    return {
        "format": FORMAT,
        "net": {
            "name": net.name,
            "config": asdict(net.config),
        },
        "image": image.to_dict(),
        "text": tokenizer.to_dict(),
        "weights": {"precision": precision},
        "about": dict(about),
        "versions": {"rrsis-geo": __version__, **{name: version(name) for name in libraries}},
    }
