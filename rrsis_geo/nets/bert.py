"""BERT, split into four stages so that a fusion step can run between them.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
NAACL 2019. It is written here because importing transformers for one encoder takes seconds. Names
of modules, and so the keys of state dicts, are those of transformers' ``BertModel``.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError, ModelError

TEXT_LIMITS = {
    "vocab_size": 200_000,
    "width": 1024,
    "heads": 64,
    "ffn_width": 4096,
    "max_tokens": 4096,
}
"""Largest value of each size: those of the largest BERT, and of a multilingual vocabulary. They
bound the memory that the settings of a bundle can ask for."""
MAX_LAYERS = 24

_NORM_EPS = 1e-12
_INITIAL_STD = 0.02
_WEIGHT_FILES: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "model.safetensors": load_file,
    "pytorch_model.bin": lambda path: torch.load(path, map_location="cpu", weights_only=True),
}
"""File of weights in a folder or on the Hub -> how it is read. The first that exists is used."""
_FIRST_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""Names in the files that were converted from TensorFlow, like those of BERT-base -> ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Size of a BERT encoder. The defaults are BERT-base, uncased."""

    vocab_size: int = 30522
    width: int = 768
    heads: int = 12
    ffn_width: int = 3072
    max_tokens: int = 512
    stages: tuple[int, int, int, int] = (3, 3, 3, 3)
    """Layers in each of the four stages. Networks without fusion in the text use their sum only."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, largest in TEXT_LIMITS.items():
            if not 1 <= getattr(self, name) <= largest:
                raise ConfigError(
                    f"text.{name} must be from 1 to {largest}, got {getattr(self, name)}"
                )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"text.dropout must be in [0, 1), got {self.dropout}")
        if len(self.stages) != 4 or min(self.stages) < 0 or not 1 <= sum(self.stages) <= MAX_LAYERS:
            raise ConfigError(
                f"text.stages must be four numbers of layers, from 1 to {MAX_LAYERS} in total, "
                f"got {self.stages}"
            )
        if self.width % self.heads:
            raise ConfigError(f"text.width {self.width} is not a multiple of {self.heads} heads")


class Bert(nn.Module):
    """The embeddings of a BERT and its layers in four stages. D is its width."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _Model(config)
        ends = list(accumulate(config.stages))
        self.stage_layers = list(zip([0, *ends[:-1]], ends, strict=True))

    def embed(self, ids: Tensor) -> Tensor:
        """Word, position and type embeddings, int64 [B, L] -> [B, L, D]."""
        return self.model.embeddings(ids)  # type: ignore[no-any-return]

    def stage(self, index: int, words: Tensor, attention: Tensor) -> Tensor:
        """Run stage ``index`` (0 to 3), [B, L, D] -> [B, L, D]; bool [B or 1, L] marks tokens."""
        start, stop = self.stage_layers[index]
        mask_B11L = attention[:, None, None, :]
        for layer in self.model.encoder.layer[start:stop]:
            words = layer(words, mask_B11L)
        return words

    def encode(self, ids: Tensor, attention: Tensor) -> Tensor:
        """Embed tokens and run all four stages, [B, L] -> [B, L, D]."""
        words = self.embed(ids)
        for index in range(4):
            words = self.stage(index, words, attention)
        return words

    def load_pretrained(self, source: str | Path) -> None:
        """Load pretrained weights by Hugging Face name or from a local folder.

        The file may hold more than the encoder, such as a pooler or more layers.

        Raises:
            ModelError: the weights cannot be read, or belong to an encoder of another size.
        """
        path = _find_weights(source)
        try:
            state = _WEIGHT_FILES[path.name](path)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, SafetensorError) as err:
            raise ModelError(f"{path}: cannot load BERT weights: {err}") from err
        if not isinstance(state, dict):
            raise ModelError(f"{path}: cannot load BERT weights: is not a state dict")
        state = {_rename_key(str(key)): value for key, value in state.items()}
        expected = self.model.state_dict()
        for key, value in expected.items():
            if key not in state:
                raise ModelError(
                    f"{path}: has no {key}, so it is no BERT of {sum(self.config.stages)} layers "
                    "or more; change net.text, or give weights of another BERT"
                )
            if state[key].shape != value.shape:
                raise ModelError(
                    f"{path}: this BERT has another size than the network ({key} is "
                    f"{list(state[key].shape)} and not {list(value.shape)}); change net.text"
                )
        self.model.load_state_dict({key: state[key] for key in expected})


class _Model(nn.Module):
    """``BertModel`` without its pooler. The parts below have their names from transformers too."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.apply(_initialise)


class _Encoder(nn.Module):
    """The list of layers; ``Bert.stage`` runs them."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(sum(config.stages)))


class _Embeddings(nn.Module):
    """Sum of the embeddings of word pieces, positions and the first of two types of segments."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.width, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_tokens, config.width)
        self.token_type_embeddings = nn.Embedding(2, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Int64 [B, L] -> [B, L, D]."""
        words = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        words = words + self.position_embeddings.weight[: ids.shape[1]]
        return self.dropout(self.LayerNorm(words))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """Attention between words, then a feed-forward network, each with a norm after its sum."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, config.ffn_width)})
        self.output = _Output(config.ffn_width, config)

    def forward(self, words: Tensor, mask_B11L: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        words = self.attention(words, mask_B11L)
        hidden = F.gelu(self.intermediate["dense"](words))
        return self.output(hidden, words)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """Attention of each word to the words that the mask marks, and its output."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Output(config.width, config)

    def forward(self, words: Tensor, mask_B11L: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        return self.output(self.self(words, mask_B11L), words)  # type: ignore[no-any-return]


class _SelfAttention(nn.Module):
    """Scaled dot-product attention with H heads of width d."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(self, words: Tensor, mask_B11L: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        query, key, value = (
            project(words).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        out_BHLd = F.scaled_dot_product_attention(query, key, value, mask_B11L, dropout)
        return out_BHLd.transpose(1, 2).flatten(2)


class _Output(nn.Module):
    """A linear layer, added to the input of its branch, and normalised."""

    def __init__(self, width: int, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, branch: Tensor, words: Tensor) -> Tensor:
        """[B, L, width] and [B, L, D] -> [B, L, D]."""
        return self.LayerNorm(self.dropout(self.dense(branch)) + words)  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """Set the weights that a BERT starts from: normal, and zero for padding and biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_INITIAL_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx] = 0


def _rename_key(key: str) -> str:
    """Our name of a tensor. Files of whole models have their encoder under ``bert.``."""
    key = key.removeprefix("bert.")
    for theirs, ours in _FIRST_NAMES.items():
        if key.endswith(theirs):
            return key.removesuffix(theirs) + ours
    return key


def _find_weights(source: str | Path) -> Path:
    """The file of weights in a local folder, or in the Hub's cache after a download."""
    names = list(_WEIGHT_FILES)
    if Path(source).is_dir():
        for name in names:
            if (Path(source) / name).is_file():
                return Path(source) / name
        raise ModelError(f"{source}: cannot load BERT weights: has no {' or '.join(names)}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    # As in model/hub.py: the base class is that of the HTTP library, for requests without an answer
    transport_error: type[Exception] = HfHubHTTPError.__bases__[0]
    reason = ""
    for name in names:
        try:
            return Path(hf_hub_download(str(source), name))
        except (EntryNotFoundError, HFValidationError, OSError, transport_error) as err:
            reason = " ".join(str(err).split())
    raise ModelError(
        f"{source}: cannot load BERT weights: there is no such folder, and no {' or '.join(names)} "
        f"of this name on the Hugging Face Hub: {reason}"
    )
