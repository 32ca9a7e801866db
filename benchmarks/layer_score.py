"""The objects that a run found, beside polygons that are known to be right.

    python benchmarks/layer_score.py out/demo.gpkg sample_data/truth.gpkg
    python benchmarks/layer_score.py found.gpkg sample_data/truth.gpkg --layer objects \\
        --where type=semi-trailer --chips data/trucks/chips.gpkg --split val

An object of the truth is found where more than half of its area is marked; a polygon is right where
more than half of its area lies on the truth. With ``--chips`` only the ground of a split counts:
areas are cut there, and objects belong to it that lie in it by more than half. `make demo` ends
with this script.
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
    parser.add_argument("result", type=Path, help="layer that `segment` wrote")
    parser.add_argument("truth", type=Path, help="polygons, in any CRS")
    parser.add_argument("--layer", help="of the truth; the first one unless given")
    parser.add_argument("--where", metavar="COLUMN=VALUE", help="only these of the truth")
    parser.add_argument("--chips", type=Path, help="chips.gpkg of `dataset from-vectors`")
    parser.add_argument("--split", default="val", help="whose chips count")
    args = parser.parse_args()
    found = read_layer(args.result)
    truth = read_layer(args.truth, args.layer).to_crs(found.crs)
    if args.where:
        column, value = args.where.split("=", 1)
        truth = truth[truth[column] == value]
    if args.chips:
        chips = read_layer(args.chips).to_crs(found.crs)
        ground = chips[chips["split"] == args.split].union_all()
        found, truth = mostly_on(found, ground), mostly_on(truth, ground)
        marked, right = (layer.union_all().intersection(ground) for layer in (found, truth))
    else:
        marked, right = found.union_all(), truth.union_all()
    union = marked.union(right).area
    iou = marked.intersection(right).area / union if union else 1.0
    print(f"polygons  {args.result.resolve()}")
    print(f"objects   {len(found)} of {found.area_m2.sum():.1f} m2 together")
    print(f"          {len(mostly_on(found, right))} of them on the truth")
    print(f"truth     {len(truth)} objects, {len(mostly_on(truth, marked))} of them found")
    print(f"          intersection over union {iou:.3f}")


def read_layer(path: Path, layer: str | None = None) -> gpd.GeoDataFrame:
    """A layer of a file; the first is that which QGIS opens, others may hold styles."""
    return gpd.read_file(path, layer=layer or pyogrio.list_layers(path)[0][0])


def mostly_on(layer: gpd.GeoDataFrame, ground: Geometry) -> gpd.GeoDataFrame:
    """What lies on some ground by more than half of its area."""
    return layer[layer.intersection(ground).area > 0.5 * layer.area]


if __name__ == "__main__":
    main()
