"""A scene and a user's labels in, a data set of referring samples out."""

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
from rrsis_geo.dataset.cutter import Cutter, LabelOptions
from rrsis_geo.errors import InputError, OutputError
from rrsis_geo.geo.chips.chips import Chip, read_chip_rows
from rrsis_geo.geo.chips.labels import Labels, read_labels
from rrsis_geo.geo.grid.model_grid import ModelGrid, model_grid
from rrsis_geo.geo.scene.options import open_part, working_gsd_m
from rrsis_geo.geo.scene.radiometry import measure_stretch
from rrsis_geo.geo.scene.scene import Scene, SceneInfo
from rrsis_geo.model.bundle import load_settings
from rrsis_geo.progress import Progress, no_progress

logger = logging.getLogger(__name__)

CHIPS_FILE: Final = "chips.gpkg"
MIN_VALID: Final = 0.25
"""A chip of which less than this shows data is left out."""
FEW_SAMPLES: Final = 50
"""Scores over fewer than this are mostly chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """What was made of a scene's labels.

    Attributes:
        root: the data set.
        splits: what each holds.
        shown: how many labels the images of each split show; one may be in several images.
        gsd_m: metres on the ground per pixel of the chips.
        chip_px: their side.
        labels: how many features were read, and how many were outside, empty, unnamed, repaired,
            or too small to be seen at that ground pixel.
        categories: labels of each category on the scene.
        warnings: what the user should know.
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
        """The fields, ready for JSON."""
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
    """Make a data set of triplets from a scene and the labels of a vector file.

    Chips have the pixels that ``segment`` would show the network. Splits are parted by place: see
    :mod:`rrsis_geo.geo.chips.chips`. Beside the triplets lies ``chips.gpkg``, the chips on the map.

    Args:
        scene: anything that GDAL opens.
        labels: anything that GDAL reads as vectors, in any CRS.
        root: folder of the data set, to be made.
        options: how.
        overwrite: replace a data set that we wrote.
        progress: told how far the work is.

    Raises:
        ConfigError: options that do not make sense, or not for these files.
        InputError: the scene or the labels cannot be used.
        ModelError: there is no such model.
        OutputError: the data set cannot be written; no trace of it is left then.
    """
    _, image = load_settings(options.model)
    with (
        DatasetWriter(root, overwrite=overwrite) as writer,
        open_part(scene, options.scene) as (whole, part),
    ):
        grid = model_grid(part.info, working_gsd_m(part.info, options.scene, image.gsd_range_m))
        found = read_labels(part.info, grid, labels, options.columns())
        cutter = Cutter(grid, found, options)
        chips = cutter.plan()
        written = _write_chips(part, whole, cutter, chips, writer, progress or no_progress)
        if not written:
            raise InputError(
                f"{labels}: nothing can be said of its labels on {scene}: at {grid.gsd_m:.3g} m a "
                f"pixel none covers {MIN_PIXELS} pixels that hold data; try a finer --gsd"
            )
        _write_map(written, part.info, grid, writer.folder / CHIPS_FILE)
        writer.describe(
            {
                "made_by": "from-vectors",
                "scene": str(scene),
                "labels": str(labels),
                "gsd_m": grid.gsd_m,
                "options": options.to_dict(),
            }
        )
    small = int((shapely.area(found.shapes) < MIN_PIXELS).sum())
    warnings = tuple(_warnings(labels, found, small, grid, options, writer.counts))
    for warning in warnings:
        logger.warning("%s", warning)
    return LabelReport(
        root=root,
        splits=writer.counts,
        shown=_count_shown(writer.counts, written, chips),
        gsd_m=grid.gsd_m,
        chip_px=options.chip_px,
        labels={
            "read": found.n_read,
            "outside": found.n_outside,
            "empty": found.n_empty,
            "unnamed": found.n_uncategorized,
            "repaired": found.n_repaired,
            "small": small,
        },
        categories=cutter.counts(),
        warnings=warnings,
    )


