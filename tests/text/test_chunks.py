"""Tags and chunks equal those of NLTK, which is too slow to import for every command."""

import random
from collections.abc import Sequence

import pytest
from nltk.chunk import RegexpParser
from nltk.tag import RegexpTagger, UnigramTagger

from rrsis_geo.text import phrases, reference_phrases
from rrsis_geo.text.chunks import find_chunks, tag_texts
from rrsis_geo.text.grammar_words import SUFFIX_TAGS, WORD_TAGS

TAGS = ("IN", "TO", "DT", "PRP$", "JJ", "JJS", "NN", "NNS", "VBD", "CC", "PUNCT")
RULES = {"ours": phrases._POSITION_RULES, "reference": reference_phrases._POSITION_RULES}


def chunks_of_nltk(tags: Sequence[str], rules: Sequence[str]) -> list[slice]:
    parser = RegexpParser("CHUNK: " + "\n".join(f"{{{rule}}}" for rule in rules))
    tree = parser.parse([(str(index), tag) for index, tag in enumerate(tags)])
    leaves = [chunk.leaves() for chunk in tree.subtrees(lambda node: node.label() == "CHUNK")]
    return [slice(int(words[0][0]), int(words[-1][0]) + 1) for words in leaves]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_chunks_equal_those_of_nltk(rules: Sequence[str]) -> None:
    draw = random.Random(0)
    n_chunks = 0
    for _ in range(2000):
        tags = draw.choices(TAGS, k=draw.randint(1, 12))
        found = find_chunks(tags, rules)
        assert found == chunks_of_nltk(tags, rules), tags
        n_chunks += len(found)
    assert n_chunks > 200


def test_each_rule_is_for_the_words_that_the_rules_before_left() -> None:
    tags = ["IN", "JJ", "VBD", "IN", "DT", "JJ", "NN", "NN"]
    assert find_chunks(tags, ["<IN><DT>?<JJ.*><NN>+", "<IN><JJ><VBD>", "<JJ>"]) == [
        slice(0, 3),
        slice(3, 8),
    ]
    assert find_chunks([], ["<NN>"]) == []


def test_tags_equal_those_of_nltk() -> None:
    suffixes = [(f"^(?:{pattern})$", tag) for pattern, tag in SUFFIX_TAGS]
    tagger = UnigramTagger(model=WORD_TAGS, backoff=RegexpTagger(suffixes))
    made = "truck 12th ?! bus-shaped red-roofed lying parked nearly biggest northwards circular"
    words = [*WORD_TAGS, *made.split(), "glasses", "_", "ß", "İstanbul"]
    assert tag_texts(words) == [tag for _, tag in tagger.tag([word.lower() for word in words])]
