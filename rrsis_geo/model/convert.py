"""Convert published checkpoints of LAVT, RMSIN and FIANet to bundles. Their code never runs."""

import argparse
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle, load_settings, save_bundle
from rrsis_geo.model.names import DEFAULT_BUNDLE, Precision
from rrsis_geo.nets import build_net
from rrsis_geo.nets.convert import FoundSettings, infer_settings, load_renamed, rename_state
from rrsis_geo.text.reference_phrases import TextRules
from rrsis_geo.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

DEFAULT_SIZE_PX = 480
"""Side of the images of LAVT and FIANet, where the checkpoint does not tell."""
PAPERS = {
    "lavt": "LAVT, arXiv 2112.02244",
    "rmsin": "RMSIN, arXiv 2312.12470",
    "fianet": "FIANet, arXiv 2409.13637",
}
MAX_TOKENS = {"lavt": 20, "rmsin": 20, "fianet": 22}
UNPUBLISHED = ("btdnet", "crobim")
"""Networks whose authors published no checkpoint, so that the names in one are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """How a checkpoint is converted.

    Attributes:
        family: network of the checkpoint, a key of `PAPERS`. None finds out by the names of its
            tensors.
        size_px: side of the images. None takes that of the checkpoint, or 480.
        max_tokens: length of encoded expressions. None takes that of the authors' code.
        gsd_m: metres on the ground per pixel that the network works best at, None if unknown.
        vocabulary: folder with the vocab.txt of its BERT. None takes that of bert-base-uncased,
            which the shipped model has too.
        precision: of the stored weights.
        facts: more facts for ``about`` and the card: source, paper, licence.
    """

    family: str | None = None
    size_px: int | None = None
    max_tokens: int | None = None
    gsd_m: float | None = None
    vocabulary: Path | None = None
    precision: Precision = "fp32"
    facts: Mapping[str, Any] | None = None


class ConvertReport(NamedTuple):
    """What was converted.

    Attributes:
        path: folder of the bundle.
        net: name of the network.
        parameters: number of its parameters.
        size_px: side of its images.
        left_out_kinds: what the checkpoint holds and the bundle has no use for: kind -> how many.
    """

    path: Path
    net: str
    parameters: int
    size_px: int
    left_out_kinds: Mapping[str, int]


class Checkpoint(NamedTuple):
    """A file of the authors.

    Attributes:
        state: name -> tensor, of the network and its BERT.
        arguments: the command line that trained it.
        left_out: entries besides, such as the optimizer.
    """

    state: dict[str, Tensor]
    arguments: Mapping[str, Any]
    left_out: tuple[str, ...]


def convert_checkpoint(path: Path, out: Path, options: ConvertOptions) -> ConvertReport:
    """Write a bundle from a checkpoint of the authors of LAVT, RMSIN or FIANet.

    Raises:
        ModelError: the file cannot be read, is not a checkpoint of such a network, or holds more
            than tensors and settings.
        ConfigError: the options do not fit the network.
        OutputError: the bundle cannot be written.
    """
    _check_family(options.family)
    checkpoint = read_checkpoint(path)
    try:
        renamed = rename_state(checkpoint.state)
        found = infer_settings(renamed.tensors, heads=_fusion_heads(checkpoint.arguments))
        if options.family not in (None, found.family):
            raise ModelError(f"is a checkpoint of {found.family}, not of {options.family}")
        size_px = found.size_px or options.size_px or DEFAULT_SIZE_PX
        net = build_net(found.family, {**found.settings, "image_px": size_px}).eval()
        load_renamed(net, renamed.tensors)
    except ModelError as err:
        raise ModelError(f"{path}: {err}") from err
    tokenizer = _load_tokenizer(found, options)
    image = ImageSpec(size_px=options.size_px or size_px, gsd_m=options.gsd_m)
    net.check_inputs(
        size_px=image.size_px,
        vocab_size=len(tokenizer.vocabulary),
        max_tokens=tokenizer.max_tokens,
    )
    left_out_kinds = _count_kinds((*checkpoint.left_out, *renamed.left_out))
    about = {
        "summary": f"{PAPERS[found.family].partition(',')[0]}, converted from {path.name}",
        "source": path.name,
        "paper": PAPERS[found.family],
        "licence": "not stated",
        "protocol": {
            "images": f"squashed to {image.size_px} x {image.size_px} px",
            "enlarging": "bilinear with aligned corners",
            "expressions": f"cut after {tokenizer.max_tokens} word pieces",
        },
        "left_out": left_out_kinds,
        **(options.facts or {}),
    }
    save_bundle(
        Bundle(
            name=out.name,
            path=out,
            net=net,
            tokenizer=tokenizer,
            image=image,
            about=about,
            sha256="",
        ),
        precision=options.precision,
    )
    n_parameters = sum(p.numel() for p in net.parameters())
    return ConvertReport(out, found.family, n_parameters, image.size_px, left_out_kinds)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file that ``torch.save`` wrote: tensors, numbers and an ``argparse.Namespace``.

    Raises:
        ModelError: the file cannot be read, or contains anything else that would run code.
    """
    if not path.is_file():
        raise ModelError(f"{path}: file does not exist")
    held = _load_weights(path)
    if not isinstance(held, Mapping) or not isinstance(held.get("model"), Mapping):
        raise ModelError(f'{path}: has no "model", so it is not a checkpoint of the authors\' code')
    state = dict(held["model"])
    bert = held.get("bert_model")  # LAVT keeps its BERT outside of the network
    if isinstance(bert, Mapping):
        state |= {f"text_encoder.{key.removeprefix('module.')}": v for key, v in bert.items()}
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: not all entries of its model are tensors")
    arguments = held.get("args")
    return Checkpoint(
        state=state,
        arguments=vars(arguments) if isinstance(arguments, argparse.Namespace) else {},
        left_out=tuple(str(key) for key in held if key not in ("model", "bert_model")),
    )


