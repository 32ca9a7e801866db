"""``model.json``, the manifest of a bundle, and the card written from it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo import config
from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.files import write_json
from rrsis_geo.model.calibration import UNCALIBRATED, Calibration
from rrsis_geo.model.names import MODEL_FILE, Language, Precision
from rrsis_geo.model.presence import check_threshold
from rrsis_geo.text.reference_phrases import TextRules
from rrsis_geo.version import __version__

if TYPE_CHECKING:
    from rrsis_geo.images import ImageSpec
    from rrsis_geo.nets import ReferringNet
    from rrsis_geo.text.tokenizer import Tokenizer

FORMAT = 1
LIBRARIES = ("torch", "timm", "safetensors")

MAX_BYTES = 16 * 2**20
"""A larger model.json is not read. Those of the shipped models have a few kilobytes."""
MAX_TOKENS = 4096
"""Longest encoded expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPart:
    """The network: a key of ``rrsis_geo.nets.NETS`` and its settings, which are not checked yet."""

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Settings of the tokenizer, and the checksum of the vocabulary."""

    max_tokens: int
    lower_case: bool
    sha256: str
    keep_separator: bool = True
    text_rules: TextRules = "aligned"

    def __post_init__(self) -> None:
        if not 3 <= self.max_tokens <= MAX_TOKENS:
            raise ConfigError(f"max_tokens must be from 3 to {MAX_TOKENS}, got {self.max_tokens}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsPart:
    """Precision and checksum of the stored weights."""

    precision: Precision
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents of model.json that rrsis-geo reads.

    Attributes:
        image: settings of the images, not checked yet.
        about: free-form description. The fields of `KnownFacts` are checked.
        language: who resolves words of position, size and order about a single image. Bundles of
            earlier versions do not say it, and their networks were trained on such words.
        presence: threshold of presence, see `rrsis_geo.model.presence`; None if it was not fitted.
        calibration: of the scores of objects; the default if it was not fitted.
    """

    net: NetPart
    image: Mapping[str, Any]
    text: TextPart
    weights: WeightsPart
    about: Mapping[str, Any]
    language: Language = "network"
    presence: float | None = None
    calibration: Calibration = UNCALIBRATED

    def __post_init__(self) -> None:
        check_threshold(self.presence)

    @property
    def estimates_presence(self) -> bool:
        """Whether the network estimates if the target is in a window: its setting "presence"."""
        return bool(self.net.config.get("presence", False))


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFacts:
    """The facts of ``about`` that rrsis-geo uses. All may be missing."""

    summary: str = ""
    categories: tuple[str, ...] = ()
    seconds_per_window: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds_per_window < 1e6:
            raise ConfigError(
                f"seconds_per_window must be above 0 and below 1e6, got {self.seconds_per_window}"
            )


def read_manifest(folder: Path) -> Manifest:
    """Read the model.json of a bundle, and check every field but the settings of net and image.

    Raises:
        ModelError: the file is missing, damaged or of another format. The message names the field.
    """
    path = folder / MODEL_FILE
    values = _read_json(path)
    if not isinstance(values, dict) or "format" not in values:
        raise ModelError(f'{path}: has no "format", so it is not a bundle of rrsis-geo')
    if values["format"] != FORMAT:
        raise ModelError(
            f"{path}: has format {values['format']!r:.40}; this rrsis-geo ({__version__}) reads "
            f"format {FORMAT}. Install the version named on the card of the bundle"
        )
    parts = {field.name: values[field.name] for field in fields(Manifest) if field.name in values}
    try:
        manifest = config.build(Manifest, parts, source=str(path))
        known = {
            field.name: manifest.about[field.name]
            for field in fields(KnownFacts)
            if field.name in manifest.about
        }
        config.build(KnownFacts, known, source=f"{path}: about")
    except ConfigError as err:
        raise ModelError(f"{err}; download the bundle again") from err
    return manifest


def write_presence(folder: Path, presence: float) -> None:
    """Write a threshold of presence into the model.json of a bundle.

    Raises:
        ModelError: the file is missing or damaged.
        OutputError: the file cannot be written.
    """
    read_manifest(folder)
    _write_values(folder, {"presence": presence})


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration of scores into the model.json of a bundle, or remove that it has.

    Raises:
        ModelError: the file is missing or damaged.
        OutputError: the file cannot be written.
    """
    read_manifest(folder)
    _write_values(folder, {"calibration": None, **calibration.to_record()})


def _write_values(folder: Path, values: Mapping[str, Any]) -> None:
    """Set values of a model.json; None removes one."""
    merged = {**_read_json(folder / MODEL_FILE), **values}
    write_json(folder / MODEL_FILE, {k: v for k, v in merged.items() if v is not None})


def image_source(folder: Path) -> str:
    """Name of the image settings of a bundle in error messages."""
    return f"{folder / MODEL_FILE}: image"


def _read_json(path: Path) -> Any:
    """Read a file of JSON. NaN, infinite numbers and text that is not Unicode are not JSON.

    Raises:
        ModelError: the file cannot be read or is not JSON.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise ModelError(f"{path}: cannot be read ({err.strerror})") from err
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path}: is larger than {MAX_BYTES} bytes; download the bundle again")
    try:
        values = json.loads(content.decode())
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()  # loads accepts both
    except (ValueError, RecursionError) as err:
        raise ModelError(f"{path}: is not JSON ({err}); download the bundle again") from err
    return values


def make_manifest(
    net: "ReferringNet",
    tokenizer: "Tokenizer",
    image: "ImageSpec",
    about: Mapping[str, Any],
    *,
    language: Language,
    precision: Precision,
) -> dict[str, Any]:
    """Contents of model.json without the checksums."""
    return {
        "format": FORMAT,
        "net": {"name": net.name, "config": asdict(net.config)},
        "image": image.to_dict(),
        "text": tokenizer.to_dict(),
        "weights": {"precision": precision},
        "language": language,
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
        ("language", manifest["language"]),
        *(
            [("presence", f"threshold {manifest['presence']:.6g}")]
            if "presence" in manifest
            else []
        ),
        *([("score", str(Calibration.from_record(manifest)))] if "calibration" in manifest else []),
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
    if path.exists() and not path.is_file():  # a device or a pipe may have no end
        raise ModelError(f"{path}: is not a file; download the bundle again")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ModelError(
            f"{path}: cannot be read ({err.strerror}); download the bundle again"
        ) from err
