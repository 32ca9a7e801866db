"""``model.json``, the manifest of a bundle, and the card written from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo.errors import ModelError
from rrsis_geo.model.names import MODEL_FILE
from rrsis_geo.version import __version__

if TYPE_CHECKING:
    from rrsis_geo.images import ImageSpec
    from rrsis_geo.model.storage import Precision
    from rrsis_geo.nets import ReferringNet
    from rrsis_geo.text.tokenizer import Tokenizer

FORMAT = 1
LIBRARIES = ("torch", "timm", "transformers", "safetensors")

_REQUIRED: dict[str, dict[str, type]] = {
    "net": {"name": str, "config": dict},
    "image": {},
    "text": {"sha256": str},
    "weights": {"sha256": str, "precision": str},
    "about": {},
}
"""Required objects of model.json, with their required fields and types."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the model.json of a bundle and check that all required fields are there.

    Raises:
        ModelError: the file is missing, damaged or of another format.
    """
    path = folder / MODEL_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, RecursionError) as err:
        raise ModelError(f"{path}: is not JSON ({err}); download the bundle again") from err
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ModelError(f'{path}: has no "format", so it is not a bundle of rrsis-geo')
    if manifest["format"] != FORMAT:
        raise ModelError(
            f"{path}: has format {manifest['format']!r}; this rrsis-geo ({__version__}) reads "
            f"format {FORMAT}. Install the version named on the card of the bundle"
        )
    for part, fields in _REQUIRED.items():
        if not isinstance(manifest.get(part), dict):
            raise ModelError(f'{path}: has no "{part}"; download the bundle again')
        for name, kind in fields.items():
            if not isinstance(manifest[part].get(name), kind):
                raise ModelError(f'{path}: "{part}" has no {kind.__name__} "{name}"')
    return manifest


def make_manifest(
    net: "ReferringNet",
    tokenizer: "Tokenizer",
    image: "ImageSpec",
    about: Mapping[str, Any],
    *,
    precision: "Precision",
) -> dict[str, Any]:
    """Contents of model.json without the checksums."""
    return {
        "format": FORMAT,
        "net": {"name": net.name, "config": asdict(net.config)},
        "image": image.to_dict(),
        "text": tokenizer.to_dict(),
        "weights": {"precision": precision},
        "about": dict(about),
        "versions": {"rrsis-geo": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def make_card(name: str, manifest: Mapping[str, Any]) -> str:
    """Markdown card with the contents of model.json, for bundles without a card of their own."""
    about = manifest["about"]
    nested = {key: value for key, value in about.items() if isinstance(value, dict | list)}
    weights, image = manifest["weights"], manifest["image"]
    rows = [
        ("network", manifest["net"]["name"]),
        ("weights", f"{weights['precision']}, sha256 {weights['sha256']}"),
        ("image", f"{image['size_px']} px, {image['gsd_m'] or '?'} m a pixel"),
        *((key, value) for key, value in about.items() if key not in nested),
    ]
    lines = [f"# {name}", "", "| | |", "| --- | --- |"]
    lines += [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows]
    for key, value in nested.items():
        text = json.dumps(value, indent=2, ensure_ascii=False)
        lines += ["", f"## {key}", "", "```json", text, "```"]
    return "\n".join([*lines, ""])


def compute_sha256(path: Path) -> str:
    """SHA-256 of a file of a bundle.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ModelError(
            f"{path}: cannot be read ({err.strerror}); download the bundle again"
        ) from err
