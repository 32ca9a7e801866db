"""Score the whole `segment` pipeline on mosaics of held-back images.

    python benchmarks/mosaics.py --instances ../shared/data/instances_val.json

Each file has a table. For each category, `segment` looks for every object of it in one scene of
twelve 512-px pieces. Half of the pieces do not contain the category, fewer where the labels do not
guarantee that. Fixed seeds determine the pieces, and windows do not coincide with pieces. "IoU" is
over all pixels of the scene. "Empty" is the share of pieces without the target in which no pixel is
marked. "False area" is the number of pixels per million that are marked in those pieces.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from markdown_table import format_score, print_header, print_row
from rasterio.transform import from_origin

from rrsis_geo.data.expressions.writer import fully_labelled_categories
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.crops import crop_labelled, plan_crop
from rrsis_geo.data.sample import LabelledImage
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import segment_scene
from rrsis_geo.text.vocabulary import kinds_of, noun_of

SEED = 20_000_003
PIECE_PX = 512
ROWS, COLUMNS = 3, 4
GSD_M = 0.3
"""Ground pixel written to the scenes; the pieces have various ones."""


class Score(NamedTuple):
    """Scores of one scene; the last two are None if every piece contains the target."""

    iou: float
    empty: float | None
    false_area_ppm: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=Path, nargs="+", required=True, help="COCO files")
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--json", type=Path, help="also write the scores to this file")
    args = parser.parse_args()
    results = {path.resolve().parent.name: score_file(path, args.model) for path in args.instances}
    if args.json:
        scores = {
            name: {category: score._asdict() for category, score in rows.items()}
            for name, rows in results.items()
        }
        args.json.write_text(json.dumps(scores, indent=2) + "\n")


def score_file(path: Path, model: str) -> dict[str, Score]:
    """The scores of the categories of a COCO file, printed as they come."""
    source, results = InstanceSource(path), {}
    print()
    name = path.resolve().parent.name
    print_header(f"{name}: every object of a category in one scene", "IoU", "empty", "false area")
    for category in sorted(set().union(*source.counts)):
        pieces = choose_pieces(source, category)
        if pieces:
            results[category] = score_scene(pieces, category, model)
            print_score(category, results[category])
    if not results:
        return results
    columns = zip(*results.values(), strict=True)
    means = (np.mean([value for value in column if value is not None]) for column in columns)
    print_score("mean", Score(*means))
    return results


def print_score(name: str, score: Score) -> None:
    empty, false_area = format_score(score.empty, 2), format_score(score.false_area_ppm, 0)
    print_row(name, format_score(score.iou), empty, false_area)


def choose_pieces(source: InstanceSource, category: str) -> list[LabelledImage]:
    """Twelve pieces whose objects of a category are all labelled; [] if too few contain one."""
    rng = np.random.default_rng([SEED, *category.encode()])
    n, present, absent = ROWS * COLUMNS, list[LabelledImage](), list[LabelledImage]()
    for index in rng.permutation(np.repeat(np.arange(len(source)), 3)):
        labelled = source.read(int(index))
        box = plan_crop(labelled, rng, PIECE_PX, scale_range=(0.7, 1.5))
        piece = crop_labelled(labelled, rng, PIECE_PX, box, turn=False, jitter=False)
        if category in fully_labelled_categories(piece):
            (present if category_mask(piece, category).any() else absent).append(piece)
    absent = absent[: n // 2]
    pieces = [*absent, *present[: n - len(absent)]]
    if len(pieces) < n:
        return []
    return [pieces[index] for index in rng.permutation(n)]


def score_scene(pieces: list[LabelledImage], category: str, model: str) -> Score:
    """Write the pieces as one scene, segment it, and compare the mask with the labels."""
    image = join_pieces([piece.image for piece in pieces])
    truth = join_pieces([category_mask(piece, category) for piece in pieces])
    noun = noun_of(category)
    expression = f"all the {(noun.plural or noun.singular)[0]}"
    with tempfile.TemporaryDirectory() as folder:
        scene, mask = Path(folder, "scene.tif"), Path(folder, "mask.tif")
        write_scene(scene, image)
        outputs = Outputs(vector=Path(folder, "found.gpkg"), mask=mask)
        segment_scene(str(scene), expression, outputs, SegmentOptions(model=model))
        with rasterio.open(mask) as file:
            predicted = file.read(1) == 1
    false_px = [
        piece.sum()
        for piece, target in zip(split_pieces(predicted), split_pieces(truth), strict=True)
        if not target.any()
    ]
    return Score(
        iou=float((predicted & truth).sum() / (predicted | truth).sum()),
        empty=float(np.mean(np.equal(false_px, 0))) if false_px else None,
        false_area_ppm=float(1e6 * np.mean(false_px) / PIECE_PX**2) if false_px else None,
    )


def write_scene(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB [H, W, 3] as a GeoTIFF."""
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


def category_mask(piece: LabelledImage, category: str) -> np.ndarray:
    """Pixels of a category, bool [H, W]."""
    mask = np.zeros(piece.image.shape[:2], bool)
    for item in piece.instances:
        if item.category in kinds_of(category):
            row, col, height, width = item.bbox
            mask[row : row + height, col : col + width] |= item.mask
    return mask


def join_pieces(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrange squares in rows."""
    rows = [arrays[start : start + COLUMNS] for start in range(0, len(arrays), COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def split_pieces(scene: np.ndarray) -> list[np.ndarray]:
    """The inverse of :func:`join_pieces`."""
    return [square for row in np.split(scene, ROWS) for square in np.split(row, COLUMNS, axis=1)]


if __name__ == "__main__":
    main()