def _load_weights(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as err:
                if "mmap" not in str(err):
                    raise
                return torch.load(path, map_location="cpu", weights_only=True)  # an old format
    except pickle.UnpicklingError as err:
        raise ModelError(
            f"{path}: holds more than weights and settings, and would run code; it is not read"
        ) from err
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as err:
        reason = " ".join(str(err).split())[:200]
        raise ModelError(f"{path}: is not a checkpoint of torch: {reason}") from err


def _fusion_heads(arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """Heads of each stage from the authors' option ``mha``, such as "4-4-4-4"."""
    text = str(arguments.get("mha") or "")
    parts = text.split("-")
    if not text or not all(part.isdigit() for part in parts):
        return (1, 1, 1, 1)
    return tuple(int(part) for part in parts)


def _check_family(family: str | None) -> None:
    if family in UNPUBLISHED:
        raise ConfigError(
            f"the authors of {family} published no checkpoint, so the names of the tensors in one "
            f"are not known and none can be converted; train it with configs/{family}_*.toml"
        )
    if family is not None and family not in PAPERS:
        raise ConfigError(f'no family "{family}"; choose one of: {", ".join(PAPERS)}')


def _load_tokenizer(found: FoundSettings, options: ConvertOptions) -> Tokenizer:
    """The tokenizer of the authors' code. FIANet has one block of TMEM for RefSegRS only."""
    max_tokens = options.max_tokens or MAX_TOKENS[found.family]
    if max_tokens < 3:
        raise ConfigError(f"max_tokens must be at least 3, got {max_tokens}")
    rules: TextRules = "aligned"
    if found.family == "fianet":
        is_refsegrs = found.settings["tmem_blocks"] == 1
        rules = "reference-refsegrs" if is_refsegrs else "reference-rrsisd"
    if options.vocabulary is not None:
        return Tokenizer.load(
            options.vocabulary, max_tokens=max_tokens, keep_separator=False, text_rules=rules
        )
    shipped, _ = load_settings(DEFAULT_BUNDLE)
    return Tokenizer(
        shipped.vocabulary, max_tokens=max_tokens, keep_separator=False, text_rules=rules
    )


def _count_kinds(names: tuple[str, ...]) -> dict[str, int]:
    """Kinds of entries -> how many; the kind is the last part of the name."""
    kinds: dict[str, int] = {}
    for name in names:
        kind = "go_embedding" if ".go_embedding." in name else name.rpartition(".")[2]
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds
