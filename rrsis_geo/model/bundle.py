"""Model bundles: the folder that ``train`` writes and ``segment`` reads.

A bundle has four files: ``model.json`` (network, settings, checksums, description),
``weights.safetensors``, ``vocab.txt`` and the card ``README.md``. Loading a bundle runs no code
from it. Only an address on the Hugging Face Hub (``hf://owner/name``) needs a connection.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rrsis_geo.errors import ConfigError, ModelError, OutputError
from rrsis_geo.files import atomic_folder, is_empty
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.calibration import UNCALIBRATED, Calibration
from rrsis_geo.model.catalog import bundle_name, find_bundle
from rrsis_geo.model.manifest import (
    Manifest,
    compute_sha256,
    image_source,
    make_card,
    make_manifest,
    read_manifest,
)
from rrsis_geo.model.names import (
    CARD_FILE,
    DEFAULT_BUNDLE,
    MODEL_FILE,
    WEIGHTS_FILE,
    Language,
    Precision,
)
from rrsis_geo.model.storage import fitting_state, stored_state
from rrsis_geo.nets import ReferringNet, build_net
from rrsis_geo.text import VOCABULARY_FILE
from rrsis_geo.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model: a network and what is needed to run it.

    Attributes:
        name: name of the folder, or ``owner/name`` of a bundle from the Hub.
        path: folder of the bundle.
        net: the network. ``load_bundle`` gives it in eval mode, on the CPU, in float32.
        tokenizer: tokenizer of its expressions.
        image: size, normalisation and ground pixel of its images.
        about: free-form description, JSON-able: training data, scores, licence.
        sha256: checksum of the weights file, "" if the bundle is not saved. It identifies the
            model.
        language: "resolved" if words of position, size and order about a single image are for the
            rules that also resolve them over a scene; "network" if the network was trained on them.
        presence: windows in which the probability of the target is below this give nothing; None
            if no threshold was fitted.
        calibration: from the mean probability of an object to its score.
    """

    name: str
    path: Path
    net: ReferringNet
    tokenizer: Tokenizer
    image: ImageSpec
    about: Mapping[str, Any]
    sha256: str
    language: Language = "network"
    presence: float | None = None
    calibration: Calibration = UNCALIBRATED


def load_bundle(name_or_path: str | Path = DEFAULT_BUNDLE) -> Bundle:
    """Load a bundle. Its format, settings, checksums and tensors are checked.

    Raises:
        ModelError: the bundle does not exist, is damaged, or was made by another version of
            rrsis-geo.
    """
    folder = find_bundle(name_or_path)
    manifest = read_manifest(folder)
    for file, sha256 in (
        (WEIGHTS_FILE, manifest.weights.sha256),
        (VOCABULARY_FILE, manifest.text.sha256),
    ):
        if compute_sha256(folder / file) != sha256:
            raise ModelError(
                f"{folder / file}: its sha256 differs from the one in {MODEL_FILE}, so the file is "
                "damaged or belongs to another bundle; download the bundle again"
            )
    tensors = _read_tensors(folder / WEIGHTS_FILE)
    tokenizer, image = _read_settings(folder, manifest)
    return Bundle(
        name=bundle_name(folder),
        path=folder,
        net=_build_net(folder, manifest, tokenizer, image, tensors).eval(),
        tokenizer=tokenizer,
        image=image,
        about=manifest.about,
        sha256=manifest.weights.sha256,
        language=manifest.language,
        presence=manifest.presence,
        calibration=manifest.calibration,
    )


def load_settings(name_or_path: str | Path = DEFAULT_BUNDLE) -> tuple[Tokenizer, ImageSpec]:
    """Load the tokenizer and the image settings of a bundle without its weights.

    Raises:
        ModelError: the bundle does not exist, or its settings are damaged.
    """
    folder = find_bundle(name_or_path)
    return _read_settings(folder, read_manifest(folder))


