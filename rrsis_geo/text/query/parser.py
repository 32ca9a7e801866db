"""The grammar of expressions: from a sentence to a `Query`. Recursive descent over tagged words.

    expression   = [request] alternative {("or" | "and" | ",") alternative | "or" place}
    alternative  = {premodifier} phrase {modifier | relation | exclusion}
    premodifier  = count | ordinal | superlative | "only" | "isolated" | place
    modifier     = ["that is" | "not"] rule
    rule         = distance | nearest | side | region | geometry | size | grouping
    relation     = preposition alternative          a part of the phrase, unless it needs the scene
    place        = modifier | relation              of the noun before it
    exclusion    = ("not" | "except" | "without") (adjective | relation | alternative)

A modifier speaks of the head of the whole expression, a relation of the noun before it; "that is"
after a landmark speaks of the landmark. Words that belong to no rule stay in the phrase, which the
network answers. Words that would change the meaning over a scene and belong to no rule are refused.
docs/language.md has examples of all.
"""

from dataclasses import replace
from functools import lru_cache

from rrsis_geo.errors import InputError
from rrsis_geo.text.query.drafts import (
    Draft,
    is_plural,
    is_row,
    join_drafts,
    query_of,
    with_adjective,
)
from rrsis_geo.text.query.exclusions import ExclusionReader
from rrsis_geo.text.query.modifiers import ModifierReader
from rrsis_geo.text.query.premodifiers import PremodifierReader
from rrsis_geo.text.query.quantities import ORDINALS
from rrsis_geo.text.query.records import (
    AnyOf,
    Find,
    Grouping,
    Not,
    Only,
    Query,
    Relative,
    Rule,
    parts_of,
)
from rrsis_geo.text.query.tokens import lower, written
from rrsis_geo.text.query.wording import canonical_phrase
from rrsis_geo.text.query.words import (
    COMPARATIVES,
    COMPARED,
    COUNTED,
    DEEPEST,
    EXCEPTION_WORDS,
    LONGEST_EXPRESSION,
    NEAREST,
    ORDER,
    PLAIN_RELATIONS,
    PRONOUNS,
    QUESTIONS,
    REQUESTS,
    ROWS_ADVICE,
    TRAILING,
    is_superlative,
)


@lru_cache(maxsize=1024)
def parse_query(expression: str, given: frozenset[str] = frozenset()) -> Query:
    """What an expression asks for.

    Args:
        expression: as people write it.
        given: landmarks that need not be found, as `canonical_phrase` writes them: "on the road" is
            a rule then, not a part of the phrase for the network.

    Raises:
        InputError: a word that changes the meaning over a scene is not understood; says which.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise InputError(
            f"the expression has {len(expression):,} characters, {LONGEST_EXPRESSION:,} are allowed"
        )
    return _Parser(expression, given).parse()


class _Parser(PremodifierReader, ModifierReader, ExclusionReader):
    """One expression on its way to a query.

    What is read at a word is kept, because the same words are looked at from several rules.
    """

    def __init__(self, expression: str, given: frozenset[str]) -> None:
        super().__init__(expression)
        self._given = given
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
        question = QUESTIONS.match(lower(self.expression))
        if question and not request:
            raise self.error(question[0], COUNTED)
        query = self.alternatives()
        if self.at < len(self.tokens):
            raise self.error(self.tokens[self.at].text)
        self.refuse_references(query)
        return query

    def refuse_references(self, query: Query) -> None:
        """Refuse "the ships in it" where several things are named: each is looked for alone."""
        match = PRONOUNS.search(lower(self.expression))
        if match and (len(query.phrases()) > 1 or query.landmarks()):
            raise self.error(match[0], "name the thing that it stands for")

    def alternatives(self) -> Query:
        """Noun phrases joined by "or" or "and": what is said after the last holds for all."""
        self.accept("either?")
        drafts = [self.noun_phrase()]
        while True:
            if self.peek() == "or" and self.starts_place(1):
                self.at += 1
                drafts.append(self.other_place(drafts[-1]))
            elif self.accept("or|and") or self.accept(",", "or|and?"):
                drafts.append(self.noun_phrase())
            else:
                return join_drafts(drafts, self.expression)

    def other_place(self, before: Draft) -> Draft:
        """ "or in the north" after "cars on the road": another place of what was named before."""
        is_order = before.rank is not None and not before.is_premodified
        if is_order or before.is_negated:
            raise self.error(f"or {self.peek()}", "ask for each in an expression of its own")
        words = before.words[: before.tail]
        while words and words[-1].text in TRAILING:
            words.pop()
        return self.noun_phrase(Draft(words, excluded=list(before.excluded), is_continued=True))

    def landmark(self) -> Query:
        """The noun phrase that a rule refers to; "or" joins several, any of which will do."""
        drafts = [self.landmark_phrase()]
        while self.peek() == "or" and not self.starts_place(1):
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

    def noun_phrase(self, draft: Draft | None = None, *, is_landmark: bool = False) -> Draft:
        """Read a noun phrase with all that follows it, or the rest of one that has begun."""
        if draft is None:
            draft = Draft()
            self.premodifiers(draft)
            draft.n_premodifiers = len(draft.rules)
            draft.is_premodified = bool(draft.rules or draft.rank or draft.ordinal)
        while self.at < len(self.tokens) and not self.is_end(draft, is_landmark=is_landmark):
            if self.exclusion(draft):
                draft.is_negated = True
                continue
            if not is_landmark and self.modifiers(draft):
                continue
            if is_landmark and self.clause_of_landmark(draft):
                continue
            if self.relation(draft):
                continue
            self.refuse_leftover(draft)
            draft.words.append(self.tokens[self.at])
            self.at += 1
        self.complete(draft, is_landmark=is_landmark)
        return draft

    def refuse_leftover(self, draft: Draft) -> None:
        """Refuse a word of the grammar that no rule could read."""
        word, token = self.peek(), self.tokens[self.at]
        if is_superlative(word):
            raise self.error(word, COMPARED)
        if word in COMPARATIVES:
            raise self.error(word, 'say than what, as in "larger than 500 m2"')
        if word == "at" and self.peek(1) in ("least", "most"):
            raise self.error(f"at {self.peek(1)}", COUNTED)
        if word in NEAREST:
            raise self.error(word, 'say from what, as in "the car closest to the house"')
        if token.quantity is not None and not token.in_name:
            is_count = token.quantity.dimension is None and self.tag(1)[:2] in ("NN", "JJ", "VB")
            is_name = bool(draft.words) and draft.words[-1].tag.startswith("NN")  # "runway 27"
            if not is_count and not is_name:
                raise self.error(word, "say what it counts or measures")

    def is_end(self, draft: Draft, *, is_landmark: bool) -> bool:
        """Whether the noun phrase ends before the next token."""
        word = self.peek()
        joins = word in ("or", "and", "nor", ",") or word in EXCEPTION_WORDS
        if is_landmark and (joins or self.starts_modifier()):
            return bool(draft.words)
        if word == "but" and self.starts_modifier(1):  # "... but north of the river"
            self.at += 1
        if word not in ("or", "and", ","):
            return False
        if word == "or" and self.starts_place(1):
            return True
        if word == "and" and self.starts_relation(1):  # "in the north and on the road"
            self.refuse_repetition(draft)
            self.at += 1
            return False
        if word == "or" and self.starts_another(1):  # "in the north or not on the road"
            raise self.error(f"or {self.peek(1)}", "ask for each in an expression of its own")
        if self.starts_modifier(1) or self.starts_another(1):  # "... and north of the river"
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

    def complete(self, draft: Draft, *, is_landmark: bool) -> None:
        """Bring count, ordinal and order together, and refuse what is left over."""
        for word in draft.without:
            phrase = with_adjective(draft, word, self.expression)
            draft.excluded.append(Query((Find(phrase),)))
        if is_row(draft.words) and (draft.ordinal or draft.rules):
            raise self.error(written(draft.words, self.expression), ROWS_ADVICE)
        if draft.nearest is not None:
            word = "farthest" if draft.nearest else "nearest"
            raise self.error(word, f'say from what, as in "the {word} car to the house"')
        if draft.rank is None:
            if draft.ordinal is not None:
                raise self.error(ordinal_word(draft.ordinal), ORDER)
            number = draft.count or draft.take_number()
            if number is not None and not is_landmark:
                draft.rules.append(Only(number))
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

    def starts_relation(self, ahead: int = 0) -> bool:
        """Whether a preposition with its noun begins at a later word: "on the road"."""
        start = self.at
        self.at += ahead
        found = (
            self.preposition() is not None and self.tokens[start + ahead].text in PLAIN_RELATIONS
        )
        self.at = start
        return found

    def starts_place(self, ahead: int = 0) -> bool:
        """Whether a modifier or a relation begins at a later word."""
        return self.starts_modifier(ahead) or self.starts_relation(ahead)

    def refuse_repetition(self, draft: Draft) -> None:
        """Refuse "on the road and on the bridge", which asks for either or for both."""
        word = self.peek(1)
        if word in [token.text for token in draft.words[draft.tail or len(draft.words) :]]:
            raise self.error(f"and {word}", f'say "or {word}" if one of the places will do')

    def modifiers(self, draft: Draft) -> bool:
        """A modifier with its "that is" or "not"; its words are kept out of the phrase."""
        start = self.at
        self.accept("that|which|who", "is|are|was|were|lies|lie|stands|stand|sits|sit?")
        is_negated = self.negation()
        if not is_negated and self.peek() == "," and self.starts_modifier(1):
            self.at += 1
        self.accept("located|situated|lying|standing|parked|placed|positioned|found")
        rules = self.modifier(draft)
        if rules is None:
            self.at = start
            return False
        draft.is_modified = True
        draft.is_negated |= is_negated
        rules = [Not(rule) if is_negated else rule for rule in rules]
        while draft.words and draft.words[-1].text in TRAILING:
            draft.words.pop()
        while rules and self.peek() in ("or", "nor") and self.starts_modifier(1):
            self.at += 1
            if is_negated:  # "not in the north or in the south": in neither
                rules += [Not(rule) for rule in self.modifier(draft) or []]
            else:
                rules = [self.alternative_rule(rules, draft)]
        draft.rules += rules
        return True

    def alternative_rule(self, rules: list[Rule], draft: Draft) -> Rule:
        """ "or in the south" after "in the north"."""
        word = self.peek()
        others = self.modifier(draft) or []
        first = rules[-1].rules if isinstance(rules[-1], AnyOf) else tuple(rules)
        both = (*first, *others)
        if not others or any(
            isinstance(part, Grouping) for each in both for part in parts_of(each)
        ):
            raise self.error(f"or {word}", "ask for each in an expression of its own")
        return AnyOf(both)

    def clause_of_landmark(self, draft: Draft) -> bool:
        """ "the building that is larger than 500 m2": a clause that speaks of the landmark."""
        start = self.at
        found = self.accept("that|which", "is|are")
        agrees = found is not None and (found[1] == "are") == is_plural(draft.words)
        if agrees and (rules := self.modifier(draft)) is not None:
            draft.rules += rules
            return True
        self.at = start
        return False

    def preposition(self) -> str | None:
        """Read the preposition of a relation: "on", "next to"; None where none begins."""
        start = self.at
        word = self.peek()
        if self.tag() not in ("IN", "TO", "JJ", "RB"):
            return None
        if self.tokens[self.at].in_name:  # "of" in "body of water"
            return None
        if word not in PLAIN_RELATIONS and word not in ("to", "with", "from", "across", "beneath"):
            return None
        self.at += 1
        self.accept("to|of")
        if self.tag() in ("DT", "NN", "NNS", "JJ", "JJS", "CD", "VBG", "RB", "PRP$"):
            return word
        self.at = start
        return None

    def relation(self, draft: Draft) -> bool:
        """A preposition with its noun: part of the phrase, or a rule where the noun needs rules."""
        start = self.at
        word = self.preposition() if draft.words else None
        if word is None:
            return False
        noun = self.landmark_phrase()
        is_given = canonical_phrase(written(noun.words, self.expression)) in self._given
        if not (noun.needs_scene or is_given):
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


def ordinal_word(number: int) -> str:
    return next((word for word, value in ORDINALS.items() if value == number), str(number))
