"""The objects of a scene that an expression means, as features of its layer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from pyproj import CRS as ProjCRS
from pyproj import Transformer

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.crs import as_proj
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.resolve.fact_columns import fact_names
from rrsis_geo.resolve.frame import Float64, Frame
from rrsis_geo.resolve.resolver import ReadObjects, Resolver, rules_in_metres
from rrsis_geo.text.query.records import Query


def meant_features(
    query: Query,
    read: ReadObjects[Features],
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
        is_target: False for a landmark.
        keep_candidates: give all objects of the target phrases, with the fact "chosen".
    """
    first_id = 1
    resolver = Resolver(read, frame, prefix)
    meant = resolver.meant(query, is_target=is_target)
    for objects, facts in resolver.candidates(query) if keep_candidates else meant:
        yield replace(objects, id=np.arange(first_id, first_id + len(objects)), facts=facts)
        first_id += len(objects)


def layer_facts(query: Query, *, keep_candidates: bool) -> tuple[str, ...]:
    """Names of the facts in the layer of an expression, see `Features.facts`."""
    names = fact_names(query)
    return ("chosen", *names) if keep_candidates else names


def all_chosen(features: Iterable[Features]) -> Iterator[Features]:
    """The same features as candidates that are all chosen: the expression has no rules."""
    for batch in features:
        yield replace(batch, facts={"chosen": np.ones(len(batch), bool)})


def scenes_frame(infos: Sequence[SceneInfo]) -> Frame:
    """The frame of scenes in one CRS, or of the parts of them that are segmented."""
    corners = np.concatenate([_corners(info) for info in infos])
    info = infos[0]
    if info.crs is None:
        return Frame(corners, None, y_is_down=info.transform.e > 0)
    proj = as_proj(info.crs)
    if proj.geodetic_crs is None:  # an engineering CRS: its plane is the ground
        return Frame(corners, None, y_is_down=False)
    to_degrees = Transformer.from_crs(proj, proj.geodetic_crs, always_xy=True)
    lon, lat = to_degrees.transform(*corners.mean(0))
    plane = ProjCRS.from_dict(
        {"proj": "aeqd", "lat_0": lat, "lon_0": lon, "units": "m", **_ellipsoid(proj)}
    )
    to_plane = Transformer.from_crs(proj, plane, always_xy=True)

    def move(points: Float64) -> Float64:
        return np.column_stack(to_plane.transform(*points.T))

    return Frame(corners, move, y_is_down=False)


def _corners(info: SceneInfo) -> Float64:
    sides = ((0, 0), (info.width, 0), (info.width, info.height), (0, info.height))
    return np.array([info.transform @ corner for corner in sides], float)


def _ellipsoid(crs: ProjCRS) -> dict[str, float]:
    ellipsoid = crs.ellipsoid
    assert ellipsoid is not None
    return {"a": ellipsoid.semi_major_metre, "b": ellipsoid.semi_minor_metre}


def check_metres(query: Query, info: SceneInfo) -> None:
    """Check that the ground sizes that a query needs are known.

    Raises:
        ConfigError: the scene has no CRS.
    """
    for rule in rules_in_metres(query) if info.crs is None else ():
        raise ConfigError(
            f'{info.path}: "{rule}" needs metres on the ground, but the scene has no CRS; '
            'assign one with "rio edit-info --crs"'
        )