def save_bundle(bundle: Bundle, *, precision: Precision = "int8", card: str | None = None) -> Path:
    """Write a bundle to its ``path`` and return the path.

    The folder appears when it is complete, and replaces an older bundle.

    Args:
        bundle: the model. Training-only parts of its network are left out. Its ``sha256`` is not
            used.
        precision: of the stored weights, see ``rrsis_geo.model.storage``.
        card: Markdown for README.md. None writes a plain card from ``about``.

    Raises:
        ModelError: some weights are not finite.
        OutputError: the folder cannot be written, or contains something else than a bundle.
    """
    folder = bundle.path
    if folder.exists() and not (folder / MODEL_FILE).is_file() and not is_empty(folder):
        raise OutputError(f"{folder}: exists and is not a model bundle; choose another folder")
    tensors = stored_state(bundle.net, precision)
    manifest = make_manifest(
        bundle.net,
        bundle.tokenizer,
        bundle.image,
        bundle.about,
        language=bundle.language,
        precision=precision,
    )
    if bundle.presence is not None:
        manifest["presence"] = bundle.presence
    manifest |= bundle.calibration.to_record()
    try:
        with atomic_folder(folder) as part:
            save_file(tensors, part / WEIGHTS_FILE)
            (part / WEIGHTS_FILE).chmod(0o644)  # safetensors makes files that only the owner reads
            bundle.tokenizer.save(part)
            manifest["weights"]["sha256"] = compute_sha256(part / WEIGHTS_FILE)
            manifest["text"]["sha256"] = compute_sha256(part / VOCABULARY_FILE)
            text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            (part / MODEL_FILE).write_text(text, encoding="utf-8")
            card = card if card is not None else make_card(folder.name, manifest)
            (part / CARD_FILE).write_text(card, encoding="utf-8")
    except OSError as err:
        raise OutputError(f"{folder}: the bundle cannot be written: {err}") from err
    logger.info("saved %s", folder)
    return folder


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as err:
        raise ModelError(f"{path}: is not a complete safetensors file: {err}") from err


def _build_net(
    folder: Path,
    manifest: Manifest,
    tokenizer: Tokenizer,
    image: ImageSpec,
    tensors: Mapping[str, Tensor],
) -> ReferringNet:
    """Build the network of a bundle with its weights.

    It is built on the device "meta" first: a network that does not fit the weights can be of any
    size, and takes neither memory nor time there.
    """
    name, config = manifest.net.name, manifest.net.config
    with torch.random.fork_rng(devices=[]):  # do not change the caller's random state
        try:
            with torch.device("meta"), _NoInitialisation():
                shapes = build_net(name, config)
            shapes.check_inputs(
                size_px=image.size_px,
                vocab_size=len(tokenizer.vocabulary),
                max_tokens=tokenizer.max_tokens,
            )
        except ConfigError as err:
            raise ModelError(f"{folder / MODEL_FILE}: {err}") from err
        try:
            state = fitting_state(shapes, tensors)
        except ModelError as err:
            raise ModelError(f"{folder / WEIGHTS_FILE}: {err}") from err
        net = build_net(name, config)
    net.load_state_dict(state, strict=False)  # training-only parts are not stored
    return net


class _NoInitialisation(TorchFunctionMode):
    """Skips the functions of `torch.nn.init` that can be overridden.

    On the device "meta" they have no effect, and the normal distribution imports `torch._dynamo`,
    which takes a second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if getattr(func, "__module__", "") == torch.nn.init.__name__:
            return options["tensor"]
        return func(*args, **options)


def _read_settings(folder: Path, manifest: Manifest) -> tuple[Tokenizer, ImageSpec]:
    text = manifest.text
    tokenizer = Tokenizer.load(
        folder,
        max_tokens=text.max_tokens,
        lower_case=text.lower_case,
        keep_separator=text.keep_separator,
        text_rules=text.text_rules,
    )
    return tokenizer, ImageSpec.from_dict(manifest.image, source=image_source(folder))
