"""The landmarks of expressions, and layers of the user that stand for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import absolute_path
from rrsis_geo.model.names import Language
from rrsis_geo.text.query.parser import parse_query
from rrsis_geo.text.query.records import Find, Query, landmarks_of
from rrsis_geo.text.query.wording import canonical_phrase


@dataclass(frozen=True, slots=True)
class GivenLandmark:
    """A layer of the user, in place of what the network would find.

    Attributes:
        name: the landmark as an expression calls it; article and number do not matter.
        path: vector file of points, lines or polygons.
        layer: its layer; None if it has only one.
    """

    name: str
    path: Path
    layer: str | None = None

    @staticmethod
    def parse(text: str) -> "GivenLandmark":
        """Parse ``NAME=FILE`` or ``NAME=FILE:LAYER``.

        Raises:
            ConfigError: the text has another form.
        """
        name, equals, file = (part.strip() for part in text.partition("="))
        if not (name and equals and file):
            raise ConfigError(
                f'--landmark takes NAME=FILE, such as "the pier=piers.gpkg", got "{text}"'
            )
        path, colon, layer = file.rpartition(":")
        if colon and path and not Path(file).exists() and Path(path).exists():
            return GivenLandmark(name, Path(path), layer)
        return GivenLandmark(name, Path(file))

    def is_called(self, phrase: str) -> bool:
        """Whether a phrase is the name, without article and number."""
        return canonical_phrase(self.name) == canonical_phrase(phrase)

    def to_manifest(self) -> list[Any]:
        """Name, path, layer, size in bytes and time of change, ready for JSON."""
        stat = self.path.stat() if self.path.exists() else None
        changed = [stat and stat.st_size, stat and stat.st_mtime]
        return [self.name, absolute_path(self.path), self.layer, *changed]

    @staticmethod
    def from_manifest(record: Sequence[Any]) -> "GivenLandmark":
        """The inverse of `to_manifest`."""
        name, path, layer = record[:3]
        return GivenLandmark(str(name), Path(path), layer)


def read_queries(
    expressions: Sequence[str], given: Sequence[GivenLandmark], language: Language = "resolved"
) -> tuple[Query, ...]:
    """What each expression asks for.

    Args:
        expressions: of a run.
        given: landmarks of the user.
        language: of the model, see `ModelFacts`.

    Raises:
        InputError: an expression is not understood.
    """
    names = frozenset(canonical_phrase(landmark.name) for landmark in given)
    queries = [parse_query(expression, names) for expression in expressions]
    if language == "resolved":
        return tuple(queries)
    return tuple(
        Query((Find(expression),)) if query.is_plain else query
        for expression, query in zip(expressions, queries, strict=True)
    )


def all_landmarks(queries: Sequence[Query]) -> tuple[Query, ...]:
    """The landmarks of queries and those of landmarks, each once."""
    return tuple(dict.fromkeys(each for query in queries for each in _landmarks_in(query)))


def find_given(
    queries: Sequence[Query], given: Sequence[GivenLandmark]
) -> dict[str, GivenLandmark]:
    """The phrases of landmarks for which the user gives a layer.

    Raises:
        ConfigError: a name is given twice, or is not that of a landmark.
    """
    phrases = _landmark_phrases(queries)
    found: dict[str, GivenLandmark] = {}
    for landmark in given:
        named = [phrase for phrase in phrases if landmark.is_called(phrase)]
        if not named:
            known = ", ".join(f'"{phrase}"' for phrase in phrases)
            known = f"their landmarks: {known}" if known else "they have no landmarks"
            raise ConfigError(
                f'landmark "{landmark.name}": the expressions do not refer to it; {known}'
            )
        if set(named) & set(found):
            raise ConfigError(f'landmark "{landmark.name}": is given more than once')
        found |= dict.fromkeys(named, landmark)
    return found


def asked_phrases(queries: Sequence[Query], given: Sequence[GivenLandmark]) -> tuple[str, ...]:
    """What the network is asked for: all phrases, each once, but landmarks that are given."""
    known = {phrase for query in queries for phrase in query.targets()}
    skipped = set(find_given(queries, given)) - known
    phrases = dict.fromkeys(phrase for query in queries for phrase in query.phrases())
    return tuple(phrase for phrase in phrases if phrase not in skipped)


def _landmarks_in(query: Query) -> Iterator[Query]:
    for source in query.sources:
        for inner in source.excluded if isinstance(source, Find) else (source,):
            yield from _landmarks_in(inner)
    for rule in query.rules:
        for landmark in landmarks_of(rule):
            yield landmark
            yield from _landmarks_in(landmark)


def _landmark_phrases(queries: Sequence[Query]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            phrase for landmark in all_landmarks(queries) for phrase in landmark.targets()
        )
    )