def _write_chips(
    part: Scene,
    whole: Scene,
    cutter: Cutter,
    chips: Mapping[Chip, list[int]],
    writer: DatasetWriter,
    progress: Progress,
) -> dict[Chip, int]:
    """Read the chips and write samples about them: how many about each that was worth it."""
    options, stem = cutter.options, Path(part.info.path).stem
    rows: dict[int, list[Chip]] = {}
    for chip in chips:
        rows.setdefault(chip.row, []).append(chip)
    stretch = measure_stretch(whole)
    written: dict[Chip, int] = {}
    done = 0
    for row in read_chip_rows(part, stretch, cutter.grid, options.chip_px, rows.keys()):
        for chip in rows[row.row]:
            done += 1
            if row.valid_in(chip).mean() < MIN_VALID:
                continue
            name = f"{stem}_r{chip.row:06}_c{chip.col:06}"
            labelled_image = cutter.label_chip(chip, chips[chip], row, name)
            rng = np.random.default_rng([options.seed, chip.row, chip.col])
            samples = write_samples(labelled_image, rng, options.per_chip if chips[chip] else 1)
            for sample in samples:
                writer.add(chip.split, sample, image_name=f"{name}.png", source=stem)
            if samples:
                written[chip] = len(samples)
        progress("chips", done, len(chips))
    return written


def _count_shown(
    splits: Iterable[str], written: Iterable[Chip], chips: Mapping[Chip, list[int]]
) -> dict[str, int]:
    """Labels that the written chips of each split show."""
    seen: dict[str, set[int]] = {split: set() for split in splits}
    for chip in written:
        seen[chip.split].update(chips[chip])
    return {split: len(numbers) for split, numbers in seen.items()}


def _write_map(written: Mapping[Chip, int], info: SceneInfo, grid: ModelGrid, path: Path) -> None:
    """The chips on the map: their split, their image and how many samples speak of it."""
    transform = info.transform @ Affine.scale(1 / grid.scale_col, 1 / grid.scale_row)
    a, b, c, d, e, f = transform[:6]
    squares = [
        affine_transform(
            shapely.box(chip.col, chip.row, chip.col + chip.size_px, chip.row + chip.size_px),
            (a, b, d, e, c, f),
        )
        for chip in written
    ]
    stem = Path(info.path).stem
    names = [f"images/{x.split}/{stem}_r{x.row:06}_c{x.col:06}.png" for x in written]
    table = gpd.GeoDataFrame(
        {
            "split": [chip.split for chip in written],
            "image": names,
            "samples": list(written.values()),
        },
        geometry=squares,
        crs=None if info.crs is None else info.crs.to_wkt(),
    )
    try:
        table.to_file(path, layer="chips", driver="GPKG", engine="pyogrio")
    except (DataSourceError, DataLayerError) as err:
        raise OutputError(f"{path}: cannot be written ({err})") from err


def _warnings(
    path: str | Path,
    labels: Labels,
    small: int,
    grid: ModelGrid,
    options: LabelOptions,
    splits: Mapping[str, SplitCounts],
) -> Iterator[str]:
    """What the user should know."""
    of = f"of {labels.n_read} labels"
    if labels.n_outside:
        yield f"{path}: {labels.n_outside} {of} lie outside the scene"
    if labels.n_empty:
        yield f"{path}: {labels.n_empty} {of} have no area (points and lines need a --size)"
    if labels.n_uncategorized:
        yield f"{path}: {labels.n_uncategorized} {of} have no category"
    if labels.n_repaired:
        yield f"{path}: {labels.n_repaired} {of} had a self-intersecting outline; repaired"
    if small:
        yield (
            f"{path}: {small} {of} cover less than {MIN_PIXELS} pixels of {grid.gsd_m:.3g} m, too "
            "little to be spoken of; a finer --gsd would show them larger"
        )
    if not options.complete:
        yield (
            "no sample says that something is absent; give --complete if everything of these "
            "categories is labelled in the scene"
        )
    for split, share in (("val", options.val_share), ("test", options.test_share)):
        if share and split not in splits:
            yield f"the {split} split is empty: nothing can be said of what lies in its ground"
        elif split in splits and splits[split].samples < FEW_SAMPLES:
            yield (
                f"the {split} split has only {splits[split].samples} samples, too few to tell a "
                "better model from a lucky one; more labels, or a larger --per-chip or "
                f"--{split}-share, give more"
            )
