"""Expressions to word pieces: a BERT tokenizer made from a ``vocab.txt``, nothing else.

It is put together from the ``tokenizers`` library, which transformers itself rests on, and not from
a transformers class: those changed how they take a vocabulary file from one release to the next (in
release 5, ``BertTokenizerFast(vocab_file=...)`` turns every word into ``[UNK]`` without a word).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers

from rrsis_geo.errors import InputError, ModelError
from rrsis_geo.text import VOCABULARY_FILE
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.phrases import Span, find_phrases

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class _Pieces(NamedTuple):
    """Word pieces of one expression, without ``[CLS]`` and ``[SEP]``."""

    ids: list[int]
    spans: list[Span]


class Tokenizer:
    """Turns expressions into TextBatch, phrases and all.

    Attributes:
        vocabulary: word pieces in the order of their ids.
        max_tokens: L, the length of every encoded expression, ``[CLS]`` and ``[SEP]`` included.
        lower_case: the vocabulary is an uncased one.
    """

    def __init__(
        self, vocabulary: Sequence[str], *, max_tokens: int, lower_case: bool = True
    ) -> None:
        """A tokenizer of these word pieces.

        Raises:
            ModelError: the vocabulary lacks a special token or repeats a piece, or ``max_tokens``
                leaves no room for a word.
        """
        ids = {piece: index for index, piece in enumerate(vocabulary)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ModelError(f"the vocabulary has no {', '.join(missing)}; it is not one of BERT's")
        if len(ids) != len(vocabulary):
            raise ModelError("the vocabulary holds a word piece twice; it is not one of BERT's")
        if max_tokens < 3:
            raise ModelError(f"max_tokens must be at least 3, got {max_tokens}")
        self.vocabulary = tuple(vocabulary)
        self.max_tokens = max_tokens
        self.lower_case = lower_case
        self._pad, self._unknown, self._cls, self._sep = (ids[token] for token in SPECIAL_TOKENS)
        self._word_pieces = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
        self._word_pieces.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        self._word_pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    @classmethod
    def load(cls, folder: Path, *, max_tokens: int, lower_case: bool = True) -> "Tokenizer":
        """The tokenizer of ``folder/vocab.txt``; nothing is fetched.

        Raises:
            ModelError: the file is missing, is not UTF-8, or is no BERT vocabulary.
        """
        path = folder / VOCABULARY_FILE
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except OSError as err:
            raise ModelError(f"{path}: cannot be read ({err.strerror}); fetch it again") from err
        except UnicodeDecodeError as err:
            raise ModelError(f"{path}: is not UTF-8 text; fetch it again") from err
        try:
            return cls(lines, max_tokens=max_tokens, lower_case=lower_case)
        except ModelError as err:
            raise ModelError(f"{path}: {err}") from err

    def save(self, folder: Path) -> Path:
        """Write ``folder/vocab.txt`` and give back its path."""
        path = folder / VOCABULARY_FILE
        path.write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8", newline="\n")
        return path

    def to_dict(self) -> dict[str, Any]:
        """What beside the vocabulary makes this tokenizer, for JSON."""
        return {"max_tokens": self.max_tokens, "lower_case": self.lower_case}

    @classmethod
    def from_dict(cls, folder: Path, values: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer of ``folder/vocab.txt`` with the settings of ``to_dict``.

        Raises:
            ModelError: a setting is missing or of the wrong type, or see ``load``.
        """
        max_tokens, lower_case = values.get("max_tokens"), values.get("lower_case")
        if type(max_tokens) is not int or type(lower_case) is not bool:
            raise ModelError('the text settings need "max_tokens" (int) and "lower_case" (bool)')
        return cls.load(folder, max_tokens=max_tokens, lower_case=lower_case)

    def encode(self, expressions: Sequence[str]) -> TextBatch:
        """Expressions as tokens [B, L], cut to L with ``[SEP]`` always the last token.

        A piece belongs to a phrase when its characters overlap the phrase's.

        Raises:
            InputError: an expression is blank, or none of its words is in the vocabulary; or there
                is no expression.
        """
        if not expressions:
            raise InputError("there is no expression to encode")
        shape = (len(expressions), self.max_tokens)
        ids = torch.full(shape, self._pad, dtype=torch.int64)
        attention, subject, objects, positions = torch.zeros((4, *shape), dtype=torch.bool)
        for row, expression in enumerate(expressions):
            pieces = self._pieces(expression)
            kept = min(len(pieces.ids), self.max_tokens - 2)
            ids[row, : kept + 2] = torch.tensor([self._cls, *pieces.ids[:kept], self._sep])
            attention[row, : kept + 2] = True
            phrases = find_phrases(expression)
            subject_spans = () if phrases.subject is None else (phrases.subject,)
            for field, spans in (
                (subject, subject_spans),
                (objects, phrases.objects),
                (positions, phrases.positions),
            ):
                field[row, 1 : kept + 1] = _overlaps(pieces.spans[:kept], spans)
            if not positions[row].any():
                positions[row] = attention[row]
        return TextBatch(ids, attention, subject, objects, positions)

    def cut_words(self, expression: str) -> str:
        """The end of the expression that the network does not read; "" where it reads all of it.

        A word that is read in part counts as read.

        Raises:
            InputError: see ``encode``.
        """
        spans = self._pieces(expression).spans
        if len(spans) <= self.max_tokens - 2:
            return ""
        start = spans[self.max_tokens - 2].start
        while start < len(expression) and expression[start - 1].isalnum():
            start += 1
        return expression[start:].strip()

    def length(self, expression: str) -> int:
        """Tokens that the whole expression would take, ``[CLS]`` and ``[SEP]`` included.

        Raises:
            InputError: see ``encode``.
        """
        return len(self._pieces(expression).ids) + 2

    def _pieces(self, expression: str) -> _Pieces:
        if not expression.strip():
            raise InputError('the expression is empty; say what to look for, e.g. "all buildings"')
        encoded = self._word_pieces.encode(expression, add_special_tokens=False)
        pieces = _Pieces(list(encoded.ids), [Span(*span) for span in encoded.offsets])
        if not any(
            id_ != self._unknown and any(map(str.isalnum, expression[span.start : span.stop]))
            for id_, span in zip(*pieces, strict=True)
        ):
            raise InputError(
                f"the expression {expression!r} has no word that the model knows; "
                'say what to look for in English, e.g. "all buildings"'
            )
        return pieces


def _overlaps(pieces: list[Span], phrases: tuple[Span, ...]) -> torch.Tensor:
    """Whether each piece shares a character with a phrase, bool [pieces]."""
    return torch.tensor(
        [any(piece.start < p.stop and p.start < piece.stop for p in phrases) for piece in pieces],
        dtype=torch.bool,
    )
