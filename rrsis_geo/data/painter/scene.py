"""Painted overhead scenes with exact masks: training data, demos, tests.

`paint_scene` draws a theme (highway, town, harbour, ...), lays out land, water and roads, fills
the land with what belongs there, and lets traffic onto the lanes. What it paints is deterministic
in the generator passed in.
"""

import numpy as np

from rrsis_geo.data.painter.basics import pick
from rrsis_geo.data.painter.buildings import lay_buildings
from rrsis_geo.data.painter.camera import Light, draw_light
from rrsis_geo.data.painter.layout import THEMES, Layout, Theme
from rrsis_geo.data.painter.lots import lay_lots, lay_sports
from rrsis_geo.data.painter.plants import plant_trees
from rrsis_geo.data.painter.ports import lay_apron, lay_boats, lay_coast
from rrsis_geo.data.painter.terrain import add_traffic, lay_parcels, lay_roads, lay_water
from rrsis_geo.data.painter.vehicles import VEHICLES
from rrsis_geo.data.sample import LabelledImage

__all__ = ["CATEGORIES", "THEMES", "Light", "Theme", "paint_scene"]

CATEGORIES = frozenset(
    (
        *VEHICLES, "airplane", "baseball field", "basketball court", "bridge", "building",
        "ground track field", "harbor", "parking lot", "road", "ship", "soccer field",
        "storage tank", "swimming pool", "tennis court", "tree", "water",
    )
)  # fmt: skip
"""Everything the painter knows, and labels wherever it paints it."""


def paint_scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    gsd_m: float,
    *,
    theme: str | Theme | None = None,
    light: Light | None = None,
    name: str = "painted",
) -> LabelledImage:
    """Paint one overhead scene.

    Args:
        rng: everything is drawn from it; the same state gives the same scene.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel, 0.1 to 1.
        theme: a key of `THEMES`, or one's own; None draws one that a view of this size can show.
        light: sun, sky and camera; None draws them.
        name: id of the labelled image.

    Returns:
        the image and its instances. Masks are what is seen of a thing, without its shadow; roads,
        parking lots and bridges run on under the vehicles on them, as in human labels. Vehicles
        carry "colour" and "on", trucks "type", buildings "colour" and "roof".
    """
    if theme is None:
        size_m = max(height, width) * gsd_m
        fitting = {key: each.weight for key, each in THEMES.items() if each.least_m <= size_m}
        theme = pick(rng, fitting)
    if isinstance(theme, str):
        theme = THEMES[theme]
    layout = Layout(rng, height, width, gsd_m, theme, light or draw_light(rng))
    lay_parcels(layout)
    lay_water(layout)
    lay_coast(layout)
    lay_apron(layout)
    lay_roads(layout)
    lay_boats(layout)
    lay_lots(layout)
    lay_sports(layout)
    lay_buildings(layout)
    add_traffic(layout)
    plant_trees(layout)
    return layout.draw_deferred().render(CATEGORIES, name)
