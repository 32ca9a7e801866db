"""What an expression says is not meant: "not red", "except those in the harbour"."""

from abc import ABC, abstractmethod

from rrsis_geo.text.query.drafts import Draft, has_noun, noun_and_after, query_of, with_adjective
from rrsis_geo.text.query.records import Find, Query
from rrsis_geo.text.query.tokens import Token, TokenStream, written
from rrsis_geo.text.query.wording import canonical_phrase
from rrsis_geo.text.query.words import (
    DETERMINERS,
    EXCEPTIONS,
    NEGATIONS,
    PLAIN_RELATIONS,
    TRAILING,
    is_grammar_adjective,
)


class ExclusionReader(TokenStream, ABC):
    """Reads exclusions after a noun phrase."""

    @abstractmethod
    def noun_phrase(self, draft: Draft | None = None, *, is_landmark: bool = False) -> Draft:
        """Read a noun phrase, or the rest of one that has begun."""

    @abstractmethod
    def starts_modifier(self, ahead: int = 0) -> bool:
        """Whether a modifier begins at the next word or a later one."""

    def negation(self) -> bool:
        """ "not", "but not", "except", "other than": whether one was read."""
        if any(self.accept(*pattern) for pattern in EXCEPTIONS):
            return True
        start = self.at
        self.accept("but")
        if self._without_some():
            return bool(self.accept("without"))
        self.at = start
        may_be_no = bool(self.accept("but"))
        self.accept("and")
        self.accept("that|which|who")
        may_be_no |= bool(self.accept("is|are|was|were"))
        if self.accept(NEGATIONS) or (may_be_no and self._accept_before_thing("no")):
            return True
        self.at = start
        return bool(self.accept("but", "for?")) and not self.starts_modifier()

    def exclusion(self, draft: Draft) -> bool:
        """Read one exclusion: whether one stood there."""
        start = self.at
        if not draft.words:
            if self.peek() in ("not", "no"):
                raise self.error(self.peek(), 'say of what, as in "cars that are not red"')
            return False
        if self._accept_without():
            draft.words = self.bare(draft)
            draft.excluded.append(self._with_thing(draft))
            while self.accept("and|or", "no") or self._accept_before_thing("or|nor"):
                draft.excluded.append(self._with_thing(draft))
            return True
        if not self.negation() or self.starts_modifier():
            self.at = start
            return False
        if self.tokens[self.at - 1].text == "no" and any(
            each.text == "with" for each in draft.words
        ):
            raise self.error("no", 'say "but without"')
        draft.words = self.bare(draft)
        draft.excluded.append(self.excluded(draft))
        while self.peek() in ("and", "or", "nor", ",") and not self.starts_another(1):
            self.at += 1
            draft.excluded.append(self.excluded(draft))
        return True

    def starts_another(self, ahead: int) -> bool:
        """Whether something else than a further exclusion begins at a later word."""
        self.at += ahead
        start = self.at
        is_another = self.starts_modifier() or self._accept_without() or self.negation()
        self.at = start - ahead
        return is_another

    def bare(self, draft: Draft) -> list[Token]:
        """The words of a phrase without those that only led to the exclusion."""
        words = list(draft.words)
        while words and words[-1].text in TRAILING:
            words.pop()
        return words

    def excluded(self, draft: Draft) -> Query:
        """The query of what is not meant, after "not" or "except"."""
        bare = list(draft.words)
        adjectives = self._adjectives()
        if adjectives:
            return Query((Find(with_adjective(draft, adjectives, self.expression)),))
        if self.accept("those|ones|that") or self.accept("the|any", "one|ones"):
            return query_of(self.noun_phrase(Draft(words=bare)), self.expression)
        if not self.peek():
            raise self.error("not", "say what is not meant")
        if self.peek() in PLAIN_RELATIONS or self.tag().startswith(("IN", "TO", "VB", "RB")):
            return query_of(self.noun_phrase(Draft(words=bare), is_landmark=True), self.expression)
        thing = self.noun_phrase(is_landmark=True)
        if all(token.text in DETERMINERS | {"one", "ones"} for token in thing.words):
            thing.words = bare  # "except the largest"
        elif not has_noun(bare):
            draft.words += noun_and_after(thing.words)  # "all but the largest house"
        self.accept("one|ones")
        return query_of(thing, self.expression)

    def _with_thing(self, draft: Draft) -> Query:
        """The query of the objects that have the thing that follows "without"."""
        thing = self.noun_phrase(is_landmark=True)
        if not thing.words:
            raise self.error("without", "say what the objects lack")
        if thing.needs_scene:
            raise self.error("without", 'say "not within 20 m of" or "not next to"')
        text = " with ".join(written(each.words, self.expression) for each in (draft, thing))
        return Query((Find(canonical_phrase(text)),))

    def _accept_without(self) -> bool:
        """Read "without" where a thing follows that the objects lack."""
        start = self.at
        self.accept("but")
        if not self._without_some() and (self.accept("without") or self.accept("with", "no")):
            return True
        self.at = start
        return False

    def _accept_before_thing(self, pattern: str) -> bool:
        """Read a word where a noun phrase follows: not in "no larger than"."""
        is_thing = self.tag(1).startswith(("NN", "JJ", "DT")) and self.tag(1) != "JJR"
        return is_thing and bool(self.accept(pattern))

    def _without_some(self) -> bool:
        """Whether "without" is next and speaks of some of the objects: "the red ones", "those"."""
        if self.peek() != "without":
            return False
        ahead = 1
        while self.peek(ahead) not in ("one", "ones", "those") and (
            self.peek(ahead) in DETERMINERS or self.tag(ahead).startswith(("JJ", "RB", "CD"))
        ):
            ahead += 1
        has_noun = ahead == 1 or self.tag(ahead).startswith("NN")
        return self.peek(ahead) in ("one", "ones", "those") or not has_noun

    def _adjectives(self) -> str:
        """Adjectives that stand alone or before "ones"; "" where there are none."""
        start = self.at
        self.accept("the|a|an?")
        first = self.at
        while (
            self.tag().startswith(("JJ", "RB"))
            and not is_grammar_adjective(self.peek())
            and not self.starts_modifier()
        ):
            self.at += 1
        words = self.tokens[first : self.at]
        is_alone = not self.tag().startswith(("NN", "CD", "VB", "DT"))
        if words and (self.accept("one|ones") or is_alone):
            return written(words, self.expression)
        self.at = start
        return ""
