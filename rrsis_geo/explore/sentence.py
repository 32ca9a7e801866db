"""A sentence that the user has typed, and the objects that are found for it so far."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from rrsis_geo.errors import InputError, Stopped
from rrsis_geo.explore.found import (
    Found,
    ObjectSource,
    Point,
    collect,
    to_world,
    without_dropped,
)
from rrsis_geo.explore.kept import KeptProbability
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.segment.plan.advice import advise_on_threshold
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.report import collect_warnings

QUICK_PX = 2**24
"""Pixels that are read at once, in a quarter of a second. Of more, the visible part comes first."""


class Sentence:
    """A sentence with the probabilities that are kept for it.

    Attributes:
        number: of the sentence in the session, from 0.
        expression: as typed.
        rasters: the kept probabilities, by phrase.
        searched: where they are known, in pixels of the scene.
        found: the objects, as the page shows them.
        found_number: number of times that `found` has changed.
        marks: points in objects that the user has dropped, in the coordinates of the scene.
        messages: warnings of the searches.
        error: why the last search failed, "" if it did not.
        is_reading: whether objects are being read.
    """

    def __init__(self, number: int, expression: str, folder: Path) -> None:
        """A sentence that was not searched for yet.

        Args:
            number: in the session.
            expression: as typed.
            folder: existing folder for the kept probabilities.
        """
        self.number = number
        self.expression = expression
        self.folder = folder
        self.rasters: dict[str, KeptProbability] = {}
        self.searched: BaseGeometry = shapely.Polygon()
        self.found = Found()
        self.found_number = 0
        self.marks: tuple[Point, ...] = ()
        self.messages: tuple[str, ...] = ()
        self.error = ""
        self.is_reading = False
        self._plan: Plan | None = None
        self._one_reading = threading.Lock()
        self._request = 0  # number of the last request to read; older ones stop

    @property
    def plan(self) -> Plan | None:
        """The plan of the whole scene; None until the model is loaded. Its options have the
        threshold and the smallest area."""
        return self._plan

    def known_plan(self) -> Plan:
        """The plan, where there is one: after `prepare`."""
        assert self._plan is not None, "prepared before"
        return self._plan

    def prepare(self, plan: Plan) -> Plan:
        """Keep a plan and create the rasters, once.

        Returns:
            The plan that is kept.

        Raises:
            OutputError: a raster cannot be created.
        """
        if self._plan is None:
            tags = plan.raster_tags(self.expression)
            self.rasters = {
                phrase: KeptProbability(self.folder / f"{number}.tif", plan.scene, tags)
                for number, phrase in enumerate(plan.phrases)
            }
            self._plan = plan
        return self._plan

    def add_area(self, area: BaseGeometry) -> None:
        """Add a rectangle to what was searched."""
        self.searched = shapely.union(self.searched, area)

    def set_limits(self, threshold: float, min_area_m2: float | None) -> None:
        """Set the threshold and the smallest area, for the next reading.

        Raises:
            ConfigError: a value is not possible.
        """
        if self._plan is not None:
            options = replace(self._plan.options, threshold=threshold, min_area_m2=min_area_m2)
            self._plan = replace(self._plan, options=options)

    def read(self, view: BaseGeometry | None = None) -> None:
        """Read the objects from the kept probabilities. A reading that is in progress stops.

        Args:
            view: what is visible, in pixels of the scene; of a large area, it is read first.

        Raises:
            ConfigError: a rule needs metres on the ground, and the scene has no CRS.
        """
        self._request += 1
        request = self._request
        self.is_reading = True
        with self._one_reading, suppress(Stopped):
            try:
                plan, searched = self._plan, self.searched
                if plan is None:
                    return
                if view is not None and searched.area > QUICK_PX and plan.queries[0].is_plain:
                    visible = _whole_pixels(view, searched)
                    self._show(replace(self._collect(plan, visible, request), is_part=True))
                self._show(self._collect(plan, searched, request))
            finally:
                self.is_reading = request != self._request

    def _collect(self, plan: Plan, area: BaseGeometry, request: int) -> Found:
        def check(stage: str, done: int, total: int) -> None:
            if request != self._request:
                raise Stopped("a newer reading waits")

        check("", 0, 0)
        with collect_warnings() as warnings:
            found = collect(ObjectSource(plan, self.rasters, area, check), plan.scene.transform)
        advice = advise_on_threshold(self.expression, found.highest, plan.options.threshold)
        return replace(found, warnings=(*warnings, *(() if area.is_empty else advice)))

    def _show(self, found: Found) -> None:
        self.found = found
        self.found_number += 1

    def drop(self, number: int, *, found_number: int, dropped: bool) -> None:
        """Drop an object by hand, or keep it again.

        It is remembered as a point in the object, so that it stays dropped when the outline changes
        with the threshold.

        Args:
            number: `id` of the object.
            found_number: of the objects that the user has seen.
            dropped: whether to drop it.

        Raises:
            InputError: other objects have been read since, or there is no such object.
        """
        plan, found = self._plan, self.found
        features = found.features
        if plan is None or features is None or found_number != self.found_number:
            raise InputError("the objects have changed; choose the object again")
        index = np.flatnonzero(features.id == number)
        if not len(index):
            raise InputError(f"there is no object {number}")
        (polygon,) = to_world(features.take(index), plan.scene.transform).polygons
        marks = [mark for mark in self.marks if not shapely.contains_xy(polygon, *mark)]
        if dropped:
            point = polygon.representative_point()
            marks.append((point.x, point.y))
        self.marks = tuple(marks)

    def kept_features(self) -> Iterator[Features]:
        """All objects but those that the user has dropped, for a file.

        Raises:
            ConfigError: see `read`.
        """
        if self._plan is None:
            return iter(())
        source = ObjectSource(self._plan, self.rasters, self.searched)
        return without_dropped(source.read(), self.marks)


def _whole_pixels(view: BaseGeometry, searched: BaseGeometry) -> BaseGeometry:
    """The part of a view that was searched, widened to whole pixels."""
    left, top, right, bottom = view.bounds
    widened = shapely.box(int(left), int(top), int(right) + 1, int(bottom) + 1)
    return shapely.intersection(widened, searched)
