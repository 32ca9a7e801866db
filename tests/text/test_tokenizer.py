"""Tokenizer: expressions to tokens and phrase masks."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrsis_geo.errors import InputError, ModelError
from rrsis_geo.text.tokenizer import Tokenizer

VOCABULARY = """
[PAD] [unused0] [UNK] [CLS] [SEP] [MASK] the truck on road light - duty veh ##icle ##icles
all building ##s large left of , ? car ##port a
"""
PIECES = VOCABULARY.split()


def make_tokenizer(max_tokens: int = 12) -> Tokenizer:
    return Tokenizer(PIECES, max_tokens=max_tokens)


def pieces_at(tokenizer: Tokenizer, ids: torch.Tensor, where: torch.Tensor) -> list[str]:
    return [tokenizer.vocabulary[i] for i in ids[where]]


def test_encode_one() -> None:
    tokenizer = make_tokenizer()
    batch = tokenizer.encode(["The truck on the road"])
    words = ["[CLS]", "the", "truck", "on", "the", "road", "[SEP]"]
    assert batch.ids.dtype == torch.int64
    assert batch.ids.tolist() == [[PIECES.index(word) for word in words] + [0] * 5]
    assert batch.attention.tolist() == [[True] * 7 + [False] * 5]
    assert pieces_at(tokenizer, batch.ids, batch.subject) == ["truck"]
    assert pieces_at(tokenizer, batch.ids, batch.objects) == ["truck", "road"]
    assert pieces_at(tokenizer, batch.ids, batch.positions) == ["on", "the", "road"]


def test_all_pieces_of_a_word_are_in_its_phrase() -> None:
    tokenizer = make_tokenizer()
    batch = tokenizer.encode(["light-duty vehicles"])
    assert pieces_at(tokenizer, batch.ids, batch.subject) == ["veh", "##icles"]
    assert pieces_at(tokenizer, batch.ids, batch.objects) == ["veh", "##icles"]


def test_position_mask_is_attention_without_position_phrases() -> None:
    batch = make_tokenizer().encode(["all buildings", "the truck on the road"])
    assert torch.equal(batch.positions[0], batch.attention[0])
    assert not torch.equal(batch.positions[1], batch.attention[1])


def test_without_a_subject_the_mask_is_empty() -> None:
    batch = make_tokenizer().encode(["on the left"])
    assert not batch.subject.any()
    assert not batch.objects.any()


def test_plain_truncation_reads_one_piece_more() -> None:
    tokenizer = Tokenizer(PIECES, max_tokens=6, keep_separator=False)
    words = [["the", "truck", "on", "the", "road"], ["the", "truck", "[SEP]"]]
    batch = tokenizer.encode(["the truck on the road left", "the truck"])
    for row, pieces in zip(batch.ids.tolist(), words, strict=True):
        expected = [PIECES.index(piece) for piece in ["[CLS]", *pieces]]
        assert row == expected + [0] * (6 - len(expected))
    assert tokenizer.cut_words("the truck on the road left") == "left"
    assert tokenizer.cut_words("the truck on the road") == ""


def test_truncation_keeps_sep_and_returns_the_rest() -> None:
    tokenizer = make_tokenizer(max_tokens=6)
    expression = "the large truck on the left of the road"
    batch = tokenizer.encode([expression])
    assert pieces_at(tokenizer, batch.ids, batch.attention) == [
        "[CLS]",
        "the",
        "large",
        "truck",
        "on",
        "[SEP]",
    ]
    assert not batch.positions[0, -1]
    assert tokenizer.cut_words(expression) == "the left of the road"
    assert tokenizer.cut_words("the large truck on") == ""
    assert tokenizer.length("the large truck on") == tokenizer.max_tokens
    assert tokenizer.length("all buildings") == 5


def test_cut_words_starts_after_a_word_cut_in_the_middle() -> None:
    tokenizer = make_tokenizer(max_tokens=4)
    assert tokenizer.cut_words("all buildings on the left") == "on the left"


@pytest.mark.parametrize("expression", ["", "  \n", "\u200b\u00ad"])
def test_a_blank_expression_raises(expression: str) -> None:
    with pytest.raises(InputError, match=r"empty|no word"):
        make_tokenizer().encode([expression])


@pytest.mark.parametrize("expression", ["???", "汽车", "🚗🚗"])
def test_an_expression_without_a_known_word_raises(expression: str) -> None:
    with pytest.raises(InputError, match="no word that the model knows"):
        make_tokenizer().cut_words(expression)


def test_an_empty_list_raises() -> None:
    with pytest.raises(InputError, match="no expression"):
        make_tokenizer().encode([])


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path, **tokenizer.to_dict())
    assert loaded.vocabulary == tokenizer.vocabulary
    expressions = ["all buildings", "a carport, on the road?"]
    for ours, theirs in zip(loaded.encode(expressions), tokenizer.encode(expressions), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"the\nroad\n", r"no \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\nthe\n", "twice"),
    ],
)
def test_errors_of_a_vocabulary_name_the_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        Tokenizer.load(tmp_path, max_tokens=20)
    assert str(tmp_path / "vocab.txt") in str(caught.value)


def test_a_cased_vocabulary_keeps_case() -> None:
    tokenizer = Tokenizer([*PIECES, "The"], max_tokens=8, lower_case=False)
    assert tokenizer.encode(["The truck"]).ids[0, 1] == len(PIECES)


def test_tokens_equal_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = make_tokenizer()
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    reference = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    expressions = ["The truck, on the ROAD?", "light-duty vehicle", "all the buïldings", "a zebra"]
    expected = reference(expressions, padding="max_length", max_length=12, return_tensors="pt")
    batch = tokenizer.encode(expressions)
    assert torch.equal(batch.ids, expected["input_ids"])
    assert torch.equal(batch.attention, expected["attention_mask"].bool())


@settings(deadline=None)
@given(
    st.lists(st.text("the truck on veh.,é-汽 ", min_size=1, max_size=60), min_size=1, max_size=3)
)
def test_masks_are_inside_attention(expressions: list[str]) -> None:
    tokenizer = make_tokenizer(max_tokens=9)
    try:
        batch = tokenizer.encode(expressions)
    except InputError:
        return
    for mask in (batch.subject, batch.objects, batch.positions):
        assert not (mask & ~batch.attention).any()
    last = batch.attention.sum(1) - 1
    sep = tokenizer.vocabulary.index("[SEP]")
    assert (batch.ids.gather(1, last[:, None]) == sep).all()
    assert (batch.ids[~batch.attention] == 0).all()
