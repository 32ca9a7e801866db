"""Painted overhead scenes with exact masks, for training, demos and tests.

`paint_scene` draws a theme (highway, town, harbour, ...), lays out parcels, water and roads, and
adds buildings, facilities, traffic and trees. The scene depends only on the arguments and on the
state of the random generator.
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
    return layout.draw_deferred().render(CATEGORIES, "painted")
