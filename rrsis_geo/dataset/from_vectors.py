"""Conversion of a scene and vector labels to a dataset of referring samples."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.affinity import affine_transform

from rrsis_geo.data.dataset_writer import DatasetWriter, SplitCounts, write_samples
from rrsis_geo.data.instances.crops import MIN_PIXELS
from rrsis_geo.dataset.chip_labeller import ChipLabeller, LabelOptions
from rrsis_geo.dataset.clean_labels import LeftOut, find_strange_words, keep_usable, quote
from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.geo.chips.chips import Chip, read_chip_rows
from rrsis_geo.geo.chips.labels import Labels, read_labels
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.scene.options import open_part, working_gsd_m
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import Scene, SceneInfo
from rrsis_geo.model.bundle import load_settings
from rrsis_geo.progress import Progress, no_progress
from rrsis_geo.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

CHIPS_FILE: Final = "chips.gpkg"
MIN_VALID: Final = 0.25
"""Least fraction of valid pixels in a chip."""
FEW_SAMPLES: Final = 50
"""Number of samples below which scores are mostly noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """Result of the conversion.

    Attributes:
        root: folder of the dataset.
        splits: split -> counts of its samples.
        shown: split -> number of labels in its images. A label can be in several images.
        gsd_m: ground sample distance of the chips.
        chip_px: side of the chips, pixels.
        labels: number of features that were read, and of those that are outside of the scene,
            empty, marked as wrong, without a category ("unnamed"), with one that is no English name
            ("nameless"), repeated, repaired, or too small.
        categories: category -> number of labels in the scene.
        warnings: warnings for the user.
    """

    root: Path
    splits: dict[str, SplitCounts]
    shown: dict[str, int]
    gsd_m: float | None
    chip_px: int
    labels: dict[str, int]
    categories: dict[str, int]
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        splits = {name: counts.to_dict() for name, counts in self.splits.items()}
        return {**fields, "root": str(self.root), "splits": splits, "warnings": [*self.warnings]}


