"""The grammar of expressions: from a sentence to a `Query`. Recursive descent over tagged words.

    expression   = [request] alternative {("or" | "and" | ",") alternative}
    alternative  = {premodifier} phrase {modifier | relation | exclusion}
    premodifier  = count | ordinal | superlative | "only" | "isolated" | place
    modifier     = ["that is" | "not"] rule
    rule         = distance | nearest | side | region | geometry | size | grouping
    relation     = preposition alternative          a part of the phrase, unless it needs the scene
    exclusion    = ("not" | "except" | "without") words

A modifier speaks of the head of the whole expression, a relation of the noun before it; "that is"
after a landmark speaks of the landmark. Words that belong to no rule stay in the phrase, which the
network answers. Words that would change the meaning over a scene and belong to no rule are refused.
docs/language.md has examples of all.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.drafts import Draft, is_plural, join_drafts, query_of, with_adjective
from rrsis_geo.text.query.modifiers import ModifierReader
from rrsis_geo.text.query.premodifiers import PremodifierReader
from rrsis_geo.text.query.quantities import ORDINALS
from rrsis_geo.text.query.records import (
    Find,
    Not,
    Query,
    Relative,
)
from rrsis_geo.text.query.tokens import Token, lower, written
from rrsis_geo.text.query.words import (
    COMPARED,
    DEEPEST,
    LONGEST_EXPRESSION,
    NEGATIONS,
    ORDER,
    PLAIN_RELATIONS,
    REQUESTS,
    TRAILING,
    is_superlative,
)


@lru_cache(maxsize=1024)
def parse_query(expression: str) -> Query:
    """What an expression asks for.

    Raises:
        InputError: a word that changes the meaning over a scene is not understood; says which.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise InputError(
            f"the expression has {len(expression):,} characters, {LONGEST_EXPRESSION:,} are allowed"
        )
    query = _Parser(expression).parse()
    return Query((Find(expression),)) if query.is_plain else query


def phrases_of(expressions: Iterable[str]) -> tuple[str, ...]:
    """The phrases that the network is asked for by several expressions, each once, in order."""
    queries = map(parse_query, expressions)
    return tuple(dict.fromkeys(phrase for query in queries for phrase in query.phrases()))


