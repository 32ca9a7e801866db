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
from rrsis_geo.segment.plan.landmarks import all_landmarks
from rrsis_geo.segment.plan.outputs import landmark_layer_names
from rrsis_geo.segment.results.meant import meant_features
from rrsis_geo.text.query.records import Query

ReadPhrase = Callable[[str, str, bool], Iterator[Features]]
"""Reads the objects of a phrase for an expression; True: those of a target."""


class PhraseLayer(NamedTuple):
    """A layer of the objects of one phrase.

    Attributes:
        name: of the layer.
        phrase: for the network.
        is_target: whether the objects are filtered and simplified as the options say.
    """

    name: str
    phrase: str
    is_target: bool


def phrase_layers(queries: Sequence[Query], given: Mapping[str, Features]) -> list[PhraseLayer]:
    """The layers from which the rules of queries can be applied, but landmarks that are given."""
    found: dict[tuple[str, bool], None] = {}
    for query in queries:
        if not query.is_plain:
            found |= dict.fromkeys((phrase, True) for phrase in query.targets())
            others = (phrase for phrase in query.phrases() if phrase not in given)
            found |= dict.fromkeys((phrase, False) for phrase in others)
    return [
        PhraseLayer(f"phrase_{number}", phrase, is_target)
        for number, (phrase, is_target) in enumerate(found)
    ]


def landmark_layers(
    expressions: Sequence[str],
    queries: Sequence[Query],
    given: Mapping[str, Features],
    read: ReadPhrase,
    frame: Frame,
    provenance: Callable[[str], Mapping[str, Any]],
) -> list[Layer]:
    """A layer of each landmark of the expressions, but those that the user gives, also in part.

    Args:
        expressions: of the run.
        queries: of the expressions.
        given: landmarks of the user, by phrase.
        read: gives the objects of a phrase.
        frame: of the scene.
        provenance: of a landmark, ready for JSON.
    """
    landmarks = [each for each in all_landmarks(queries) if not set(each.targets()) & set(given)]
    texts = [str(landmark) for landmark in landmarks]

    def read_as(text: str) -> Callable[[str, bool], Iterator[Features]]:
        return lambda phrase, is_target: read(text, phrase, is_target)

    return [
        Layer(
            features=meant_features(landmark, read_as(text), frame, None, is_target=False),
            expression=text,
            name=name,
            provenance=provenance(text),
            facts=fact_names(landmark),
        )
        for landmark, text, name in zip(
            landmarks, texts, landmark_layer_names(expressions, texts), strict=True
        )
    ]
