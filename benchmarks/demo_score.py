"""What a run on the sample scene found, beside the truth: `make demo` ends with it.

python benchmarks/demo_score.py out/demo.gpkg sample_data/truth.gpkg out/demo.png
"""

import sys
from pathlib import Path

import geopandas as gpd


def main(result: Path, truth: Path, preview: Path) -> None:
    """Print the files, the number and area of objects, and the overlap with the truth."""
    found, expected = gpd.read_file(result), gpd.read_file(truth)
    found_union, expected_union = found.union_all(), expected.to_crs(found.crs).union_all()
    union = found_union.union(expected_union).area
    iou = found_union.intersection(expected_union).area / union if union else 1.0
    print(f"polygons  {result.resolve()}")
    print(f"preview   {preview.resolve()}")
    print(f"objects   {len(found)} of {found.area_m2.sum():.1f} m2 together")
    print(f"truth     {len(expected)} objects; intersection over union {iou:.3f}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
