"""BERT tokenizer built from a ``vocab.txt``.

It uses the ``tokenizers`` library and not a class of transformers, because the way these read a
vocabulary file changes between releases. In release 5, ``BertTokenizerFast(vocab_file=...)`` turns
every word into ``[UNK]`` without a warning.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers

from rrsis_geo.errors import InputError, ModelError
from rrsis_geo.text import VOCABULARY_FILE
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.phrases import Span, find_phrases
from rrsis_geo.text.reference_phrases import TextRules, check_text_rules, find_reference_places

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class _Pieces(NamedTuple):
    """Word pieces of one expression, without ``[CLS]`` and ``[SEP]``."""

    ids: list[int]
    spans: list[Span]


class Tokenizer:
    """Converts expressions to a `TextBatch`.

    Attributes:
        vocabulary: word pieces in the order of their ids.
        max_tokens: L, length of an encoded expression including ``[CLS]`` and ``[SEP]``.
        lower_case: convert expressions to lower case, for an uncased vocabulary.
        keep_separator: the last token of a truncated expression is ``[SEP]``. Published networks
            were trained without it, and with one more word piece.
        text_rules: rules for objects and positions, see `rrsis_geo.text.reference_phrases`.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        max_tokens: int,
        lower_case: bool = True,
        keep_separator: bool = True,
        text_rules: TextRules = "aligned",
    ) -> None:
        """Build a tokenizer from word pieces.

        Raises:
            ModelError: the vocabulary lacks a special token or has a duplicate, or ``max_tokens``
                is below 3.
            ConfigError: a library that the rules need is not installed.
        """
        check_text_rules(text_rules)
        ids = {piece: index for index, piece in enumerate(vocabulary)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ModelError(
                f"the vocabulary has no {', '.join(missing)}; use the vocabulary of a BERT"
            )
        if len(ids) != len(vocabulary):
            raise ModelError("the vocabulary has a word piece twice; use one of a BERT")
        if max_tokens < 3:
            raise ModelError(f"max_tokens must be at least 3, got {max_tokens}")
        self.vocabulary = tuple(vocabulary)
        self.max_tokens = max_tokens
        self.lower_case = lower_case
        self.keep_separator = keep_separator
        self.text_rules = text_rules
        self._max_pieces = max_tokens - 2 if keep_separator else max_tokens - 1
        self._pad, self._unknown, self._cls, self._sep = (ids[token] for token in SPECIAL_TOKENS)
        self._word_pieces = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
        self._word_pieces.normalizer = normalizers.BertNormalizer(lowercase=lower_case)
        self._word_pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        max_tokens: int,
        lower_case: bool = True,
        keep_separator: bool = True,
        text_rules: TextRules = "aligned",
    ) -> "Tokenizer":
        """Load a tokenizer from ``folder/vocab.txt``.

        Raises:
            ModelError: the file is missing, is not UTF-8, or is not the vocabulary of a BERT.
            ConfigError: a library that the rules need is not installed.
        """
        path = folder / VOCABULARY_FILE
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except OSError as err:
            raise ModelError(f"{path}: cannot be read ({err.strerror}); download it again") from err
        except UnicodeDecodeError as err:
            raise ModelError(f"{path}: is not UTF-8 text; download it again") from err
        try:
            return cls(
                lines,
                max_tokens=max_tokens,
                lower_case=lower_case,
                keep_separator=keep_separator,
                text_rules=text_rules,
            )
        except ModelError as err:
            raise ModelError(f"{path}: {err}") from err

    def save(self, folder: Path) -> Path:
        """Write ``folder/vocab.txt`` and return its path."""
        path = folder / VOCABULARY_FILE
        path.write_text("\n".join(self.vocabulary) + "\n", encoding="utf-8", newline="\n")
        return path

    def to_dict(self) -> dict[str, Any]:
        """Settings besides the vocabulary, JSON-able."""
        return {
            "max_tokens": self.max_tokens,
            "lower_case": self.lower_case,
            "keep_separator": self.keep_separator,
            "text_rules": self.text_rules,
        }

    def encode(self, expressions: Sequence[str]) -> TextBatch:
        """Encode B expressions.

        An expression that is too long is truncated; its last token is still ``[SEP]``, unless
        ``keep_separator`` is False. A word piece belongs to a phrase if the two share a character,
        unless ``text_rules`` say otherwise.

        Raises:
            InputError: the list is empty, or an expression is blank or has no word of the
                vocabulary.
        """
        if not expressions:
            raise InputError("no expression given; at least one is needed")
        shape = (len(expressions), self.max_tokens)
        ids = torch.full(shape, self._pad, dtype=torch.int64)
        attention, subject, objects, positions = torch.zeros((4, *shape), dtype=torch.bool)
        for row, expression in enumerate(expressions):
            pieces = self._split(expression)
            count = min(len(pieces.ids), self._max_pieces)
            tokens = [self._cls, *pieces.ids[:count], self._sep][: self.max_tokens]
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attention[row, : len(tokens)] = True
            phrases = find_phrases(expression)
            spans = pieces.spans[:count]
            if phrases.subject is not None:
                subject[row, 1 : count + 1] = _overlaps(spans, (phrases.subject,))
            if self.text_rules == "aligned":
                objects[row, 1 : count + 1] = _overlaps(spans, phrases.objects)
                positions[row, 1 : count + 1] = _overlaps(spans, phrases.positions)
            else:
                places = find_reference_places(expression, self.text_rules)
                for field, set_ in ((objects, places.objects), (positions, places.positions)):
                    field[row, [place for place in set_ if place <= count]] = True
            if not positions[row].any():
                positions[row] = attention[row]
        return TextBatch(ids, attention, subject, objects, positions)

    def cut_words(self, expression: str) -> str:
        """End of the expression that is truncated, or "" if none is.

        A word that is truncated in the middle is not included.

        Raises:
            InputError: see ``encode``.
        """
        spans = self._split(expression).spans
        if len(spans) <= self._max_pieces:
            return ""
        start = spans[self._max_pieces].start
        while start < len(expression) and expression[start - 1].isalnum():
            start += 1
        return expression[start:].strip()

    def length(self, expression: str) -> int:
        """Number of tokens of the whole expression, ``[CLS]`` and ``[SEP]`` included.

        Raises:
            InputError: see ``encode``.
        """
        return len(self._split(expression).ids) + 2

    def _split(self, expression: str) -> _Pieces:
        if not expression.strip():
            raise InputError('the expression is empty; write one, e.g. "all buildings"')
        encoded = self._word_pieces.encode(expression, add_special_tokens=False)
        pieces = _Pieces(list(encoded.ids), [Span(*span) for span in encoded.offsets])
        if not any(
            id_ != self._unknown and any(map(str.isalnum, expression[span.start : span.stop]))
            for id_, span in zip(*pieces, strict=True)
        ):
            raise InputError(
                f"the expression {expression!r} has no word that the model knows; "
                'write it in English, e.g. "all buildings"'
            )
        return pieces


def _overlaps(pieces: list[Span], phrases: tuple[Span, ...]) -> torch.Tensor:
    """Whether each word piece shares a character with a phrase, bool [pieces]."""
    return torch.tensor(
        [any(piece.start < p.stop and p.start < piece.stop for p in phrases) for piece in pieces],
        dtype=torch.bool,
    )
