"""The pixel grid that the network sees."""

import logging
from dataclasses import dataclass

from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.units import format_length

logger = logging.getLogger(__name__)

MAX_UPSAMPLING = 4.0
"""Finer resampling adds pixels to process, but no detail."""


@dataclass(frozen=True, slots=True)
class ModelGrid:
    """The extent of a scene (or part) in pixels of the size that the network expects.

    Attributes:
        height: number of rows.
        width: number of columns.
        scene_height: number of rows of the scene or part.
        scene_width: number of columns of the scene or part.
        gsd_m: metres on the ground per pixel, None if unknown.
    """

    height: int
    width: int
    scene_height: int
    scene_width: int
    gsd_m: float | None

    @property
    def is_scene(self) -> bool:
        """Whether this is the grid of the scene itself, so that no resampling is needed."""
        return (self.height, self.width) == (self.scene_height, self.scene_width)

    @property
    def scale_row(self) -> float:
        """Rows per row of the scene; above 1 the model grid is finer."""
        return self.height / self.scene_height

    @property
    def scale_col(self) -> float:
        """Columns per column of the scene."""
        return self.width / self.scene_width


def model_grid(info: SceneInfo, gsd_m: float | None = None) -> ModelGrid:
    """The grid of a scene (or part) in square pixels of ``gsd_m`` on the ground.

    The scene is upsampled at most four times along each axis. Beyond that, a coarser grid is
    returned with a warning.

    Args:
        info: the scene or the part.
        gsd_m: metres on the ground per pixel. None, or a scene of unknown ground pixel size, gives
            the grid of the scene itself.
    """
    if gsd_m is None or info.gsd_row_m is None or info.gsd_col_m is None:
        return ModelGrid(info.height, info.width, info.height, info.width, info.gsd_m)
    scales = info.gsd_row_m / gsd_m, info.gsd_col_m / gsd_m
    if max(scales) > MAX_UPSAMPLING:
        logger.warning(
            "%s: its pixels of %s are too coarse for %s; upsampled only %g times",
            info.path,
            format_length(info.gsd_m),
            format_length(gsd_m),
            MAX_UPSAMPLING,
        )
        gsd_m *= max(scales) / MAX_UPSAMPLING
        scales = info.gsd_row_m / gsd_m, info.gsd_col_m / gsd_m
    height, width = max(1, round(info.height * scales[0])), max(1, round(info.width * scales[1]))
    return ModelGrid(height, width, info.height, info.width, gsd_m)
