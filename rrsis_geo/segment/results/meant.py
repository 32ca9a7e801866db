"""The objects of a scene that an expression means, as features of its layer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.crs import as_proj, crs_name
from rrsis_geo.geo.objects.features import SCORE_DECIMALS, Features
from rrsis_geo.geo.plane import approximate, metres_about
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.resolve.batches import ObjectBatch, ReadObjects
from rrsis_geo.resolve.fact_columns import fact_names
from rrsis_geo.resolve.frame import Float64, Frame
from rrsis_geo.resolve.resolver import Resolver, rules_in_metres
from rrsis_geo.text.query.records import Query

CalibratedScore = Callable[[Float64], Float64]


class FeatureBatch(ObjectBatch, Protocol):
    """Objects that are features, or become some: `Features` or `Candidates`."""

    def to_features(self) -> Features:
        """The objects as features."""


def meant_features(
    query: Query,
    read: ReadObjects[FeatureBatch],
    frame: Frame,
    prefix: str | None = "",
    *,
    is_target: bool = True,
    keep_candidates: bool = False,
) -> Iterator[Features]:
    """The objects that a query means, numbered from 1, with the facts that chose them.

    Args:
        query: with rules.
        read: gives the objects of a phrase.
        frame: of the scene, see `scenes_frame`.
        prefix: of warnings, to tell several expressions apart; None logs no warnings.
        is_target: False for a landmark, of which only what counts is given.
        keep_candidates: give all objects of the target phrases, with the fact "chosen".
    """
    first_id = 1
    resolver = Resolver(read, frame, prefix)
    if not is_target:
        found = resolver.landmarks(query)
    else:
        found = resolver.candidates(query) if keep_candidates else resolver.meant(query)
    for objects, facts in found:
        ids = np.arange(first_id, first_id + len(objects))
        yield replace(objects.to_features(), id=ids, facts=facts)
        first_id += len(objects)


def layer_facts(query: Query, *, keep_candidates: bool) -> tuple[str, ...]:
    """Names of the facts in the layer of an expression, see `Features.facts`."""
    names = fact_names(query)
    return ("chosen", *names) if keep_candidates else names


def all_chosen(features: Iterable[Features]) -> Iterator[Features]:
    """The same features as candidates that are all chosen: the expression has no rules."""
    for batch in features:
        yield replace(batch, facts={"chosen": np.ones(len(batch), bool)})


def calibrated(features: Iterable[Features], score: CalibratedScore) -> Iterator[Features]:
    """The same features with the scores of a layer for users.

    Rules read mean probabilities, so it comes after them.

    Args:
        features: their scores are mean probabilities.
        score: gives the scores, see `rrsis_geo.model.calibration`.
    """
    for batch in features:
        yield replace(batch, score=score(batch.score).round(SCORE_DECIMALS))


def scenes_frame(infos: Sequence[SceneInfo]) -> Frame:
    """The frame of scenes in one CRS, or of the parts of them that are segmented.

    It has no metres if there is no CRS, or if a corner of a scene lies outside the CRS's domain.
    """
    corners = np.concatenate([_corners(info) for info in infos])
    info = infos[0]
    if info.crs is None:
        return Frame(corners, None, y_is_down=info.transform.e > 0)
    to_plane = metres_about(as_proj(info.crs), corners.mean(0))
    if to_plane is not None:
        is_known = np.isfinite(to_plane(corners)).all()
        to_plane = approximate(to_plane, corners.min(0), corners.max(0)) if is_known else None
    return Frame(corners, to_plane, y_is_down=False)


def _corners(info: SceneInfo) -> Float64:
    sides = ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))
    return np.array([info.transform @ corner for corner in sides], float)


def check_metres(query: Query, info: SceneInfo) -> None:
    """Check that the ground sizes that a query needs are known.

    Raises:
        ConfigError: the scene has no CRS, or lies outside the domain of its CRS.
    """
    rule = next(rules_in_metres(query), None)
    if rule is None or scenes_frame([info]).has_metres:
        return
    if info.crs is None:
        reason = 'the scene has no CRS; assign one with "rio edit-info --crs"'
    else:
        reason = (
            f"parts of the scene lie outside the domain of its CRS, {crs_name(info.crs)}; correct "
            "its CRS or its transform, or choose a part with --bbox"
        )
    raise ConfigError(f'{info.path}: "{rule}" needs metres on the ground, but {reason}')
