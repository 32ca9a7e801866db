"""The staged BERT against transformers' BERT, and loading weights from a folder or the Hub."""

from dataclasses import replace

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.nets.bert import Bert, TextConfig

CONFIG = TextConfig(
    vocab_size=100, width=32, heads=4, ffn_width=64, max_tokens=40, stages=(1, 1, 2, 1)
)


@pytest.fixture
def weights():
    """Random weights under transformers' names. Norms and biases are random too."""
    torch.manual_seed(0)
    state = Bert(CONFIG).model.state_dict()
    return {key: torch.randn_like(value) * 0.2 for key, value in state.items()}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, in offline mode."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def make_reference(config=CONFIG):
    """A BERT of transformers with random weights, which is not the initial scale of 0.02."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    reference = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            num_hidden_layers=sum(config.stages),
            num_attention_heads=config.heads,
            intermediate_size=config.ffn_width,
            max_position_embeddings=config.max_tokens,
        )
    ).eval()
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return reference


def assert_loaded(bert, weights):
    state = bert.model.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[key], weights[key]) for key in weights)


# --- the encoder


def test_stages_are_the_layers_of_transformers(tmp_path):
    reference = make_reference()
    reference.save_pretrained(tmp_path)
    bert = Bert(CONFIG).eval()
    bert.load_pretrained(tmp_path)
    ids = torch.randint(5, 100, (3, 9))
    attention = torch.arange(9)[None] < torch.tensor([[9], [4], [1]])
    with torch.inference_mode():
        mine = bert.encode(ids, attention)
        theirs = reference(input_ids=ids, attention_mask=attention.long()).last_hidden_state
    assert theirs.std() > 0.1
    torch.testing.assert_close(mine[attention], theirs[attention], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_transformers():
    reference = make_reference()
    bert = Bert(CONFIG).eval()
    bert.model.load_state_dict(
        {k: v for k, v in reference.state_dict().items() if not k.startswith("pooler")}
    )
    ids = torch.tensor([[7, 0, 99, 0], [3, 4, 0, 0]])
    attention = torch.tensor([[True] * 4, [True, True, False, False]])
    target = torch.randn(2, 4, 32)
    (bert.encode(ids, attention) * target)[attention].sum().backward()
    theirs = reference(input_ids=ids, attention_mask=attention.long()).last_hidden_state
    (theirs * target)[attention].sum().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in bert.model.named_parameters():
        grad = expected[name].grad
        assert grad is not None, name
        torch.testing.assert_close(parameter.grad, grad, atol=1e-4, rtol=1e-4, msg=name)


def test_names_and_their_order_are_those_of_transformers():
    """Optimizer states of checkpoints number the parameters."""
    theirs = [name for name, _ in make_reference().named_parameters() if "pooler" not in name]
    assert [name for name, _ in Bert(CONFIG).model.named_parameters()] == theirs


def test_initial_weights_have_the_spread_of_bert():
    torch.manual_seed(0)
    model = Bert(TextConfig(vocab_size=2000, width=128, heads=4, ffn_width=256)).model
    assert model.encoder.layer[3].intermediate["dense"].weight.std().item() == pytest.approx(
        0.02, rel=0.02
    )
    assert model.embeddings.word_embeddings.weight[1:].std().item() == pytest.approx(0.02, rel=0.02)
    assert not model.embeddings.word_embeddings.weight[0].any()
    assert not model.encoder.layer[3].output.dense.bias.any()
    assert (model.embeddings.LayerNorm.weight == 1).all()


def test_padding_changes_nothing(weights):
    bert = Bert(CONFIG).eval()
    bert.model.load_state_dict(weights)
    ids = torch.randint(5, 100, (1, 12))
    attention = torch.arange(12)[None] < 5
    with torch.inference_mode():
        padded, alone = bert.encode(ids, attention), bert.encode(ids[:, :5], attention[:, :5])
    torch.testing.assert_close(padded[:, :5], alone, atol=1e-5, rtol=1e-5)


def test_dropout_only_in_training(weights):
    bert = Bert(CONFIG)
    bert.model.load_state_dict(weights)
    ids, attention = torch.randint(5, 100, (2, 9)), torch.ones(2, 9, dtype=torch.bool)
    assert not torch.equal(bert.encode(ids, attention), bert.encode(ids, attention))
    bert.eval()
    assert torch.equal(bert.encode(ids, attention), bert.encode(ids, attention))


def test_stages_must_be_four():
    with pytest.raises(ConfigError, match="four numbers of layers"):
        TextConfig(stages=(3, 3, 6))


# --- pretrained weights


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("prefix", ["", "bert."])
def test_weights_load_from_a_folder(weights, tmp_path, name, prefix):
    state = {prefix + key: value for key, value in weights.items()}
    state[f"{prefix}pooler.dense.weight"] = torch.zeros(32, 32)
    state[f"{prefix}embeddings.position_ids"] = torch.arange(40)[None]
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    bert = Bert(CONFIG)
    bert.load_pretrained(tmp_path)
    assert_loaded(bert, weights)


def test_names_of_the_first_checkpoints_are_read(weights, tmp_path):
    """Those of BERT-base on the Hub."""
    renamed = {
        f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for key, value in weights.items()
    }
    assert "bert.encoder.layer.0.output.LayerNorm.gamma" in renamed
    save_file(renamed, tmp_path / "model.safetensors")
    bert = Bert(CONFIG)
    bert.load_pretrained(tmp_path)
    assert_loaded(bert, weights)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_load_from_the_cache_of_the_hub(weights, cache, name):
    repository, commit = cache / "models--someone--small-bert", "a" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (save_file if name.endswith("safetensors") else torch.save)(weights, snapshot / name)
    bert = Bert(CONFIG)
    bert.load_pretrained("someone/small-bert")
    assert_loaded(bert, weights)


def test_an_unknown_name_is_refused(cache):
    with pytest.raises(ModelError, match=r"someone/none: cannot load BERT weights: there is no"):
        Bert(CONFIG).load_pretrained("someone/none")


def test_a_missing_folder_is_refused(cache, tmp_path):
    with pytest.raises(ModelError, match="none: cannot load BERT weights: there is no such folder"):
        Bert(CONFIG).load_pretrained(tmp_path / "none")


def test_another_size_is_refused(weights, tmp_path):
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"another size than the network .* \[100, 32\] and not"):
        Bert(TextConfig(vocab_size=100, width=48, heads=4, ffn_width=64)).load_pretrained(tmp_path)


def test_fewer_layers_are_refused_and_change_nothing(weights, tmp_path):
    kept = {key: value for key, value in weights.items() if ".layer.4." not in key}
    save_file(kept, tmp_path / "model.safetensors")
    bert = Bert(CONFIG)
    before = {key: value.clone() for key, value in bert.model.state_dict().items()}
    with pytest.raises(ModelError, match=r"has no encoder\.layer\.4\..* of 5 layers"):
        bert.load_pretrained(tmp_path)
    assert_loaded(bert, before)


def test_the_first_layers_of_a_deeper_bert_load(weights, tmp_path):
    save_file(weights, tmp_path / "model.safetensors")
    bert = Bert(replace(CONFIG, stages=(1, 0, 1, 0)))
    bert.load_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    last = "encoder.layer.1.output.dense.weight"
    assert torch.equal(bert.model.state_dict()[last], stored[last])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot load BERT weights: has no model"):
        Bert(TextConfig(vocab_size=9, width=8, heads=2, ffn_width=8)).load_pretrained(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {0: 1}, torch.zeros(3)])
def test_files_of_other_contents_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"is not a state dict|has no embeddings"):
        Bert(CONFIG).load_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x80\x02}."])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: "):
        Bert(CONFIG).load_pretrained(tmp_path)
