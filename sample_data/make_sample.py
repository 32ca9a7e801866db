"""Make the sample scene and its truth: `python sample_data/make_sample.py` from the root folder.

The scene is painted from a random seed and placed in UTM zone 33 north. With the same versions of
NumPy, Pillow, rasterio (GDAL) and geopandas, both files are the same to the byte.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
from affine import Affine
from rasterio.features import shapes
from shapely import MultiPolygon, union_all
from shapely.geometry import shape

from rrsis_geo.data.painter.scene import Light, Theme, paint_scene
from rrsis_geo.data.sample import Instance, LabelledImage

SEED: Final = 24
SIZE_PX: Final = 2048
GSD_M: Final = 0.2
CRS: Final = "EPSG:32633"
TRANSFORM: Final = Affine(GSD_M, 0, 412_000, 0, -GSD_M, 5_312_000)
FOLDER: Final = Path(__file__).parent

TOWN: Final = Theme(
    grounds=("grass",),
    roads="grid",
    block_m=(95, 150),
    parcels=("grass", "lush", "dry", "soil"),
    parcel_m=(18, 45),
    river=1.0,
    houses=0.75,
    halls=0.7,
    lots=0.55,
    yards=0.55,
    tanks=0.06,
    sports=0.08,
    pools=0.5,
    trees=24,
    forest=1.0,
    gap_m=(20, 45),
)
LATE_MORNING: Final = Light(
    shadow_x=0.55,
    shadow_y=-0.45,
    shadow_depth=0.6,
    lean_x=0.02,
    lean_y=0.03,
    gain=(1.02, 1.0, 0.98),
    haze=0.02,
    saturation=0.95,
    blur_px=0.45,
    noise=1.5,
)


def write_scene(image: np.ndarray, path: Path) -> None:
    """Write uint8 RGB [H, W, 3] as a tiled GeoTIFF with JPEG compression and overviews."""
    height, width = image.shape[:2]
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 3,
        "dtype": "uint8",
        "crs": CRS,
        "transform": TRANSFORM,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "JPEG",
        "photometric": "YCBCR",
        "jpeg_quality": 90,
    }
    with rasterio.open(path, "w", **profile) as scene:
        scene.write(image.transpose(2, 0, 1))
    overviews = {"JPEG_QUALITY_OVERVIEW": 85, "PHOTOMETRIC_OVERVIEW": "YCBCR"}
    with rasterio.Env(**overviews), rasterio.open(path, "r+") as scene:
        scene.build_overviews([2, 4], rasterio.enums.Resampling.average)


def outline(instance: Instance) -> MultiPolygon:
    """The pixels of an instance as polygons in the CRS of the scene."""
    row, col = instance.bbox[:2]
    instance_transform = TRANSFORM * Affine.translation(col, row)
    pixels = instance.mask.astype(np.uint8)
    parts = [
        shape(each) for each, _ in shapes(pixels, mask=instance.mask, transform=instance_transform)
    ]
    union = union_all(parts)
    return union if isinstance(union, MultiPolygon) else MultiPolygon([union])


def object_rows(labelled: LabelledImage) -> Iterator[dict[str, object]]:
    """One row per instance: category, attributes and outline."""
    for number, instance in enumerate(labelled.instances, start=1):
        yield {
            "id": number,
            "category": instance.category,
            "colour": instance.attributes.get("colour"),
            "on": instance.attributes.get("on"),
            "type": instance.attributes.get("type"),
            "n_pixels": int(instance.mask.sum()),
            "geometry": outline(instance),
        }


def write_truth(labelled: LabelledImage, path: Path) -> None:
    """Write the target of the demo as layer "truck_on_the_road", and all instances as "objects"."""
    objects = gpd.GeoDataFrame(list(object_rows(labelled)), crs=CRS)
    trucks = objects[(objects["category"] == "truck") & (objects["on"] == "road")]
    path.unlink(missing_ok=True)
    # A GeoPackage stores its time of writing. A fixed time keeps the file reproducible.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    for name, layer in (("truck_on_the_road", trucks), ("objects", objects)):
        layer.to_file(path, layer=name, driver="GPKG", engine="pyogrio")


def main() -> None:
    """Paint the scene and write both files to the folder of this script."""
    rng = np.random.default_rng(SEED)
    painted = paint_scene(rng, SIZE_PX, SIZE_PX, GSD_M, theme=TOWN, light=LATE_MORNING)
    write_scene(painted.image, FOLDER / "scene.tif")
    write_truth(painted, FOLDER / "truth.gpkg")


if __name__ == "__main__":
    main()
