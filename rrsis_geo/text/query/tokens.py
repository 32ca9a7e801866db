"""The words of an expression with their tags, and a stream that reads them."""

from collections.abc import Iterator
from typing import NamedTuple

from rrsis_geo.errors import InputError
from rrsis_geo.text.grammar_words import NOT_SUPERLATIVE, PICTURE_NOUNS, WORD_TAGS
from rrsis_geo.text.phrases import Span, Word, find_phrases, tag_words
from rrsis_geo.text.query.quantities import Quantity, read_ordinal, read_quantity
from rrsis_geo.text.query.records import Place, Side
from rrsis_geo.text.query.words import (
    CENTRE,
    COMPARATIVES,
    EDGES,
    PARTS,
    RULE_WORDS,
    SIDE_WORDS,
    is_superlative,
    may_join,
)


class Token(NamedTuple):
    """A word, a punctuation mark, or a number with its unit.

    Attributes:
        text: in lower case.
        start: offset of its first character in the expression.
        stop: one past its last character.
        tag: of the Penn Treebank.
        quantity: the number that it is; None for words.
        in_name: whether it is inside the name of a category: "and" of "grass and shrubs".
    """

    text: str
    start: int
    stop: int
    tag: str
    quantity: Quantity | None
    in_name: bool


class TokenStream:
    """The words of an expression; `at` is the number of the one that is read next."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = tokenize(expression)
        self.at = 0
        for token in self.tokens:
            refuse_typo(token.text)

    def peek(self, ahead: int = 0) -> str:
        """The text of the next word or a later one; "" after the end."""
        place = self.at + ahead
        return self.tokens[place].text if place < len(self.tokens) else ""

    def tag(self, ahead: int = 0) -> str:
        """The tag of the next word or a later one; "" after the end."""
        place = self.at + ahead
        return self.tokens[place].tag if place < len(self.tokens) else ""

    def accept(self, *patterns: str) -> list[str] | None:
        """Read tokens that match: "a|b" is one of them, "a?" may be missing (then it gives "")."""
        start, found = self.at, []
        for pattern in patterns:
            options = pattern.removesuffix("?").split("|") if pattern != "?" else ["?"]
            if self.peek() in options and self.peek():
                found.append(self.peek())
                self.at += 1
            elif pattern.endswith("?") and len(pattern) > 1:
                found.append("")
            else:
                self.at = start
                return None
        return found

    def quantity(self) -> Quantity | None:
        """Read a number, with its unit if it has one."""
        if self.at < len(self.tokens) and self.tokens[self.at].quantity is not None:
            self.at += 1
            return self.tokens[self.at - 1].quantity
        return None

    def bare_number(self) -> int | None:
        """Read a number without a unit."""
        start = self.at
        quantity = self.quantity()
        if quantity is not None and quantity.dimension is None:
            return int(quantity.value)
        self.at = start
        return None

    def error(self, word: str, advice: str = "") -> InputError:
        """The error that a word is not understood."""
        return not_understood(self.expression, word, advice)

    def sides(self) -> tuple[Side, ...]:
        """ "north", "upper left", "north-eastern", "north east"; () where none is named."""
        first = SIDE_WORDS.get(self.peek())
        if first is None:
            return ()
        self.at += 1
        second = SIDE_WORDS.get(self.peek())
        if len(first) == 1 and second and len(second) == 1 and may_join(first[0], second[0]):
            self.at += 1
            return (*first, *second)
        return first

    def sides_and_part(self) -> tuple[tuple[Side, ...], str]:
        """ "upper left corner", "western edge", "left center", "middle of the left side"."""
        start = self.at
        is_middle = bool(self.accept(CENTRE, "of?", "the?"))
        sides = self.sides()
        if not sides:
            self.at = start
            return (), ""
        self.accept("hand")
        is_middle |= bool(self.accept(CENTRE))
        part = (self.accept(f"{PARTS}|{EDGES}") or [""])[0]
        return sides, "middle" if is_middle and len(sides) == 1 else part

    def place_of_picture(self) -> Place | None:
        """ "the centre", "the northeast corner", "the edge of the image"; None for things."""
        start = self.at
        self.accept("the|an|any?", "very?")
        place = None
        if self.accept(CENTRE):
            place = Place("centre")
        elif self.accept(f"{EDGES}|edges|borders"):
            place = Place("edge")
        elif len(sides := self.sides()) == 2 and self.accept("corner"):
            place = Place("corner", sides)
        elif self.accept("|".join(sorted(PICTURE_NOUNS)), f"{EDGES}"):
            return Place("edge")
        if place is not None and self.of_picture():
            return place
        self.at = start
        return None

    def of_picture(self) -> bool:
        """Whether nothing follows that would name a thing: reads "of the image" where it stands."""
        start = self.at
        if not self.accept("of|in"):
            return not self.peek() or not self.tag().startswith(("NN", "JJ"))
        self.accept("the|this|that?")
        if self.accept("|".join(sorted(PICTURE_NOUNS))):
            return True
        self.at = start
        return False


def not_understood(expression: str, word: str, advice: str = "") -> InputError:
    """The error that a word of an expression is not understood."""
    return InputError(
        f'"{word}" in "{expression}" is not understood; {advice or "say it in other words"}'
    )


def written(tokens: list[Token], expression: str) -> str:
    """Tokens as they were written, with single blanks where some between them were taken out."""
    pieces: list[str] = []
    for index, token in enumerate(tokens):
        touches = index and tokens[index - 1].stop == token.start
        pieces.append(("" if touches or not index else " ") + expression[token.start : token.stop])
    return "".join(pieces)


def tokenize(expression: str) -> list[Token]:
    """The tagged words, with numbers and their units as one token each."""
    text = lower(expression)
    found: list[Token] = []
    names = find_phrases(expression).objects
    stop = 0
    for word in _split_orders(tag_words(expression)):
        if word.span.start < stop:
            continue
        quantity = None if read_ordinal(word.text) else read_quantity(text, word.span.start)
        stop = word.span.stop if quantity is None else max(quantity.stop, word.span.stop)
        tag = word.tag if quantity is None else "CD"
        in_name = any(span.start < word.span.start and stop < span.stop for span in names)
        found.append(
            Token(text[word.span.start : stop], word.span.start, stop, tag, quantity, in_name)
        )
    return found


def _split_orders(words: list[Word]) -> Iterator[Word]:
    """The words, "second-largest" as two."""
    for word in words:
        first, hyphen, second = word.text.partition("-")
        if hyphen and read_ordinal(first) and is_superlative(second):
            middle = word.span.start + len(first)
            yield Word(first, Span(word.span.start, middle), "JJ")
            yield Word(second, Span(middle + 1, word.span.stop), "JJS")
        else:
            yield word


def lower(expression: str) -> str:
    """Lower case that keeps every character's offset ("İ" would grow)."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in expression)


def refuse_typo(word: str) -> None:
    """Refuse a word that is one letter away from a word of the grammar."""
    is_known = word in RULE_WORDS or word in COMPARATIVES or word in NOT_SUPERLATIVE
    if len(word) < 5 or is_known or word in WORD_TAGS:
        return
    for known in RULE_WORDS:
        if _is_one_edit(word, known) and word.rstrip("s") != known.rstrip("s"):
            raise InputError(f'"{word}" is not understood; did you mean "{known}"?')


def _is_one_edit(word: str, known: str) -> bool:
    """One letter more, less, other, or two neighbours swapped."""
    if abs(len(word) - len(known)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, known, strict=False)) if a != b), None)
    if start is None:
        return len(word) != len(known)
    a, b = word[start:], known[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
