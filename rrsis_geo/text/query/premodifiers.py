"""What stands before the head of a noun phrase: counts, superlatives and places."""

from rrsis_geo.text.query.drafts import Draft, is_plural, set_rank
from rrsis_geo.text.query.quantities import read_ordinal
from rrsis_geo.text.query.records import Grouping, Only, Rank, Region, SizeClass
from rrsis_geo.text.query.tokens import TokenStream
from rrsis_geo.text.query.words import (
    CENTRE,
    COMPARATIVES,
    COMPARED,
    DETERMINERS,
    EDGES,
    GROUPS,
    HEIGHT_ADVICE,
    HEIGHTS,
    LONELY,
    MOST_WORDS,
    NAMED_BY_SIZE,
    NEAREST,
    ORDER,
    PARTS,
    SIDE_WORDS,
    SIZE_CLASSES,
    SIZES,
    VERY,
    is_grammar_adjective,
    is_superlative,
    region_of,
)
from rrsis_geo.text.vocabulary import singularize


class PremodifierReader(TokenStream):
    """Reads everything before the head noun."""

    def premodifiers(self, draft: Draft) -> None:
        """Everything before the head noun that orders, counts or places."""
        while self.at < len(self.tokens):
            word, token = self.peek(), self.tokens[self.at]
            if self.accept("all", "of"):
                continue
            if self.tag(1) == "CD" and self.accept("exactly|just"):
                continue
            if (size_class := self.size_class(draft)) is not None:
                draft.rules.append(size_class)
                continue
            if word in VERY.split("|") and self.place_before_noun(draft):
                continue
            if word in DETERMINERS or (
                token.tag.startswith(("JJ", "RB")) and not is_grammar_adjective(word)
            ):
                draft.words.append(token)
                self.at += 1
            elif self.accept(GROUPS, "of"):
                draft.words = []
                draft.rules.append(Grouping("grouped"))
            elif word.startswith("non-"):
                draft.without.append(word.removeprefix("non-"))
                self.at += 1
            elif word in LONELY:
                self.at += 1
                draft.rules.append(Grouping("isolated"))
            elif word == "only" and draft.words:
                self.at += 1
                draft.rules.append(Only())
            elif (number := self.count()) is not None:
                draft.count = number
            elif word == "last":
                raise self.error(word, ORDER)
            elif (ordinal := read_ordinal(word)) is not None:
                self.at += 1
                draft.ordinal = ordinal
            elif not (self.superlative(draft) or self.place_before_noun(draft)):
                return

    def count(self) -> int | None:
        """A bare number before a word of size, place or distance; others stay in the phrase."""
        start = self.at
        self.accept("top") if self.tag(1) == "CD" else None
        quantity = self.quantity()
        word = self.peek()
        counts = quantity is not None and quantity.dimension is None
        known = {*SIZES, *SIZE_CLASSES, *MOST_WORDS, *NEAREST, "most"}
        if counts and word in known:
            assert quantity is not None
            return int(quantity.value)
        self.at = start
        return None

    def superlative(self, draft: Draft) -> bool:
        """Read "largest", "northernmost", "nearest": whether one stood there."""
        word = self.peek()
        side = self.peek(1).removesuffix("erly")  # "most northerly"
        if word in SIZES:
            self.at += 1
            key, descending = SIZES[word]
            set_rank(draft, Rank(key, descending), self.expression)
        elif word in MOST_WORDS:
            self.at += 1
            set_rank(draft, Rank("place", sides=MOST_WORDS[word]), self.expression)
        elif self.is_larger_of_two(draft):
            measure, descending = COMPARATIVES[word]
            assert measure is not None
            self.at += 1
            set_rank(draft, Rank(measure, descending), self.expression)
        elif word in ("most", "more", "furthest", "farthest") and side in SIDE_WORDS:
            set_rank(draft, Rank("place", sides=SIDE_WORDS[side]), self.expression)
            self.at += 2
        elif word in ("most", "least") and self.peek(1) != "of":
            raise self.error(f"{word} {self.peek(1)}", COMPARED)
        elif word in NEAREST and self.peek(1) not in ("to", "from", "the"):
            self.at += 1
            draft.nearest = NEAREST[word]
        elif is_superlative(word) and word not in NEAREST:
            advice = COMPARED
            if word in HEIGHTS:
                advice = HEIGHT_ADVICE
            raise self.error(word, advice)
        else:
            return False
        if draft.count is None and (quantity := self.bare_number()) is not None:
            draft.count = quantity  # "the largest two"
        if self.accept("of", "the|these|those|all"):
            draft.picks_one = draft.count is None
            self.bare_number()  # "the largest of the two tanks"
        return True

    def is_larger_of_two(self, draft: Draft) -> bool:
        """Whether a comparative stands for a superlative: "the larger of the two tanks"."""
        measure, _ = COMPARATIVES.get(self.peek(), (None, False))
        after_the = bool(draft.words) and draft.words[-1].text == "the"
        if measure is None or not after_the or self.peek(1) == "than":
            return False
        return self.peek(1) == "of" or not is_plural(self.tokens[self.at + 1 :])

    def size_class(self, draft: Draft) -> SizeClass | None:
        """ "large", "very small", and the "larger" of "larger ships"; None for names."""
        start = self.at
        self.accept("very|quite|rather|really|fairly|relatively")
        word, following = self.peek(), self.peek(1)
        measure, is_large = COMPARATIVES.get(word, (None, False))
        if word in SIZE_CLASSES:
            measure, is_large = SIZE_CLASSES[word]
        elif following == "than" or not self.tag(1) or self.is_larger_of_two(draft):
            measure = None
        if measure is None or singularize(f"{word} {following}") in NAMED_BY_SIZE:
            self.at = start
            return None
        self.at += 1
        return SizeClass(measure, is_large)

    def place_before_noun(self, draft: Draft) -> bool:
        """ "the northern runway", "the upper left car", "the central building"."""
        start = self.at
        is_far = self.accept(VERY) is not None
        sides, part = self.sides_and_part()
        is_centre = not sides and bool(self.accept(CENTRE))
        is_noun = self.tag().startswith(("NN", "JJ", "VBG")) and self.peek() not in (
            *PARTS.split("|"),
            *EDGES.split("|"),
            "hand",
        )
        if (sides or is_centre) and is_noun and part in ("", "middle"):
            draft.rules.append(
                Region((), "third") if is_centre else region_of(sides, part, is_far=is_far)
            )
            return True
        self.at = start
        return False
