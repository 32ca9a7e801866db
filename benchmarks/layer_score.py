"""Score the polygons of a run against true polygons.

    python benchmarks/layer_score.py out/demo.gpkg sample_data/truth.gpkg
    python benchmarks/layer_score.py found.gpkg sample_data/truth.gpkg --layer objects \\
        --where type=semi-trailer --chips data/trucks/chips.gpkg --split val

A true object counts as found if the result covers more than half of its area. A polygon counts as
correct if more than half of its area lies on the truth. With ``--chips`` only the chips of one
split are scored: areas are clipped to them, and an object counts if more than half of it lies in
them. `make demo` ends with this script.
"""

import argparse
from pathlib import Path

import geopandas as gpd
import pyogrio
from shapely import Geometry


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path, help="file written by `segment`")
    parser.add_argument("truth", type=Path, help="true polygons, in any CRS")
    parser.add_argument("--layer", help="layer of the truth (default: the first)")
    parser.add_argument("--where", metavar="COLUMN=VALUE", help="score only these true objects")
    parser.add_argument("--chips", type=Path, help="chips.gpkg of `dataset from-vectors`")
    parser.add_argument("--split", default="val", help="split to score")
    args = parser.parse_args()
    result = read_layer(args.result)
    truth = read_layer(args.truth, args.layer).to_crs(result.crs)
    if args.where:
        column, value = args.where.split("=", 1)
        truth = truth[truth[column] == value]
    if args.chips:
        chips = read_layer(args.chips).to_crs(result.crs)
        ground = chips[chips["split"] == args.split].union_all()
        result, truth = select_mostly_on(result, ground), select_mostly_on(truth, ground)
        result_area, true_area = (
            layer.union_all().intersection(ground) for layer in (result, truth)
        )
    else:
        result_area, true_area = result.union_all(), truth.union_all()
    union_m2 = result_area.union(true_area).area
    iou = result_area.intersection(true_area).area / union_m2 if union_m2 else 1.0
    print(f"polygons  {args.result.resolve()}")
    print(f"objects   {len(result)}, {result.area_m2.sum():.1f} m2 in total")
    print(f"          {len(select_mostly_on(result, true_area))} of them on the truth")
    print(f"truth     {len(truth)} objects, {len(select_mostly_on(truth, result_area))} found")
    print(f"          intersection over union {iou:.3f}")


def read_layer(path: Path, layer: str | None = None) -> gpd.GeoDataFrame:
    """Read a layer, by default the first: QGIS opens it too, and others may hold styles."""
    return gpd.read_file(path, layer=layer or pyogrio.list_layers(path)[0][0])


def select_mostly_on(layer: gpd.GeoDataFrame, ground: Geometry) -> gpd.GeoDataFrame:
    """Objects with more than half of their area on some ground."""
    return layer[layer.intersection(ground).area > 0.5 * layer.area]


if __name__ == "__main__":
    main()
