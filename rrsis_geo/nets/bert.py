"""A BERT from transformers, split into four stages so that a fusion step can run between them."""

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

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
        # Imported here because it takes seconds, and many commands build no network.
        from transformers import BertConfig, BertModel

        super().__init__()
        self.config = config
        hf_config = BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            num_hidden_layers=sum(config.stages),
            num_attention_heads=config.heads,
            intermediate_size=config.ffn_width,
            max_position_embeddings=config.max_tokens,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
        )
        hf_config._attn_implementation = "sdpa"
        self.model = BertModel(hf_config, add_pooling_layer=False)
        ends = list(accumulate(config.stages))
        self.stage_layers = list(zip([0, *ends[:-1]], ends, strict=True))

    def embed(self, ids: Tensor) -> Tensor:
        """Word, position and type embeddings, int64 [B, L] -> [B, L, D]."""
        return self.model.embeddings(input_ids=ids)  # type: ignore[no-any-return]

    def stage(self, index: int, words: Tensor, attention: Tensor) -> Tensor:
        """Run stage ``index`` (0 to 3), [B, L, D] -> [B, L, D]; bool [B or 1, L] marks tokens."""
        start, stop = self.stage_layers[index]
        mask_B11L = attention[:, None, None, :]
        for layer in self.model.encoder.layer[start:stop]:
            out = layer(words, mask_B11L)
            words = out[0] if isinstance(out, tuple) else out  # a tuple in transformers 4
        return words

    def encode(self, ids: Tensor, attention: Tensor) -> Tensor:
        """Embed tokens and run all four stages, [B, L] -> [B, L, D]."""
        words = self.embed(ids)
        for index in range(4):
            words = self.stage(index, words, attention)
        return words

    def load_pretrained(self, source: str | Path) -> None:
        """Load pretrained weights by Hugging Face name or from a local folder.

        Raises:
            ModelError: the weights cannot be read, or belong to an encoder of another size.
        """
        from transformers import BertModel

        try:
            other = BertModel.from_pretrained(str(source), add_pooling_layer=False)
        except (OSError, ValueError) as err:
            raise ModelError(f"{source}: cannot load BERT weights: {err}") from err
        try:
            self.model.load_state_dict(other.state_dict(), strict=False)
        except RuntimeError as err:
            raise ModelError(
                f"{source}: this BERT has another size than the network; change net.text"
            ) from err
