"""Read the layers of users that are landmarks, and check that they fit the rules."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import shapely

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.geo.scene.shapes_file import read_shapes
from rrsis_geo.segment.plan.landmarks import GivenLandmark, all_landmarks, find_given
from rrsis_geo.segment.results.meant import scenes_frame
from rrsis_geo.text.query.records import (
    Query,
    Rank,
    Region,
    Relative,
    Rule,
    Size,
    SizeClass,
    landmarks_of,
    plain_rule,
)


def read_given(
    queries: Sequence[Query], given: Sequence[GivenLandmark], infos: Sequence[SceneInfo]
) -> dict[str, Features]:
    """The landmarks that users give, by the phrases that they stand for.

    Args:
        queries: of all expressions.
        given: layers of the user.
        infos: of the scenes in one CRS, or of the parts of them that are segmented.

    Raises:
        ConfigError: a name is not that of a landmark, a layer is unknown, or a rule needs polygons
            and the layer has others.
        InputError: a file cannot be used.
    """
    by_phrase = find_given(queries, given)
    features = {landmark: _read(landmark, infos) for landmark in set(by_phrase.values())}
    found = {phrase: features[landmark] for phrase, landmark in by_phrase.items()}
    _check_polygons(queries, by_phrase, found)
    return found


def _read(landmark: GivenLandmark, infos: Sequence[SceneInfo]) -> Features:
    path, layer, crs = landmark.path, landmark.layer, infos[0].crs
    shapes = read_shapes(path, layer, crs, option=f'--landmark "NAME={path}:LAYER"')
    frame, n = scenes_frame(infos), len(shapes)
    plane = frame.plane(shapes)
    return Features(
        polygons=shapes,
        id=np.arange(1, n + 1),
        score=np.ones(n),
        score_max=np.ones(n),
        area_m2=shapely.area(plane) if frame.has_metres else np.full(n, np.nan),
        perimeter_m=shapely.length(plane) if frame.has_metres else np.full(n, np.nan),
        n_pixels=np.zeros(n, np.int64),
        touches_border=np.zeros(n, bool),
        split_from=np.zeros(n, np.int64),
        expression=landmark.name,
        model="",
    )


def _check_polygons(
    queries: Sequence[Query],
    by_phrase: Mapping[str, GivenLandmark],
    found: Mapping[str, Features],
) -> None:
    """Check that what has to have an inside has one.

    Raises:
        ConfigError: it is a point or a line.
    """
    for rule, phrase in _rules_about(queries):
        if not (phrase in found and _needs_polygons(rule, phrase)):
            continue
        if (shapely.get_dimensions(found[phrase].polygons) < 2).any():
            raise ConfigError(
                f'{by_phrase[phrase].path}: "{rule}" needs polygons, but the layer has points or '
                'lines; buffer them, or ask for a distance, such as "within 10 m of"'
            )


def _rules_about(queries: Sequence[Query]) -> Iterator[tuple[Rule, str]]:
    """Every rule with each phrase of its landmarks, and each rule of a landmark with its own."""
    landmarks = all_landmarks(queries)
    for query in (*_with_sources(queries), *_with_sources(landmarks)):
        for rule in query.rules:
            for landmark in landmarks_of(rule):
                yield from ((rule, phrase) for phrase in landmark.targets())
    for landmark in landmarks:
        for rule in landmark.rules:
            yield from ((rule, phrase) for phrase in landmark.targets())


def _with_sources(queries: Sequence[Query]) -> Iterator[Query]:
    for query in queries:
        yield query
        yield from _with_sources([each for each in query.sources if isinstance(each, Query)])


def _needs_polygons(rule: Rule, phrase: str) -> bool:
    inner = plain_rule(rule)
    is_landmark = any(phrase in landmark.targets() for landmark in landmarks_of(inner))
    match inner:
        case Relative():
            return is_landmark and inner.relation in ("in", "on", "outside")
        case Region():
            return is_landmark
        case Size() | SizeClass():
            return inner.measure == "area"
        case Rank():
            return inner.key == "area"
        case _:
            return False
