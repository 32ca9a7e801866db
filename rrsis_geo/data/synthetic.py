"""Painted overhead scenes with exact masks: training data, demos, tests.

`paint_scene` draws a theme (highway, town, ...), lays out ground, water and roads, fills the land
with what belongs there, and lets traffic onto the lanes. What it paints is deterministic in the
generator passed in.
"""

import numpy as np

from rrsis_geo.data.paint_layout import THEMES, Layout
from rrsis_geo.data.paint_vehicles import VEHICLES
from rrsis_geo.data.sample import LabelledImage

CATEGORIES = frozenset(
    (*VEHICLES, "building", "road", "water", "tree", "parking lot", "swimming pool", "storage tank")
)
"""Everything the painter knows, and labels wherever it paints it."""


def paint_scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    gsd_m: float,
    *,
    theme: str | None = None,
    name: str = "painted",
) -> LabelledImage:
    """Paint one overhead scene.

    Args:
        rng: everything is drawn from it; the same state gives the same scene.
        height: rows, pixels.
        width: columns, pixels.
        gsd_m: metres per pixel, 0.1 to 1.
        theme: one of `THEMES`; None draws one.
        name: id of the labelled image.

    Returns:
        the image and its instances. Masks are what is seen of a thing, without its shadow; roads,
        parking lots and bridges run on under the vehicles on them, as in human labels. Vehicles
        carry "colour" and "on", trucks "type", buildings "colour".
    """
    if theme is None:
        theme = list(THEMES)[int(rng.integers(len(THEMES)))]
    scene = Layout(rng, height, width, gsd_m, THEMES[theme])
    scene.lay_water()
    scene.lay_roads()
    scene.lay_lots()
    scene.build()
    scene.drive()
    scene.plant()
    return scene.finish().develop(CATEGORIES, name)
