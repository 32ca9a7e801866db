"""A transformers BERT cut into four stages, with room for a fusion step between them."""

import json
import logging
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from torch import Tensor, nn
from transformers import BertConfig, BertModel

from rrsis_geo.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Size of a BERT encoder; the defaults are BERT-base, uncased."""

    vocab_size: int = 30522
    width: int = 768
    heads: int = 12
    ffn_width: int = 3072
    max_tokens: int = 512
    stages: tuple[int, int, int, int] = (3, 3, 3, 3)
    """Layers in each of the four stages."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if len(self.stages) != 4 or min(self.stages) < 1:
            raise ConfigError(
                f"text.stages needs four counts of at least one layer, got {self.stages}"
            )
        if self.width % self.heads:
            raise ConfigError(f"text.width {self.width} is not a multiple of {self.heads} heads")


class Bert(nn.Module):
    """Embeddings and four runs of layers of a BERT; D is its width."""

    def __init__(self, config: TextConfig) -> None:
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
        self.runs = list(zip([0, *ends[:-1]], ends, strict=True))

    def embed(self, ids: Tensor) -> Tensor:
        """Word, position and type embeddings, int64 [B, L] -> [B, L, D]."""
        return self.model.embeddings(input_ids=ids)  # type: ignore[no-any-return]

    def stage(self, index: int, words: Tensor, attention: Tensor) -> Tensor:
        """Run stage ``index`` (0 to 3), [B, L, D] -> [B, L, D]; bool [B or 1, L] marks tokens."""
        start, stop = self.runs[index]
        mask_B11L = attention[:, None, None, :]
        for layer in self.model.encoder.layer[start:stop]:
            out = layer(words, mask_B11L)
            words = out[0] if isinstance(out, tuple) else out  # transformers 4 gives a tuple
        return words

    def encode(self, ids: Tensor, attention: Tensor) -> Tensor:
        """All four stages with nothing between them, [B, L] -> [B, L, D]."""
        words = self.embed(ids)
        for index in range(4):
            words = self.stage(index, words, attention)
        return words

    def load_pretrained(self, source: str | Path) -> None:
        """Take pretrained weights by Hugging Face name or from a local folder.

        Raises:
            ModelError: nothing loads from there, or it is an encoder of another size.
        """
        try:
            other = BertModel.from_pretrained(str(source), add_pooling_layer=False)
        except (OSError, ValueError) as err:
            raise ModelError(f"{source}: no BERT weights load from there: {err}") from err
        try:
            self.model.load_state_dict(other.state_dict(), strict=False)
        except RuntimeError as err:
            raise ModelError(f"{source}: an encoder of another size than the settings say") from err


def text_config_of(folder: str | Path, *, stages: tuple[int, int, int, int]) -> TextConfig:
    """The settings of a BERT saved in a local folder, from its config.json.

    Raises:
        ModelError: no readable config.json there.
    """
    path = Path(folder) / "config.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return TextConfig(
            vocab_size=facts["vocab_size"],
            width=facts["hidden_size"],
            heads=facts["num_attention_heads"],
            ffn_width=facts["intermediate_size"],
            max_tokens=facts["max_position_embeddings"],
            stages=stages,
        )
    except (OSError, ValueError, KeyError) as err:
        raise ModelError(f"{path}: not the configuration of a BERT: {err}") from err
