"""What a run on the sample scene found, beside the truth: `make demo` ends with it.

python benchmarks/demo_score.py out/demo.gpkg sample_data/truth.gpkg out/demo.png
"""

import sys
from pathlib import Path

import geopandas as gpd
import pyogrio


def main(result: Path, truth: Path, preview: Path) -> None:
    """Print the files, the number and area of objects, and the overlap with the truth."""
    found, expected = first_layer(result), first_layer(truth)
    found_union, expected_union = found.union_all(), expected.to_crs(found.crs).union_all()
    union = found_union.union(expected_union).area
    iou = found_union.intersection(expected_union).area / union if union else 1.0
    print(f"polygons  {result.resolve()}")
    print(f"preview   {preview.resolve()}")
    print(f"objects   {len(found)} of {found.area_m2.sum():.1f} m2 together")
    print(f"truth     {len(expected)} objects; intersection over union {iou:.3f}")


def first_layer(path: Path) -> gpd.GeoDataFrame:
    """The layer that QGIS opens; others hold styles or what lies beside."""
    return gpd.read_file(path, layer=pyogrio.list_layers(path)[0][0])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
