"""Noun phrases while they are read, and the queries that they become."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.records import Find, Only, Query, Rank, Rule
from rrsis_geo.text.query.tokens import Token, not_understood, written
from rrsis_geo.text.query.wording import canonical_phrase
from rrsis_geo.text.query.words import DETERMINERS, ROWS, TRAILING


@dataclass
class Draft:
    """A noun phrase while it is read.

    Attributes:
        words: of the phrase, which the network answers.
        rules: read so far.
        excluded: what is not meant.
        rank: of a superlative; a rule of its own once count and ordinal are known.
        count: how many objects the rank names.
        ordinal: the rank of the first of them.
        nearest: "the nearest car", whose "to the house" is still to come: whether the farthest
            one is meant.
        without: adjectives that do not hold: "red" of "non-red cars".
        picks_one: whether one of several is meant: "the largest of the tanks".
        tail: number of words before the first relation.
        n_premodifiers: number of rules that were read before the noun.
        is_premodified: whether a rule or an order was read before the noun.
        is_modified: whether a rule was read after the noun.
        is_negated: whether something was excluded after the noun.
        is_continued: whether it has the noun of the phrase before: "or in the north" after "cars on
            the road".
    """

    words: list[Token] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    excluded: list[Query] = field(default_factory=list)
    rank: Rank | None = None
    count: int | None = None
    ordinal: int | None = None
    nearest: bool | None = None
    without: list[str] = field(default_factory=list)
    picks_one: bool = False
    tail: int | None = None
    n_premodifiers: int = 0
    is_premodified: bool = False
    is_modified: bool = False
    is_negated: bool = False
    is_continued: bool = False

    def take_number(self) -> int | None:
        """Take a bare number out of the phrase, as in "three cars"; None without.

        A number after a noun is part of a name: "runway 27".
        """
        for index, token in enumerate(self.words):
            if token.tag.startswith("NN"):
                return None
            if token.quantity is not None and token.quantity.dimension is None:
                del self.words[index]
                if self.tail is not None:
                    self.tail -= index < self.tail
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
    if any(draft.is_continued for draft in drafts):
        return _join_places(drafts, expression)
    if len(drafts) == 1:
        return query_of(last, expression)
    rules = _shared_rules(drafts)
    for draft in drafts:
        if not has_noun(draft.words):
            draft.words = [*draft.words, *noun_and_after(last.words)]  # "red or blue cars"
        elif rules is not None and draft.tail is None and last.tail is not None:
            draft.words = [*draft.words, *last.words[last.tail :]]  # "cars and trucks on the road"
    if rules is None:
        queries = [query_of(draft, expression) for draft in drafts]
        return Query(_sources(queries))
    return Query(
        tuple(
            Find(_phrase(draft, expression), tuple(draft.excluded or last.excluded))
            for draft in drafts
        ),
        _in_order(rules),
    )


def _join_places(drafts: list[Draft], expression: str) -> Query:
    """One query of a noun phrase with several places: "cars on the road or in the north".

    What stands before the noun, and a number, speak of the objects of all places together.

    Raises:
        InputError: there is another noun phrase.
    """
    first, *others = drafts
    if not all(draft.is_continued for draft in others):
        raise InputError(
            f'"{expression}" names several things and several places; ask for each thing in an '
            "expression of its own"
        )
    n = first.n_premodifiers
    shared = [
        *first.rules[:n],
        *(each for each in first.rules[n:] if isinstance(each, Rank | Only)),
    ]
    own: list[Rule] = [each for each in first.rules[n:] if not isinstance(each, Rank | Only)]
    places = [query_of(draft, expression) for draft in (replace(first, rules=own), *others)]
    return Query(_sources(places), _in_order(shared))


def _sources(queries: list[Query]) -> tuple[Find | Query, ...]:
    """What a query of all these, each of one noun phrase, looks for."""
    return tuple(query if query.rules else query.sources[0] for query in queries)


def _shared_rules(drafts: list[Draft]) -> tuple[Rule, ...] | None:
    """The rules that hold for all noun phrases together; None where each has its own.

    They stand after the last ("cars or trucks in the north") or, where only the first phrase has an
    article and all have one number, before the first ("the largest car or truck"). Without article
    or order, each filter at both ends is of its own phrase ("isolated trees or cars in the north"),
    and so is each of two relations ("cars on the road or cars in the north").
    """
    first, *between, last = drafts
    if any(draft.rules for draft in between):
        return None
    if any(draft.is_premodified for draft in (*between, last)):
        return None
    if not first.rules:
        has_own = any(draft.tail is not None for draft in (first, *between))
        return None if has_own and last.rules else tuple(last.rules)
    begins_anew = any(
        draft.words and draft.words[0].text in DETERMINERS for draft in (*between, last)
    )
    named = [draft for draft in drafts if has_noun(draft.words)]  # not "red" of "red or blue cars"
    begins_anew |= len({is_plural(draft.words) for draft in named}) > 1
    if first.is_modified or begins_anew:
        return None
    is_one_phrase = first.words[:1] and first.words[0].text in DETERMINERS
    ends_anew = bool(last.rules) or last.tail is not None
    if ends_anew and not is_one_phrase and not any(isinstance(each, Rank) for each in first.rules):
        return None
    return (*first.rules, *last.rules)


def query_of(draft: Draft, expression: str) -> Query:
    """The query of one noun phrase."""
    find = Find(_phrase(draft, expression), tuple(draft.excluded))
    return Query((find,), _in_order(draft.rules))


def _in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Rules that filter before those that order or count what is left."""
    return tuple(sorted(rules, key=lambda rule: isinstance(rule, Rank | Only)))