def from_vectors(
    scene: str | Path,
    labels: str | Path,
    root: Path,
    options: LabelOptions,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> LabelReport:
    """Make a dataset of triplets from a scene and the labels of a vector file.

    Chips have the same pixels as the windows of ``segment``. Splits do not overlap on the ground,
    see :mod:`rrsis_geo.geo.chips.chips`. The outlines of the chips are written to ``chips.gpkg``.

    Args:
        scene: path or address of a raster that GDAL opens.
        labels: path or address of a vector file that GDAL opens, in any CRS.
        root: folder of the new dataset.
        options: how labels become samples.
        overwrite: replace a dataset that rrsis-geo wrote.
        progress: called with progress.

    Raises:
        ConfigError: the options are wrong, or do not fit these files.
        InputError: the scene or the labels cannot be used.
        ModelError: the model is missing.
        OutputError: the dataset cannot be written. Nothing is left in this case.
    """
    tokenizer, image = load_settings(options.model)
    with (
        DatasetWriter(root, overwrite=overwrite) as writer,
        open_part(scene, options.scene) as (whole, part),
    ):
        grid = model_grid(part.info, working_gsd_m(part.info, options.scene, image.gsd_range_m))
        label_set, left_out = keep_usable(
            read_labels(part.info, grid, labels, options.columns()), labels
        )
        n_small = int((shapely.area(label_set.shapes) < MIN_PIXELS).sum())
        warnings = [
            *_label_warnings(labels, label_set, left_out, tokenizer),
            *_size_warnings(labels, label_set, n_small, grid),
        ]
        _log(warnings)
        labeller = ChipLabeller(grid, label_set, options)
        chips = labeller.plan()
        sample_counts = _write_chips(part, whole, labeller, chips, writer, progress or no_progress)
        if not sample_counts:
            raise InputError(
                f"{labels}: no label covers {MIN_PIXELS} valid pixels of {scene} at "
                f"{grid.gsd_m:.3g} m per pixel; use a finer --gsd"
            )
        _write_map(sample_counts, part.info, grid, writer.folder / CHIPS_FILE)
        writer.describe(
            {
                "made_by": "from-vectors",
                "scene": str(scene),
                "labels": str(labels),
                "gsd_m": grid.gsd_m,
                "options": options.to_dict(),
            }
        )
    split_warnings = [*_split_warnings(options, writer.counts)]
    _log(split_warnings)
    return LabelReport(
        root=root,
        splits=writer.counts,
        shown=_count_shown(writer.counts, sample_counts, chips),
        gsd_m=grid.gsd_m,
        chip_px=options.chip_px,
        labels=_count_labels(label_set, left_out, n_small),
        categories=labeller.counts(),
        warnings=(*warnings, *split_warnings),
    )


def _log(warnings: Iterable[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)


def _count_labels(label_set: Labels, left_out: LeftOut, n_small: int) -> dict[str, int]:
    return {
        "read": label_set.n_read,
        "outside": label_set.n_outside,
        "empty": label_set.n_empty,
        "unnamed": label_set.n_uncategorized,
        "wrong": label_set.n_wrong,
        "nameless": left_out.nameless.total(),
        "repeated": left_out.repeated,
        "repaired": label_set.n_repaired,
        "small": n_small,
    }


def _write_chips(
    part: Scene,
    whole: Scene,
    labeller: ChipLabeller,
    chips: Mapping[Chip, list[int]],
    writer: DatasetWriter,
    progress: Progress,
) -> dict[Chip, int]:
    """Read the chips and write samples about them. Returns the number of samples of each chip."""
    options, scene_name = labeller.options, Path(part.info.path).stem
    rows: dict[int, list[Chip]] = {}
    for chip in chips:
        rows.setdefault(chip.row, []).append(chip)
    stretch = measure_stretch(whole)
    sample_counts: dict[Chip, int] = {}
    n_done = 0
    for row in read_chip_rows(part, stretch, labeller.grid, options.chip_px, rows.keys()):
        for chip in rows[row.row]:
            n_done += 1
            if row.valid_in(chip).mean() < MIN_VALID:
                continue
            name = f"{scene_name}_r{chip.row:06}_c{chip.col:06}"
            labelled_image = labeller.label_chip(chip, chips[chip], row, name)
            rng = np.random.default_rng([options.seed, chip.row, chip.col])
            samples = write_samples(labelled_image, rng, options.per_chip if chips[chip] else 1)
            for sample in samples:
                writer.add(chip.split, sample, image_name=f"{name}.png", source=scene_name)
            if samples:
                sample_counts[chip] = len(samples)
        progress("chips", n_done, len(chips))
    return sample_counts


def _count_shown(
    splits: Iterable[str], written: Iterable[Chip], chips: Mapping[Chip, list[int]]
) -> dict[str, int]:
    """Number of labels in the written chips of each split."""
    label_numbers: dict[str, set[int]] = {split: set() for split in splits}
    for chip in written:
        label_numbers[chip.split].update(chips[chip])
    return {split: len(numbers) for split, numbers in label_numbers.items()}


def _write_map(
    sample_counts: Mapping[Chip, int], info: SceneInfo, grid: ModelGrid, path: Path
) -> None:
    """Write the outlines of the chips with their split, their image and their number of samples."""
    transform = info.transform @ Affine.scale(1 / grid.scale_col, 1 / grid.scale_row)
    a, b, c, d, e, f = transform[:6]
    squares = [
        affine_transform(
            shapely.box(chip.col, chip.row, chip.col + chip.size_px, chip.row + chip.size_px),
            (a, b, d, e, c, f),
        )
        for chip in sample_counts
    ]
    scene_name = Path(info.path).stem
    names = [f"images/{x.split}/{scene_name}_r{x.row:06}_c{x.col:06}.png" for x in sample_counts]
    table = gpd.GeoDataFrame(
        {
            "split": [chip.split for chip in sample_counts],
            "image": names,
            "samples": list(sample_counts.values()),
        },
        geometry=squares,
        crs=None if info.crs is None else info.crs.to_wkt(),
    )
    try:
        table.to_file(path, layer="chips", driver="GPKG", engine="pyogrio")
    except (DataSourceError, DataLayerError) as err:
        raise OutputError(f"{path}: cannot be written ({err})") from err


def _label_warnings(
    path: str | Path, labels: Labels, left_out: LeftOut, tokenizer: Tokenizer
) -> Iterator[str]:
    """Warnings about labels that were left out or repaired, and about their names."""
    of_all = f"of {labels.n_read} labels"
    if labels.n_outside:
        yield f"{path}: {labels.n_outside} {of_all} lie outside the scene"
    if labels.n_empty:
        yield f"{path}: {labels.n_empty} {of_all} have no area (points and lines need a --size)"
    if labels.n_uncategorized:
        yield f"{path}: {labels.n_uncategorized} {of_all} have no category"
    if labels.n_wrong:
        yield f"{path}: {labels.n_wrong} {of_all} have the status wrong and were left out"
    if left_out.nameless:
        yield (
            f"{path}: {left_out.nameless.total()} {of_all} were left out, because their category "
            f"is no English name: {quote(left_out.nameless)}"
        )
    if left_out.repeated:
        yield f"{path}: {left_out.repeated} {of_all} lie there twice and were left out"
    if words := find_strange_words({*labels.categories}, tokenizer):
        yield (
            f"{path}: {quote(words)} may not be English; expressions are in English and use the "
            "labels' words as they are, so translate them if they are not"
        )
    if labels.n_repaired:
        yield f"{path}: {labels.n_repaired} {of_all} had invalid outlines and were repaired"


def _size_warnings(
    path: str | Path, labels: Labels, n_small: int, grid: ModelGrid
) -> Iterator[str]:
    if n_small:
        yield (
            f"{path}: {n_small} of {labels.n_read} labels cover less than {MIN_PIXELS} pixels of "
            f"{grid.gsd_m:.3g} m and are too small for expressions; use a finer --gsd to include "
            "them"
        )


def _split_warnings(options: LabelOptions, splits: Mapping[str, SplitCounts]) -> Iterator[str]:
    if not options.complete:
        yield (
            "no expression is about absent objects; use --complete if every object of these "
            "categories in the scene is labelled"
        )
    for split, share in (("val", options.val_share), ("test", options.test_share)):
        if share and split not in splits:
            yield f"the {split} split is empty: no expression about its ground is possible"
        elif split in splits and splits[split].samples < FEW_SAMPLES:
            yield (
                f"the {split} split has only {splits[split].samples} samples, too few for reliable "
                f"scores; use more labels or a larger --per-chip or --{split}-share"
            )
