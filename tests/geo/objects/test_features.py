"""Features: position, measures, limits and ids."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.objects import candidates as module
from rrsis_geo.geo.objects.candidates import make_features
from rrsis_geo.geo.objects.features import FeatureOptions, Features
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.vectorize import vectorize

UTM = CRS.from_epsg(32645)
NORTH_UP = Affine(0.5, 0, 334_000, 0, -0.5, 3_065_000)


def squares(*sides: int) -> Objects:
    """Squares of these sides in a row, 2 pixels apart, each with a different probability."""
    mask = np.zeros((max(sides) + 2, sum(sides) + 2 * len(sides)), bool)
    probability = np.zeros(mask.shape, np.float32)
    left = 1
    for i, side in enumerate(sides):
        mask[1 : 1 + side, left : left + side] = True
        probability[1 : 1 + side, left : left + side] = 0.5 + i / 20
        probability[1, left] = 0.99
        left += side + 2
    return vectorize(mask, probability)


DEFAULTS = FeatureOptions(transform=NORTH_UP, crs=UTM, expression="the roof", model="lite")


def features_of(objects: Objects, **options: Any) -> list[Features]:
    return list(make_features([objects], replace(DEFAULTS, **options)))


def test_attributes() -> None:
    (batch,) = features_of(squares(4, 4, 10))
    assert batch.id.tolist() == [1, 2, 3]
    assert batch.n_pixels.tolist() == [16, 16, 100]
    np.testing.assert_allclose(
        batch.score,
        [(15 * 0.5 + 0.99) / 16, (15 * 0.55 + 0.99) / 16, (99 * 0.6 + 0.99) / 100],
        atol=5.01e-4,
    )
    assert batch.score_max.tolist() == [0.99] * 3
    # The UTM scale is 0.99994, 166 km from the central meridian.
    np.testing.assert_allclose(batch.area_m2, batch.n_pixels * 0.25, rtol=2e-4)
    np.testing.assert_allclose(batch.perimeter_m, [8, 8, 20], rtol=1e-4)
    np.testing.assert_allclose(shapely.area(batch.polygons), batch.n_pixels * 0.25)


def test_ids_are_consecutive_without_small_objects() -> None:
    objects = squares(2, 8, 4, 9)
    parts = [objects.take(np.array([i])) for i in range(4)]
    batches = list(make_features(parts, replace(DEFAULTS, min_area_m2=4.1)))
    assert [batch.id.tolist() for batch in batches if len(batch)] == [[1], [2]]
    assert sorted(n for batch in batches for n in batch.n_pixels.tolist()) == [64, 81]


def test_degrees_are_measured_on_the_ground() -> None:
    transform = Affine(1e-5, 0, 10, 0, -1e-5, 60)
    (batch,) = features_of(squares(10), crs=CRS.from_epsg(4326), transform=transform)
    # WGS 84 at 60 degrees: 111412.3 m per degree of latitude, 55800.0 m per degree of longitude
    assert batch.area_m2[0] == pytest.approx(100 * 1.114123 * 0.558000, rel=1e-4)


def test_large_batches_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    batches = features_of(squares(2, 2, 2, 2, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert np.concatenate([batch.id for batch in batches]).tolist() == [1, 2, 3, 4, 5]


def test_tolerance_is_in_metres() -> None:
    mask = np.hypot(*(np.mgrid[:80, :80] - 40)) < 30
    disc = vectorize(mask, mask.astype(np.float32))
    n_vertices = [
        shapely.get_num_coordinates(features_of(disc, simplify_m=metres, gsd_m=0.5)[0].polygons[0])
        for metres in (0.0, 0.4, 0.8, 2.0)
    ]
    assert n_vertices == sorted(n_vertices, reverse=True)
    assert n_vertices[0] > 3 * n_vertices[-1]
    (fine,) = features_of(disc, simplify_m=0.8, gsd_m=0.5)
    (coarse,) = features_of(disc, simplify_m=8.0, gsd_m=5.0)
    assert fine.polygons[0].equals(coarse.polygons[0])
    assert fine.n_pixels[0] == mask.sum()
    assert fine.area_m2[0] == pytest.approx(fine.polygons[0].area, rel=2e-4)


def test_tolerance_below_a_pixel_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    (batch,) = features_of(squares(4), simplify_m=0.1, gsd_m=0.5)
    assert "less than a pixel" in caplog.text
    assert shapely.get_num_coordinates(batch.polygons[0]) == 5


def test_metres_need_a_crs() -> None:
    pixels = {"transform": Affine.identity(), "crs": None}
    (batch,) = features_of(squares(3), **pixels)
    assert np.isnan(batch.area_m2).all()
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        features_of(squares(3), min_area_m2=1.0, **pixels)
    with pytest.raises(ConfigError, match="known ground pixel size"):
        features_of(squares(3), simplify_m=1.0, **pixels)


def test_no_objects() -> None:
    assert list(make_features([], DEFAULTS)) == []
    assert features_of(squares(3).take(np.array([], np.int64)), simplify_m=2.0, gsd_m=0.5) == []


def test_objects_of_few_pixels_are_dropped_and_counted() -> None:
    dropped: list[int] = []
    (batch,) = features_of(squares(1, 3, 2, 4), min_pixels=9, count_dropped=dropped.append)
    assert batch.n_pixels.tolist() == [9, 16]
    assert batch.id.tolist() == [1, 2]
    assert dropped == [2]