def _phrase(draft: Draft, expression: str) -> str:
    words = list(draft.words)
    if draft.needs_scene or draft.rules:
        while words and words[-1].text in TRAILING:
            words.pop()
    has_noun = any(token.tag.startswith(("NN", "CD", "VBG", "FW")) for token in words)
    if not words or (draft.rules and not has_noun):
        raise not_understood(expression, expression, "say what to find, as in the largest building")
    if words[-1].tag in ("IN", "TO", "CC", "DT") and len(words) > 1:
        raise not_understood(expression, words[-1].text, "say what follows")
    phrase = canonical_phrase(written(words, expression))
    if not phrase:  # an article alone
        raise not_understood(expression, expression, "say what to find, as in the largest building")
    return phrase


def with_adjective(draft: Draft, adjective: str, expression: str) -> str:
    """The phrase with an adjective after its article."""
    has_article = bool(draft.words) and draft.words[0].text in DETERMINERS
    article = [written(draft.words[:1], expression)] if has_article else []
    phrase = [*article, adjective, written(draft.words[has_article:], expression)]
    return canonical_phrase(" ".join(phrase))


def has_noun(words: list[Token]) -> bool:
    """Whether a phrase names a thing."""
    return any(token.tag.startswith("NN") for token in words)


def noun_and_after(words: list[Token]) -> list[Token]:
    """A phrase from its first noun on."""
    first = next((i for i, token in enumerate(words) if token.tag.startswith("NN")), 0)
    return words[first:]


def is_plural(tokens: list[Token]) -> bool:
    """Whether the head of a phrase is plural."""
    nouns = [token for token in tokens if token.tag.startswith("NN")]
    return bool(nouns) and _head(tokens).tag == "NNS"


def is_row(tokens: list[Token]) -> bool:
    """Whether the head of a phrase is a row or a column, of which the objects are not known."""
    return has_noun(tokens) and _head(tokens).text in ROWS


def _head(tokens: list[Token]) -> Token:
    """The last noun of the first run of nouns."""
    run: list[Token] = []
    for token in tokens:
        if token.tag.startswith("NN"):
            run.append(token)
        elif run:
            break
    return run[-1]
