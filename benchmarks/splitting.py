"""Count how many touching objects of painted scenes are split rightly, and how many wrongly.

The exact masks of all objects of one category are grown by some pixels and joined, as a network
joins what stands close together. An object that touches others is found if one polygon has an IoU
over 0.5 with it, with and without splitting. An object that touches none should stay whole.

    python benchmarks/splitting.py
    python benchmarks/splitting.py --scenes 4 --grow 2
"""

import argparse
from collections import Counter, defaultdict

import numpy as np
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import binary_dilation

from rrsis_geo.data.painter.scene import paint_scene
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.geo.objects.objects import Objects
from rrsis_geo.geo.objects.split import split_objects
from rrsis_geo.geo.objects.vectorize import vectorize

GSD_M = (0.15, 0.3, 0.3, 0.5)
SIZE_PX = 1024
LEAST_IOU = 0.5
LEAST_PX = 24
COUNTS = ("alone", "alone but split", "touching", "found whole", "found split")

Labels = NDArray[np.int32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--grow", type=int, default=1, help="pixels by which masks are grown")
    args = parser.parse_args()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(args.scenes):
        gsd_m = GSD_M[seed % len(GSD_M)]
        scene = paint_scene(np.random.default_rng(seed), SIZE_PX, SIZE_PX, gsd_m)
        for category in sorted({instance.category for instance in scene.instances}):
            counts[category] += count_objects(scene, category, args.grow)
    print_header("category", *COUNTS)
    for category, row in sorted(counts.items(), key=lambda each: -each[1]["touching"]):
        if sum(row.values()):
            print_row(category, *(row[name] for name in COUNTS))
    total = sum(counts.values(), Counter())
    print_row("all", *(total[name] for name in COUNTS))


def count_objects(scene: LabelledImage, category: str, grow: int) -> Counter[str]:
    """The COUNTS of one category."""
    owner = np.zeros((SIZE_PX, SIZE_PX), np.int32)
    for number, instance in enumerate(scene.instances, 1):
        if instance.category == category and instance.mask.sum() >= LEAST_PX:
            row, col, height, width = instance.bbox
            owner[row : row + height, col : col + width][instance.mask] = number
    mask = owner > 0
    grown = binary_dilation(mask, iterations=grow) if grow else mask
    whole = vectorize(grown, grown.astype(np.float32))
    (parts,) = split_objects([whole])
    whole_of, part_of = burn(whole)[mask], burn(parts)[mask]
    owners = owner[mask]

    objects, first = np.unique(owners, return_index=True)
    n_objects = np.bincount(whole_of[first], minlength=len(whole) + 1)
    touches = n_objects[whole_of[first]] > 1
    was_split = np.zeros(len(whole) + 1, bool)
    was_split[whole_of[parts.split_from[part_of - 1] > 0]] = True
    return Counter(
        {
            "alone": int((~touches).sum()),
            "alone but split": int(was_split[whole_of[first]][~touches].sum()),
            "touching": int(touches.sum()),
            "found whole": int(is_found(owners, whole_of)[objects][touches].sum()),
            "found split": int(is_found(owners, part_of)[objects][touches].sum()),
        }
    )


def burn(objects: Objects) -> Labels:
    """The number of the object of each pixel, from 1; 0 for none."""
    if not len(objects):
        return np.zeros((SIZE_PX, SIZE_PX), np.int32)
    shapes = zip(objects.polygons(), range(1, len(objects) + 1), strict=True)
    labels: Labels = rasterize(shapes, (SIZE_PX, SIZE_PX), dtype="int32")
    return labels


def is_found(owners: Labels, numbers: Labels) -> NDArray[np.bool_]:
    """Whether one polygon overlaps an object by LEAST_IOU, by number of the object."""
    height, width = int(owners.max(initial=0)) + 1, int(numbers.max(initial=0)) + 1
    table = np.bincount(owners.astype(np.int64) * width + numbers, minlength=height * width)
    table = table.reshape(height, width)
    union = table.sum(1)[:, None] + table.sum(0) - table
    found: NDArray[np.bool_] = (table >= LEAST_IOU * np.maximum(union, 1)).any(1)
    return found


if __name__ == "__main__":
    main()
