"""Painted overhead scenes with exact masks, for training, demos and tests.

`paint_scene` draws a theme (highway, town, harbour, ...), lays out parcels, water and roads, and
adds buildings, facilities, traffic and trees. The scene depends only on the arguments and on the
state of the random generator.
"""

import numpy as np

from rrsis_geo.data.painter import (
    buildings,
    facilities,
    lots,
    plants,
    ports,
    ships_airplanes,
    terrain,
)
from rrsis_geo.data.painter.basics import pick
from rrsis_geo.data.painter.camera import Light, draw_light
from rrsis_geo.data.painter.layout import THEMES, Layout, Theme
from rrsis_geo.data.painter.vehicles import VEHICLES
from rrsis_geo.data.sample import LabelledImage

__all__ = ["CATEGORIES", "THEMES", "Light", "Theme", "paint_scene"]

CATEGORIES = frozenset(
    (
        *buildings.CATEGORIES,
        *facilities.CATEGORIES,
        *lots.CATEGORIES,
        *plants.CATEGORIES,
        *ports.CATEGORIES,
        *ships_airplanes.CATEGORIES,
        *terrain.CATEGORIES,
        *VEHICLES,
    )
)
"""All categories of the painter. It labels every object of them."""


def paint_scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    gsd_m: float,
    *,
    theme: str | Theme | None = None,
    light: Light | None = None,
) -> LabelledImage:
    """Paint one overhead scene.

    Args:
        rng: source of all randomness.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel, 0.1 to 1.
        theme: a key of `THEMES` or a theme. None draws one that fits the size of the view.
        light: sun, sky and camera. None draws them.

    Returns:
        The image and its instances. A mask is the visible part of an object without its shadow.
        Roads, parking lots and bridges continue under vehicles, as in human labels. Vehicles have
        the attributes "colour" and "on", trucks "type", and buildings "colour" and "roof".
    """
    if theme is None:
        size_m = max(height, width) * gsd_m
        weights = {key: each.weight for key, each in THEMES.items() if each.least_m <= size_m}
        theme = pick(rng, weights)
    if isinstance(theme, str):
        theme = THEMES[theme]
    layout = Layout(rng, height, width, gsd_m, theme, light or draw_light(rng))
    terrain.lay_parcels(layout)
    terrain.lay_water(layout)
    ports.lay_coast(layout)
    ports.lay_apron(layout)
    terrain.lay_roads(layout)
    ports.lay_boats(layout)
    lots.lay_lots(layout)
    lots.lay_sports(layout)
    buildings.lay_buildings(layout)
    terrain.add_traffic(layout)
    plants.plant_trees(layout)
    return layout.draw_deferred().render(CATEGORIES, "painted")
