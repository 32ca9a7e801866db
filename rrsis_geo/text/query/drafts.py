"""Noun phrases while they are read, and the queries that they become."""

from dataclasses import dataclass, field

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.records import Find, Query, Rank, Rule
from rrsis_geo.text.query.tokens import Token, not_understood, written
from rrsis_geo.text.query.words import DETERMINERS, TRAILING


@dataclass
class Draft:
    """A noun phrase while it is read.

    Attributes:
        words: of the phrase, which the network answers.
        rules: read so far.
        excluded: phrases of objects that are not meant.
        rank: of a superlative; a rule of its own once count and ordinal are known.
        count: how many objects the rank names.
        ordinal: the rank of the first of them.
        nearest: "the nearest car", whose "to the house" is still to come: whether the farthest
            one is meant.
        without: adjectives that do not hold: "red" of "non-red cars".
        picks_one: whether one of several is meant: "the largest of the tanks".
        tail: number of words before the first relation.
    """

    words: list[Token] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    rank: Rank | None = None
    count: int | None = None
    ordinal: int | None = None
    nearest: bool | None = None
    without: list[str] = field(default_factory=list)
    picks_one: bool = False
    tail: int | None = None

    def take_number(self) -> int | None:
        """Take a bare number out of the phrase, as in "three cars"; None without."""
        for index, token in enumerate(self.words):
            if token.quantity is not None and token.quantity.dimension is None:
                del self.words[index]
                return int(token.quantity.value)
        return None

    @property
    def needs_scene(self) -> bool:
        """Whether the network alone cannot answer it."""
        return bool(self.rules or self.excluded or self.rank)


def set_rank(draft: Draft, rank: Rank, expression: str) -> None:
    """Give a noun phrase its order.

    Raises:
        InputError: it has one already.
    """
    if draft.rank is not None:
        raise InputError(
            f'"{expression}" puts objects in order twice ({draft.rank}; {rank}); leave one out'
        )
    draft.rank = rank


def join_drafts(drafts: list[Draft], expression: str) -> Query:
    """One query of several noun phrases: rules and relations of the last hold for all."""
    last = drafts[-1]
    if len(drafts) == 1:
        return query_of(last, expression)
    shares = not any(draft.rules for draft in drafts[:-1])
    sources: list[Find | Query] = []
    for draft in drafts:
        if not any(token.tag.startswith("NN") for token in draft.words):
            draft.words = [*draft.words, *_noun_and_after(last)]  # "red or blue cars"
        elif draft.tail is None and last.tail is not None and draft is not last:
            draft.words = [*draft.words, *last.words[last.tail :]]  # "cars and trucks on the road"
        phrase = _phrase(draft, expression)
        if shares:
            sources.append(Find(phrase, tuple(draft.excluded or last.excluded)))
        else:
            sources.append(query_of(draft, expression))
    return Query(tuple(sources), tuple(last.rules) if shares else ())


def query_of(draft: Draft, expression: str) -> Query:
    """The query of one noun phrase."""
    return Query((Find(_phrase(draft, expression), tuple(draft.excluded)),), tuple(draft.rules))


def _phrase(draft: Draft, expression: str) -> str:
    words = list(draft.words)
    if draft.needs_scene or draft.rules:
        while words and words[-1].text in TRAILING:
            words.pop()
    has_noun = any(token.tag.startswith(("NN", "CD", "VBG", "FW")) for token in words)
    if not words or (draft.rules and not has_noun):
        raise not_understood(expression, expression, "say what to find, as in the largest building")
    return written(words, expression)


def with_adjective(draft: Draft, adjective: str, expression: str) -> str:
    """The phrase with an adjective after its article."""
    has_article = bool(draft.words) and draft.words[0].text in DETERMINERS
    article = [written(draft.words[:1], expression)] if has_article else []
    return " ".join([*article, adjective, written(draft.words[has_article:], expression)])


def _noun_and_after(draft: Draft) -> list[Token]:
    first = next((i for i, token in enumerate(draft.words) if token.tag.startswith("NN")), 0)
    return draft.words[first:]


def is_plural(tokens: list[Token]) -> bool:
    """Whether the head of a phrase is plural."""
    nouns = [token for token in tokens if token.tag.startswith("NN")]
    return bool(nouns) and _head(tokens).tag == "NNS"


def _head(tokens: list[Token]) -> Token:
    """The last noun of the first run of nouns."""
    run: list[Token] = []
    for token in tokens:
        if token.tag.startswith("NN"):
            run.append(token)
        elif run:
            break
    return run[-1]
