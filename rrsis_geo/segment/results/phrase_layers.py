"""Layers of what the network found for each phrase of expressions with rules.

Rules over several scenes are applied when the layers of all scenes are joined. Until then each
scene keeps the objects of its phrases in layers of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rrsis_geo.geo.layers.vector_io import Layer
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.resolve.fact_columns import fact_names
from rrsis_geo.resolve.frame import Frame
from rrsis_geo.resolve.splitting import SplitPhrases, split_phrases
from rrsis_geo.segment.plan.landmarks import all_landmarks
from rrsis_geo.segment.plan.outputs import landmark_layer_names
from rrsis_geo.segment.results.meant import (
    CalibratedScore,
    FeatureBatch,
    calibrated,
    meant_features,
)
from rrsis_geo.text.query.records import Query

ReadPhrase = Callable[[str, SplitPhrases, str, bool], Iterator[FeatureBatch]]
"""Reads the objects of a phrase for an expression, split as it needs them; True: of a target."""


class PhraseLayer(NamedTuple):
    """A layer of the objects of one phrase.

    Attributes:
        name: of the layer.
        phrase: for the network.
        is_target: whether the objects are filtered and simplified as the options say.
        is_split: whether objects that touch are split.
    """

    name: str
    phrase: str
    is_target: bool
    is_split: bool

    @property
    def splits(self) -> SplitPhrases:
        """The phrase, if it is split."""
        return SplitPhrases(self.is_split, frozenset([self.phrase] if self.is_split else []))


def phrase_layers(
    queries: Sequence[Query], given: Mapping[str, Features], split: bool | None
) -> list[PhraseLayer]:
    """The layers from which the rules of queries can be applied, but landmarks that are given.

    Args:
        queries: of the expressions.
        given: landmarks of the user, by phrase.
        split: which objects are split, see `split_phrases`.
    """
    found: dict[tuple[str, bool, bool], None] = {}
    for query in queries:
        if query.is_plain:
            continue
        uses = [(phrase, True) for phrase in query.targets()]
        uses += [(phrase, False) for phrase in query.phrases() if phrase not in given]
        splits = split_phrases(query, split=split)
        found |= dict.fromkeys((*use, splits.includes(use[0], is_target=use[1])) for use in uses)
        for landmark in all_landmarks([query]):  # as layers of their own
            splits = split_phrases(landmark, split=split, is_target=False)
            others = (phrase for phrase in landmark.phrases() if phrase not in given)
            found |= dict.fromkeys(
                (phrase, False, splits.includes(phrase, is_target=False)) for phrase in others
            )
    return [PhraseLayer(f"phrase_{number}", *use) for number, use in enumerate(found)]


def landmark_layers(
    expressions: Sequence[str],
    queries: Sequence[Query],
    given: Mapping[str, Features],
    read: ReadPhrase,
    frame: Frame,
    provenance: Callable[[str], Mapping[str, Any]],
    split: bool | None,
    score: CalibratedScore,
) -> list[Layer]:
    """A layer of each landmark of the expressions, but those that the user gives, also in part.

    Args:
        expressions: of the run.
        queries: of the expressions.
        given: landmarks of the user, by phrase.
        read: gives the objects of a phrase.
        frame: of the scene.
        provenance: of a landmark, ready for JSON.
        split: which objects are split, see `split_phrases`.
        score: see `calibrated`.
    """
    landmarks = [each for each in all_landmarks(queries) if not set(each.targets()) & set(given)]
    texts = [str(landmark) for landmark in landmarks]

    def read_as(text: str, landmark: Query) -> Callable[[str, bool], Iterator[FeatureBatch]]:
        splits = split_phrases(landmark, split=split, is_target=False)
        return lambda phrase, is_target: read(text, splits, phrase, is_target)

    return [
        Layer(
            features=calibrated(
                meant_features(landmark, read_as(text, landmark), frame, None, is_target=False),
                score,
            ),
            expression=text,
            name=name,
            title=f"landmark: {text}",
            provenance=provenance(text),
            facts=fact_names(landmark),
        )
        for landmark, text, name in zip(
            landmarks, texts, landmark_layer_names(expressions, texts), strict=True
        )
    ]
