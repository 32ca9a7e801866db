"""The staged BERT against transformers' BERT, and loading weights from a folder."""

import pytest
import torch
from transformers import BertConfig, BertModel

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.nets.bert import Bert, TextConfig


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(tmp_path)
    return tmp_path


def test_stages_are_the_layers_of_bert(folder):
    config = TextConfig(
        vocab_size=100, width=32, heads=4, ffn_width=64, max_tokens=40, stages=(1, 1, 2, 1)
    )
    bert = Bert(config).eval()
    bert.load_pretrained(folder)
    reference = BertModel.from_pretrained(folder).eval()
    ids = torch.randint(5, 100, (2, 9))
    attention = torch.arange(9)[None] < torch.tensor([[9], [4]])
    with torch.inference_mode():
        mine = bert.encode(ids, attention)
        theirs = reference(input_ids=ids, attention_mask=attention.long()).last_hidden_state
    torch.testing.assert_close(mine[attention], theirs[attention], atol=1e-5, rtol=1e-4)


def test_another_size_is_refused(folder):
    with pytest.raises(ModelError, match="another size"):
        Bert(TextConfig(vocab_size=100, width=48, heads=4, ffn_width=64)).load_pretrained(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load BERT weights"):
        Bert(TextConfig(vocab_size=9, width=8, heads=2, ffn_width=8)).load_pretrained(tmp_path)


def test_stages_must_be_four():
    with pytest.raises(ConfigError, match="four numbers of layers"):
        TextConfig(stages=(3, 3, 6))