class _Parser(PremodifierReader, ModifierReader):
    """One expression on its way to a query.

    What is read at a word is kept, because the same words are looked at from several rules.
    """

    def __init__(self, expression: str) -> None:
        super().__init__(expression)
        while self.tokens and self.tokens[-1].text in (".", "!", "?", ";", ",", "please"):
            self.tokens.pop()
        self._depth = 0
        self._modifier_starts: dict[int, bool] = {}
        self._landmarks: dict[int, tuple[Draft, int] | InputError] = {}

    def parse(self) -> Query:
        """Read the whole expression."""
        request = REQUESTS.match(lower(self.expression))
        while request and self.at < len(self.tokens) and self.tokens[self.at].start < request.end():
            self.at += 1
        query = self.alternatives()
        if self.at < len(self.tokens):
            raise self.error(self.tokens[self.at].text)
        return query

    def alternatives(self) -> Query:
        """Noun phrases joined by "or" or "and": what is said after the last holds for all."""
        drafts = [self.noun_phrase()]
        self.accept("either?")
        while self.accept("or|and") or self.accept(",", "or|and?"):
            drafts.append(self.noun_phrase())
        return join_drafts(drafts, self.expression)

    def landmark(self) -> Query:
        """The noun phrase that a rule refers to; "or" joins several, any of which will do."""
        drafts = [self.landmark_phrase()]
        while self.peek() == "or" and not self.starts_modifier(1):
            self.at += 1
            drafts.append(self.landmark_phrase())
        return join_drafts(drafts, self.expression)

    def landmark_phrase(self) -> Draft:
        """The noun phrase of a landmark, read once at each word."""
        start = self.at
        if start not in self._landmarks:
            if self._depth == DEEPEST:
                raise InputError(
                    f'"{self.expression}" refers to more than {DEEPEST} things in a row; use fewer'
                )
            self._depth += 1
            try:
                self._landmarks[start] = self.noun_phrase(is_landmark=True), self.at
            except InputError as err:
                self._landmarks[start] = err
            finally:
                self._depth -= 1
        found = self._landmarks[start]
        if isinstance(found, InputError):
            raise found
        draft, self.at = found
        return replace(draft)

    def noun_phrase(self, *, is_landmark: bool = False) -> Draft:
        """Read a noun phrase with all that follows it."""
        draft = Draft()
        self.premodifiers(draft)
        while self.at < len(self.tokens) and not self.is_end(draft, is_landmark=is_landmark):
            if self.exclusion(draft) or (not is_landmark and self.modifiers(draft)):
                continue
            if is_landmark and self.clause_of_landmark(draft):
                continue
            if self.relation(draft):
                continue
            word = self.peek()
            if is_superlative(word):
                raise self.error(word, COMPARED)
            draft.words.append(self.tokens[self.at])
            self.at += 1
        self.complete(draft)
        if is_landmark and draft.rank is None:
            draft.take_number()  # "between the two roads"
        return draft

    def is_end(self, draft: Draft, *, is_landmark: bool) -> bool:
        """Whether the noun phrase ends before the next token."""
        word = self.peek()
        if is_landmark and (word in ("or", "and", ",") or self.starts_modifier()):
            return bool(draft.words)
        if word not in ("or", "and", ","):
            return False
        if self.starts_modifier(1) or self.peek(1) == "not":  # "... and north of the river"
            self.at += 1
            return False
        if self.tokens[self.at].in_name:
            return False  # "grass and shrubs"
        both_adjectives = (
            word == "and"
            and draft.words
            and draft.words[-1].tag.startswith("JJ")
            and self.tag(1).startswith("JJ")
        )
        return not both_adjectives  # "black and white ship" is one thing

    def complete(self, draft: Draft) -> None:
        """Bring count, ordinal and order together, and refuse what is left over."""
        draft.excluded += [with_adjective(draft, word, self.expression) for word in draft.without]
        if draft.nearest is not None:
            word = "farthest" if draft.nearest else "nearest"
            raise self.error(word, f'say from what, as in "the {word} car to the house"')
        if draft.rank is None:
            if draft.ordinal is not None:
                raise self.error(ordinal_word(draft.ordinal), ORDER)
            return
        if draft.count is None:
            draft.count = draft.take_number()  # "the three cars nearest to the centre"
        rank = replace(draft.rank, first=draft.ordinal or 1, count=draft.count or 1)
        is_one = draft.picks_one or draft.ordinal is not None or draft.count is not None
        if not is_one and is_plural(draft.words):
            raise self.error(
                f"{written(draft.words, self.expression)}",
                'say how many, as in "the 3 largest buildings"',
            )
        draft.rules.append(rank)

    def starts_modifier(self, ahead: int = 0) -> bool:
        """Whether a modifier that needs the scene begins at the next word or a later one."""
        start = self.at
        self.at += ahead
        at = self.at
        if at not in self._modifier_starts:
            try:
                found = self.modifier(Draft(ordinal=1, count=1)) is not None
            except InputError:
                found = True
            self._modifier_starts[at] = found
        self.at = start
        return self._modifier_starts[at]

    def modifiers(self, draft: Draft) -> bool:
        """A modifier with its "that is" or "not"; its words are kept out of the phrase."""
        start = self.at
        self.accept("that|which|who", "is|are|was|were|lies|lie|stands|stand|sits|sit?")
        is_negated = bool(self.accept(NEGATIONS))
        if not is_negated and self.peek() == "," and self.starts_modifier(1):
            self.at += 1
        self.accept("located|situated|lying|standing|parked|placed|positioned|found")
        rules = self.modifier(draft)
        if rules is None:
            self.at = start
            return False
        while draft.words and draft.words[-1].text in TRAILING:
            draft.words.pop()
        draft.rules += [Not(rule) if is_negated else rule for rule in rules]
        return True

    def clause_of_landmark(self, draft: Draft) -> bool:
        """ "the building that is larger than 500 m2": a clause that speaks of the landmark."""
        start = self.at
        if self.accept("that|which", "is|are") and (rules := self.modifier(draft)) is not None:
            draft.rules += rules
            return True
        self.at = start
        return False

    def relation(self, draft: Draft) -> bool:
        """A preposition with its noun: part of the phrase, or a rule where the noun needs rules."""
        start = self.at
        word = self.peek()
        if not draft.words or self.tag() not in ("IN", "TO", "JJ", "RB"):
            return False
        if word not in PLAIN_RELATIONS and word not in ("to", "with", "from", "across", "beneath"):
            return False
        self.at += 1
        self.accept("to|of")
        if self.tag() not in ("DT", "NN", "NNS", "JJ", "JJS", "CD", "VBG", "RB", "PRP$"):
            self.at = start
            return False
        noun = self.landmark_phrase()
        if not noun.needs_scene:
            draft.tail = len(draft.words) if draft.tail is None else draft.tail
            draft.words += self.tokens[start : self.at]
            return True
        if word not in PLAIN_RELATIONS:
            raise self.error(word, 'say "on", "in" or "next to"')
        while draft.words and draft.words[-1].text in TRAILING:
            draft.words.pop()
        landmark = query_of(noun, self.expression)
        draft.rules.append(Relative(PLAIN_RELATIONS[word], (landmark,)))
        return True

    def exclusion(self, draft: Draft) -> bool:
        """ "not red", "not in the harbor", "except trucks", "without a pool"."""
        start = self.at
        if not draft.words:
            if self.peek() == "not":
                raise self.error("not", 'say of what, as in "cars that are not red"')
            return False
        phrase = written(draft.words, self.expression)
        if (
            self.accept("except|excluding", "for?")
            or self.accept("other", "than")
            or self.accept("but", "not")
        ):
            excluded = written(self.rest_of_exclusion(), self.expression)
            draft.excluded.append(excluded)
            return True
        if self.accept("without"):
            draft.excluded.append(
                f"{phrase} with {written(self.rest_of_exclusion(), self.expression)}"
            )
            return True
        self.accept("that|which|who", "is|are|was|were?")
        if not self.accept(NEGATIONS) or self.starts_modifier():
            self.at = start
            return False
        words = self.rest_of_exclusion()
        text = written(words, self.expression)
        bare = [token for token in draft.words if token.text not in TRAILING]
        phrase = written(bare, self.expression)
        if all(token.tag.startswith(("JJ", "RB")) for token in words):
            draft.words = bare
            draft.excluded.append(with_adjective(draft, text, self.expression))
        elif words[0].tag.startswith(("NN", "DT")):
            draft.excluded.append(text)
        else:
            draft.excluded.append(f"{phrase} {text}")
        draft.words = bare
        return True

    def rest_of_exclusion(self) -> list[Token]:
        """The words up to the next modifier or the end."""
        start = self.at
        while self.at < len(self.tokens) and self.peek() not in (",", "and", "or", "."):
            if self.at > start and self.starts_modifier():
                break
            self.at += 1
        if self.at == start:
            raise self.error("not", "say what is not meant")
        return self.tokens[start : self.at]


def ordinal_word(number: int) -> str:
    return next((word for word, value in ORDINALS.items() if value == number), str(number))
