"""The coordinates of pictures and scenes."""

import numpy as np
import pytest
import shapely

from rrsis_geo.resolve.frame import Drawn, Frame, Things, widen
from rrsis_geo.resolve.relations import (
    along_side,
    distances_m,
    distances_to_place,
    in_region,
    is_on,
    is_side_of,
)

CORNERS = np.array([[0, 0], [100, 0], [100, 50], [0, 50]], float)
PIXELS = Frame(CORNERS, None, y_is_down=True)
METRES = Frame(CORNERS, lambda points: points * (0.5, -0.5), y_is_down=True)
PLANE = Frame(CORNERS, lambda points: points, y_is_down=False)


@pytest.mark.parametrize("frame", [PIXELS, METRES])
def test_north_is_the_top_of_a_picture_without_a_crs(frame: Frame) -> None:
    """Compass words and words of the picture agree where rows are counted from the top."""
    things = Things.of(shapely.box([10, 10, 80], [5, 40, 20], [14, 14, 84], [9, 44, 24]), frame)
    for side, same in (("north", "top"), ("south", "bottom"), ("east", "right"), ("west", "left")):
        ends = []
        for name in (side, same):
            centres = things.centres(compass=name == side)
            bounds = frame.bounds(compass=name == side)
            ends.append(
                (
                    int(along_side(centres, name).argmax()),
                    in_region(
                        centres, things.boxes(compass=name == side), bounds, [name], "half"
                    ).tolist(),
                    is_side_of(
                        things, Things.of(shapely.box([45], [22], [50], [27]), frame), [name]
                    ).tolist(),
                )
            )
        assert ends[0] == ends[1]
        assert ends[0][0] == {"top": 0, "bottom": 1, "right": 2, "left": 0}[same]
        assert (
            ends[0][1]
            == {
                "top": [True, False, True],
                "bottom": [False, True, False],
                "right": [False, False, True],
                "left": [True, True, False],
            }[same]
        )
        assert (
            ends[0][2]
            == {
                "top": [False] * 3,
                "bottom": [False] * 3,
                "right": [False, False, True],
                "left": [True, True, False],
            }[same]
        )


def test_lengths_in_a_picture_whose_ground_pixel_is_known() -> None:
    things = Things.of(shapely.box([10], [5], [30], [15]), METRES)
    assert things.areas().tolist() == [50.0]
    length, width = things.sides_m()
    assert (length.tolist(), width.tolist()) == ([10.0], [5.0])


def test_the_edge_is_that_of_all_scenes_together() -> None:
    """No edge lies between neighbours, also if rounding errors part them."""
    tile = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], float)
    corners = np.concatenate([tile + np.array([left, 0]) for left in (0, 100 + 1e-8, 200)])
    scenes = Frame(corners, lambda points: points, y_is_down=False)
    objects = Things.of(
        shapely.box([149, 99, 2], [49, 40, 50], [151, 101, 4], [51, 60, 52]), scenes
    )
    assert distances_to_place(objects, "edge", ()) == pytest.approx([49, 40, 2])


def test_landmarks_are_held_only_in_the_coordinates_that_rules_need() -> None:
    halves = np.array_split(shapely.box([45, 70], 22, [50, 75], 27), 2)
    landmarks = Things(lambda: map(Drawn, halves), METRES)
    things = Things.of(shapely.box([10, 46], [22, 23], [14, 48], [26, 25]), METRES)
    assert distances_m(things, landmarks).tolist() == [15.5, 0]
    assert is_on(things, landmarks).tolist() == [False, True]
    assert is_side_of(things, landmarks, ("west",)).tolist() == [True, False]
    assert "own" not in vars(landmarks)
    assert is_side_of(things, landmarks, ("left",)).tolist() == [True, False]
    assert "own" in vars(landmarks)


def test_a_cover_holds_no_second_copy_of_landmarks_that_stand_apart() -> None:
    shapes = shapely.box(*np.array([[0, 0, 9, 9], [20, 0, 30, 9], [30, 5, 40, 9]], float).T)
    ring = shapely.Polygon([(60, 0), (80, 0), (80, 20), (60, 20)], [[(65, 5), (70, 5), (70, 10)]])
    landmarks = Things.of(np.array([*shapes, ring]), PLANE)
    cover = landmarks.cover().shapes
    assert [shapely.area(shape) for shape in cover] == [81, 387.5, 130]
    assert cover[0] is landmarks.plane[0]
    assert cover[1] is landmarks.plane[3]
    assert [shapely.area(shape) for shape in landmarks.cover(filled=True).shapes] == [81, 400, 130]


def test_holes_of_several_parts_are_filled_in_place() -> None:
    outer, hole = shapely.box(0, 0, 10, 10), shapely.box(4, 4, 6, 6)
    beside = shapely.box(20, 0, 30, 10)
    whole = np.array([beside, shapely.MultiPolygon([outer - hole, beside]), outer - hole])
    filled = np.array([beside, shapely.MultiPolygon([outer, beside]), outer])
    assert shapely.equals(widen(whole, 0, filled=True), filled).all()
    assert widen(whole[:1], 0, filled=True)[0] is beside
