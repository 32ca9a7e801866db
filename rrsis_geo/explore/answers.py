"""What the page is told, ready for JSON. Positions are in pixels of the scene: x, y."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rrsis_geo.explore.found import is_dropped, to_world
from rrsis_geo.explore.save import describe_share, searched_share
from rrsis_geo.explore.sentence import Sentence
from rrsis_geo.explore.session import Session
from rrsis_geo.explore.tiles import OVERLAP_PX, TILE_PX
from rrsis_geo.geo.crs import crs_name
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.geo.styles import LAYER_RGB
from rrsis_geo.segment.info import SECONDS_PER_WINDOW
from rrsis_geo.segment.plan.outputs import default_output
from rrsis_geo.segment.results.report import dropped_text, smallest_text
from rrsis_geo.units import format_area, format_length

MAX_LISTED = 200
"""Objects in the list of a sentence."""
MAX_DRAWN = 3_000
"""Objects on the map; of more, the largest."""
VERTEX_SCREEN_PX = 0.5
"""Outlines on the map are simplified by this many pixels of the screen."""


def scene_answer(session: Session) -> dict[str, Any]:
    """The facts of the scene and the model."""
    plan, info = session.plan, session.plan.scene
    return {
        "name": info.path.replace("\\", "/").rsplit("/", 1)[-1],
        "width": info.width,
        "height": info.height,
        "crs": "no CRS" if info.crs is None else crs_name(info.crs),
        "pixel": format_length(info.gsd_m),
        "gsd_row_m": info.gsd_row_m,
        "gsd_col_m": info.gsd_col_m,
        "tile_px": TILE_PX,
        "tile_overlap_px": OVERLAP_PX,
        "is_slow": session.tiles.is_slow,
        "min_zoom": session.tiles.min_zoom,
        "model": plan.model.name,
        "step_row_px": plan.grid.stride_px / plan.model_px.scale_row,
        "step_col_px": plan.grid.stride_px / plan.model_px.scale_col,
        "area_of_interest": None if info.aoi is None else rings_of(info.aoi),
        "min_area_m2": plan.options.min_area_m2,
        "smallest": smallest_size(session),
        "file": str(default_output(info.path, ["explored"])),
    }


def smallest_size(session: Session) -> str:
    """The size below which objects are dropped by default, in words."""
    n_pixels, gsd_m = session.plan.smallest_object_px, session.plan.scene.gsd_m
    return f"{n_pixels} pixels" if gsd_m is None else format_area(n_pixels * gsd_m**2)


def state_answer(session: Session) -> dict[str, Any]:
    """What is found and what is being done."""
    running, sentences = session.running, list(session.sentences.values())
    about = session.plan.model.about.get("seconds_per_window", SECONDS_PER_WINDOW)
    return {
        "is_busy": session.is_busy or any(each.is_reading for each in sentences),
        "model_error": session.model_error,
        "is_model_loaded": session.is_model_loaded,
        "seconds_per_window": session.seconds_per_window or float(about),
        "running": None if running is None else running.sentence.number,
        "windows": session.windows,
        "n_waiting": session.n_waiting,
        "sentences": [sentence_answer(each) for each in sentences],
    }


def sentence_answer(sentence: Sentence) -> dict[str, Any]:
    """A sentence and its objects in numbers."""
    plan, found = sentence.plan, sentence.found
    red, green, blue = LAYER_RGB[sentence.number % len(LAYER_RGB)]
    answer: dict[str, Any] = {
        "number": sentence.number,
        "expression": sentence.expression,
        "color": f"rgb({red}, {green}, {blue})",
        "error": sentence.error,
        "messages": [*sentence.messages, *found.warnings],
        "is_known": plan is not None,
        "is_reading": sentence.is_reading,
        "is_part": found.is_part,
        "found_number": sentence.found_number,
        "n_objects": found.n_objects,
        "area": "" if np.isnan(found.area_m2) else format_area(found.area_m2),
        "n_marks": len(sentence.marks),
        "searched": rings_of(sentence.searched),
    }
    if plan is not None:
        (query,), options = plan.queries, plan.options
        share = searched_share(sentence, plan)
        smallest = smallest_text(options.min_area_m2, plan.smallest_object_px, plan.scene.gsd_m)
        answer |= {
            "reading": "" if query.is_plain else str(query),
            "threshold": options.threshold,
            "min_area_m2": options.min_area_m2,
            "share": share,
            "share_text": describe_share(share) if 0 < share < 1 else "",
            "dropped": dropped_text(found.n_small, smallest.partition(" (")[0]),
        }
    return answer


def list_answer(sentence: Sentence) -> dict[str, Any]:
    """The objects with the highest scores, for the list."""
    found = sentence.found
    if found.features is None:
        return {"objects": [], "n_objects": 0}
    features = found.features.take(np.arange(min(len(found.features), MAX_LISTED)))
    return {"objects": _rows(sentence, features), "n_objects": found.n_objects}


def shapes_answer(sentence: Sentence, view: BaseGeometry, screen_px: float) -> dict[str, Any]:
    """The objects in a view, for the map.

    Args:
        sentence: whose objects.
        view: rectangle, in pixels of the scene.
        screen_px: side of a pixel of the screen, in pixels of the scene.
    """
    features = sentence.found.features
    if features is None:
        return {"shapes": [], "n_more": 0}
    index = np.flatnonzero(shapely.intersects(shapely.box(*view.bounds), features.polygons))
    n_more = max(len(index) - MAX_DRAWN, 0)
    if n_more:
        largest = np.argsort(-features.n_pixels[index], kind="stable")[:MAX_DRAWN]
        index = index[np.sort(largest)]
    shown = features.take(index)
    outlines = shapely.simplify(shown.polygons, VERTEX_SCREEN_PX * screen_px)
    rows = _rows(sentence, shown)
    return {
        "shapes": [
            {**row, "rings": rings_of(outline)} for row, outline in zip(rows, outlines, strict=True)
        ],
        "n_more": n_more,
    }


def _rows(sentence: Sentence, features: Features) -> list[dict[str, Any]]:
    transform = sentence.known_plan().scene.transform
    dropped = is_dropped(to_world(features, transform), sentence.marks)
    bounds = shapely.bounds(features.polygons)
    return [
        {
            "id": int(features.id[i]),
            "score": float(features.score[i]),
            "area": "" if np.isnan(features.area_m2[i]) else format_area(features.area_m2[i]),
            "n_pixels": int(features.n_pixels[i]),
            "touches_border": bool(features.touches_border[i]),
            "dropped": bool(dropped[i]),
            "bounds": bounds[i].tolist(),
            "facts": {name: _plain(values[i]) for name, values in features.facts.items()},
        }
        for i in range(len(features))
    ]


def _plain(value: Any) -> Any:
    """A fact for JSON, which has no NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def rings_of(shape: BaseGeometry) -> list[list[list[list[float]]]]:
    """The rings of each polygon of a shape."""
    polygons = [each for each in shapely.get_parts(shape) if not each.is_empty]
    return [
        [_points(ring) for ring in (polygon.exterior, *polygon.interiors)] for polygon in polygons
    ]


def _points(ring: BaseGeometry) -> list[list[float]]:
    points: NDArray[np.float64] = shapely.get_coordinates(ring)[:-1]
    rounded: list[list[float]] = points.round(1).tolist()
    return rounded
