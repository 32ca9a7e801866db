"""Options of reading a scene: bands, area and ground pixel."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rasterio.crs import CRS
from rasterio.errors import CRSError

from rrsis_geo.errors import ConfigError
from rrsis_geo.files import absolute_path
from rrsis_geo.geo.scene.aoi import aoi_area, bbox_area
from rrsis_geo.geo.scene.scene import MAX_COORDINATE, Scene, SceneInfo, open_scene

SAME_GSD = 0.02
"""Ground pixels that differ by less than this share count as equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOptions:
    """Which part of a scene is read, and how.

    Attributes:
        bbox: (left, bottom, right, top); only pixels inside it are read.
        bbox_crs: CRS of the bbox, such as "EPSG:4326"; None means the CRS of the scene.
        aoi: vector file; only pixels inside its polygons are read.
        aoi_layer: its layer; None if it has only one.
        bands: 1-based band numbers, three (red, green, blue) or one (shown as gray); None uses
            the colour interpretation of the file.
        nodata: value of pixels without data; None uses the value in the file.
        gsd_m: ground pixel to resample to, in metres; None resamples only if the ground pixel of
            the scene is outside the range of the model.
        resample: False never resamples.
        allow_no_crs: accept a scene without CRS; results are then in pixel coordinates.
    """

    bbox: tuple[float, float, float, float] | None = None
    bbox_crs: str | None = None
    aoi: Path | None = None
    aoi_layer: str | None = None
    bands: tuple[int, ...] | None = None
    nodata: float | None = None
    gsd_m: float | None = None
    resample: bool = True
    allow_no_crs: bool = False

    def __post_init__(self) -> None:
        if self.gsd_m is not None and not 0 < self.gsd_m < math.inf:
            raise ConfigError(f"gsd must be above 0 metres, got {self.gsd_m:g}")
        if self.gsd_m is not None and not self.resample:
            raise ConfigError("gsd and no-resample contradict each other; give one of them")
        if self.bbox is not None and self.aoi is not None:
            raise ConfigError("bbox and aoi both select an area; give one of them")
        if self.aoi_layer is not None and self.aoi is None:
            raise ConfigError("aoi_layer chooses a layer of aoi; give aoi too")
        if self.bbox is not None and not all(abs(edge) < MAX_COORDINATE for edge in self.bbox):
            raise ConfigError(
                f"bbox must be four finite numbers below {MAX_COORDINATE:g}, got {self.bbox}"
            )

    def input_files(self) -> list[Path]:
        """Files that are read besides the scene."""
        return [] if self.aoi is None else [self.aoi]

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON. The area of interest is [path, size in bytes, mtime]."""
        fields = asdict(self)
        if self.aoi_layer is None:
            del fields["aoi_layer"]  # as in the records of earlier releases
        if self.aoi is not None:
            stat = self.aoi.stat() if self.aoi.exists() else None
            fields["aoi"] = [absolute_path(self.aoi), stat and stat.st_size, stat and stat.st_mtime]
        return fields

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> "SceneOptions":
        """The inverse of `to_dict`, also after a round trip through JSON."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        if fields.get("aoi") is not None:
            fields["aoi"] = Path(fields["aoi"][0])
        return SceneOptions(**fields)


class OpenScene(NamedTuple):
    """An open scene, and the part of it that is read."""

    whole: Scene
    part: Scene


@contextmanager
def open_part(path: str | Path, options: SceneOptions) -> Iterator[OpenScene]:
    """Open a scene and crop it to the chosen area.

    Raises:
        ConfigError: the options do not fit the scene.
        InputError: the scene cannot be used.
        OutsideError: the area does not overlap the scene.
    """
    with open_whole(path, options) as whole:
        yield OpenScene(whole, crop_scene(whole, options))


def open_whole(path: str | Path, options: SceneOptions) -> Scene:
    """Open a scene with the chosen bands and nodata value, without cropping it.

    Raises:
        ConfigError: the options do not fit the scene.
        InputError: the scene cannot be used.
    """
    return open_scene(
        path, bands=options.bands, nodata=options.nodata, allow_no_crs=options.allow_no_crs
    )


def crop_scene(scene: Scene, options: SceneOptions) -> Scene:
    """The part of a scene inside the bbox or the area of interest; the scene itself without one.

    Raises:
        ConfigError: the CRS of the bbox is unknown, or the layer of the area of interest is.
        InputError: the area of interest cannot be read.
        OutsideError: the area does not overlap the scene.
    """
    if options.aoi is not None:
        return scene.crop(aoi_area(scene.info, options.aoi, options.aoi_layer))
    if options.bbox is None:
        return scene
    crs = None
    if options.bbox_crs is not None:
        try:
            crs = CRS.from_user_input(options.bbox_crs)
        except (CRSError, ValueError) as err:
            raise ConfigError(
                f'"{options.bbox_crs}" is not a CRS; use a form such as EPSG:4326'
            ) from err
    return scene.crop(bbox_area(scene.info, options.bbox, crs))


def working_gsd_m(
    scene: SceneInfo, options: SceneOptions, gsd_range_m: tuple[float, float] | None
) -> float | None:
    """Ground pixel to resample a scene to, in metres; None keeps the pixels of the scene.

    Without a chosen ground pixel, a scene is resampled to the nearest value in the range of the
    model, and pixels that are not square become square.

    Args:
        scene: the part of the scene that is read.
        options: as chosen.
        gsd_range_m: finest and coarsest ground pixel that the model was made for, None if unknown.

    Raises:
        ConfigError: a ground pixel was chosen, and that of the scene is unknown.
    """
    if scene.gsd_m is None or scene.gsd_row_m is None or scene.gsd_col_m is None:
        if options.gsd_m is not None:
            raise ConfigError(
                f"--gsd cannot be used: the ground pixel of {scene.path} is unknown because it has "
                "no CRS"
            )
        return None
    target_m = options.gsd_m
    if target_m is None and gsd_range_m is not None:
        finest_m, coarsest_m = gsd_range_m
        target_m = min(max(scene.gsd_m, finest_m), coarsest_m)
    if target_m is None or not options.resample:
        return None
    sides_m = scene.gsd_row_m, scene.gsd_col_m
    is_same = all(abs(side_m / target_m - 1) < SAME_GSD for side_m in sides_m)
    return None if is_same else target_m
