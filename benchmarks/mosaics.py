"""Scores of mosaics of held-back images through `segment`, windows and blending included.

    python benchmarks/mosaics.py --instances ../shared/data/instances_val.json

For each category one scene of twelve 512-px pieces is searched for all of it; half of them are
surely without it, or fewer where labels do not tell. Pieces come from fixed seeds; windows do not
fall together with pieces. "IoU" is over the pixels of the scene, "empty" the share of the pieces
without the target that got not a pixel, "false area" the pixels per million wrongly target in them.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.transform import from_origin

from rrsis_geo.data.expressions.writer import fully_labelled_categories
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.crops import crop_labelled
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene
from rrsis_geo.text.vocabulary import kinds_of, noun_of

SEED = 20_000_003
PIECE_PX = 512
ROWS, COLUMNS = 3, 4
GSD_M = 0.3
"""What the scenes say of their ground pixel; the pieces have many."""


class Score(NamedTuple):
    """What came of one scene; the last two are None where no piece is without the target."""

    iou: float
    empty: float | None
    false_area_ppm: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--json", type=Path, help="also write the scores here")
    args = parser.parse_args()
    source = InstanceSource(args.instances)
    results = {}
    print("| all of a category in one scene | IoU | empty | false area |\n|---|---|---|---|")
    for category in sorted(set().union(*source.counts)):
        pieces = choose_pieces(source, category)
        if pieces:
            results[category] = score_scene(pieces, category, args.model)
            show(category, results[category])
    columns = zip(*results.values(), strict=True)
    show("mean", Score(*(np.mean([v for v in column if v is not None]) for column in columns)))
    if args.json:
        scores = {name: score._asdict() for name, score in results.items()}
        args.json.write_text(json.dumps(scores, indent=2) + "\n")


def show(name: str, score: Score) -> None:
    """Print a line in Markdown."""
    empty = "" if score.empty is None else f"{score.empty:.2f}"
    area = "" if score.false_area_ppm is None else f"{score.false_area_ppm:.0f}"
    print(f"| {name} | {score.iou:.3f} | {empty} | {area} |", flush=True)


def choose_pieces(source: InstanceSource, category: str) -> list[LabelledImage]:
    """Twelve pieces in which all of a category is labelled; [] where too few hold any of it."""
    rng = np.random.default_rng([SEED, *category.encode()])
    n, present, absent = ROWS * COLUMNS, list[LabelledImage](), list[LabelledImage]()
    for index in rng.permutation(np.repeat(np.arange(len(source)), 3)):
        labelled = source.read(int(index))
        piece = crop_labelled(
            labelled, rng, PIECE_PX, scale_range=(0.7, 1.5), turn=False, jitter=False
        )
        if category in fully_labelled_categories(piece):
            (present if mask_of(piece, category).any() else absent).append(piece)
    absent = absent[: n // 2]
    pieces = [*absent, *present[: n - len(absent)]]
    if len(pieces) < n:
        return []
    return [pieces[index] for index in rng.permutation(n)]


def score_scene(pieces: list[LabelledImage], category: str, model: str) -> Score:
    """Lay the pieces out, write them as a scene, search it, and compare."""
    image = lay_out([piece.image for piece in pieces])
    truth = lay_out([mask_of(piece, category) for piece in pieces])
    noun = noun_of(category)
    expression = f"all the {(noun.plural or noun.singular)[0]}"
    with tempfile.TemporaryDirectory() as folder:
        scene, mask = Path(folder, "scene.tif"), Path(folder, "mask.tif")
        write_scene(scene, image)
        outputs = Outputs(vector=Path(folder, "found.gpkg"), mask=mask)
        segment_scene(str(scene), expression, outputs, SegmentOptions(model=model))
        with rasterio.open(mask) as file:
            found = file.read(1) == 1
    wrong = [
        answer.sum()
        for answer, true in zip(take_apart(found), take_apart(truth), strict=True)
        if not true.any()
    ]
    return Score(
        iou=float((found & truth).sum() / (found | truth).sum()),
        empty=float(np.mean(np.equal(wrong, 0))) if wrong else None,
        false_area_ppm=float(1e6 * np.mean(wrong) / PIECE_PX**2) if wrong else None,
    )


def write_scene(path: Path, image: np.ndarray) -> None:
    """A GeoTIFF of uint8 RGB [H, W, 3]."""
    height, width = image.shape[:2]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=3,
        dtype="uint8",
        crs="EPSG:32633",
        transform=from_origin(500_000, 5_500_000, GSD_M, GSD_M),
        photometric="RGB",
        tiled=True,
    ) as file:
        file.write(image.transpose(2, 0, 1))


def mask_of(piece: LabelledImage, category: str) -> np.ndarray:
    """Where a category is, bool [H, W]."""
    mask = np.zeros(piece.image.shape[:2], bool)
    for item in piece.instances:
        if item.category in kinds_of(category):
            row, col, height, width = item.bbox
            mask[row : row + height, col : col + width] |= item.mask
    return mask


def lay_out(arrays: list[np.ndarray]) -> np.ndarray:
    """Squares side by side, row by row."""
    rows = [arrays[start : start + COLUMNS] for start in range(0, len(arrays), COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def take_apart(scene: np.ndarray) -> list[np.ndarray]:
    """The squares again, in the order in which :func:`lay_out` got them."""
    return [square for row in np.split(scene, ROWS) for square in np.split(row, COLUMNS, axis=1)]


if __name__ == "__main__":
    main()
