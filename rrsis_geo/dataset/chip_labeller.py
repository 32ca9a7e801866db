"""Labels of a scene: their options, the chips to write, and the objects in each chip."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from rrsis_geo.data.dataset_writer import check_shares
from rrsis_geo.data.expressions.candidates import OUTLINE
from rrsis_geo.data.instances.crops import mark_cut, shrink_box
from rrsis_geo.data.sample import Instance, LabelledImage
from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.chips.chips import (
    TRAIN,
    Chip,
    ChipRow,
    assign_splits,
    cell_shape,
    cell_windows,
    plan_chips,
)
from rrsis_geo.geo.chips.labels import LabelColumns, Labels, find_overlapping, rasterize_shape
from rrsis_geo.geo.grid.model_grid import ModelGrid
from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.text.vocabulary import category_from_label

ATTRIBUTE_BY_COLUMN: Final = {"color": "colour", "colour": "colour", "on": "on"}
"""Column of the vector file -> attribute of an object that expressions use."""
RECORDED_SCENE_OPTIONS: Final = ("gsd_m", "bands", "nodata", "bbox", "bbox_crs", "aoi")
"""Scene options that ``dataset.json`` records."""
LABELLED_PER_EMPTY: Final = 2
"""Chips with labels per chip without labels. The latter only have absent targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """How labels become samples.

    Attributes:
        category_column: column of the vector file with the category of each label.
        category: category of all labels, if there is no column.
        layer: layer of the vector file. None if it has only one.
        attribute_columns: columns with attributes, keys of :data:`ATTRIBUTE_BY_COLUMN`.
        size_column: column with the width of points and lines, metres.
        size_m: width of points and lines without such a column, metres.
        model: bundle to fine-tune. Chips have its ground sample distance.
        scene: how the scene is read, as for ``segment``. The scene must have a CRS.
        chip_px: side of the chips, pixels.
        per_chip: most expressions about a chip with labels.
        val_share: share of the ground for validation.
        test_share: share of the ground for a final test.
        complete: every object of the labelled categories is labelled, so expressions can call them
            absent.
        false_colour: the colours are not natural, so expressions do not name them.
        seed: random seed.
    """

    category_column: str | None = None
    category: str | None = None
    layer: str | None = None
    attribute_columns: tuple[str, ...] = ()
    size_column: str | None = None
    size_m: float | None = None
    model: str = DEFAULT_BUNDLE
    scene: SceneOptions = field(default_factory=SceneOptions)
    chip_px: int = 256
    per_chip: int = 4
    val_share: float = 0.2
    test_share: float = 0.0
    complete: bool = False
    false_colour: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.chip_px < 64 or self.chip_px % 32:
            raise ConfigError(f"chip must be a multiple of 32 and at least 64, got {self.chip_px}")
        if self.per_chip < 1:
            raise ConfigError(f"per_chip must be at least 1, got {self.per_chip}")
        if self.scene.allow_no_crs:
            raise ConfigError("allow_no_crs: labels need a scene with a CRS")
        check_shares(self.val_share, self.test_share)
        self.columns()
        for name in self.attribute_columns:
            if name.lower() not in ATTRIBUTE_BY_COLUMN:
                raise ConfigError(
                    f'attribute column "{name}": unknown attribute; rename the column to one of '
                    f"{', '.join(ATTRIBUTE_BY_COLUMN)}"
                )

    def columns(self) -> LabelColumns:
        """The columns to read from the vector file."""
        return LabelColumns(
            category_column=self.category_column,
            category=self.category,
            layer=self.layer,
            attribute_columns=self.attribute_columns,
            size_column=self.size_column,
            size_m=self.size_m,
        )

    def to_dict(self) -> dict[str, Any]:
        """The options for JSON. Scene options are on the same level as the others."""
        record: dict[str, Any] = {}
        for option in fields(self):
            if option.name == "scene":
                record |= {name: getattr(self.scene, name) for name in RECORDED_SCENE_OPTIONS}
                record["aoi"] = self.scene.aoi and str(self.scene.aoi)
                if self.scene.aoi_layer is not None:
                    record["aoi_layer"] = self.scene.aoi_layer
            else:
                record[option.name] = getattr(self, option.name)
        return record


class ChipLabeller:
    """Plans the chips of a labelled scene, and makes labelled images of them.

    Attributes:
        options: the options.
        grid: the model grid of the scene.
        categories: the category of each label.
    """

    def __init__(self, grid: ModelGrid, labels: Labels, options: LabelOptions) -> None:
        self.options = options
        self.grid = grid
        self._labels = labels
        self._areas = shapely.area(labels.shapes)
        self.categories = [category_from_label(label) for label in labels.categories]
        self._category_names = sorted(set(self.categories))
        self._attributes = [
            {ATTRIBUTE_BY_COLUMN[name.lower()]: text for name, text in values.items()}
            | ({OUTLINE: "box"} if from_point else {})
            for values, from_point in zip(labels.attributes, labels.from_points, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Category -> number of labels, the most common first."""
        return dict(Counter(self.categories).most_common())

    def plan(self) -> dict[Chip, list[int]]:
        """The chips to write, each with the indices of the labels that touch it.

        Raises:
            ConfigError: the labels lie in too few cells for all splits.
        """
        options, rng = self.options, np.random.default_rng(self.options.seed)
        size_px = options.chip_px
        shape = cell_shape(self.grid.height, self.grid.width, size_px)
        all_shares = {"val": options.val_share, "test": options.test_share}
        shares = {name: share for name, share in all_shares.items() if share}
        counts = self._count_cells()
        n_labelled = int(counts.any(axis=1).sum())
        if n_labelled <= len(shares):
            raise ConfigError(
                f"the labels lie in {n_labelled} of {counts.shape[0]} cells of {size_px} pixels, "
                f"too few for separate {' and '.join(['train', *shares])} splits; use a smaller "
                "--chip or --val-share 0"
            )
        splits = assign_splits(counts, shares, rng).reshape(shape)
        chips = plan_chips(splits, self.grid.height, self.grid.width, size_px)
        windows = [chip.window for chip in chips]
        touching = dict(zip(chips, find_overlapping(self._labels.shapes, windows), strict=True))
        planned = {chip: numbers for chip, numbers in touching.items() if numbers}
        if not options.complete:
            return planned
        for split in (TRAIN, *shares):
            empty = [chip for chip in chips if chip.split == split and not touching[chip]]
            n_empty = sum(chip.split == split for chip in planned) // LABELLED_PER_EMPTY
            order = rng.permutation(len(empty)).tolist()
            planned |= {empty[index]: [] for index in order[:n_empty]}
        return planned

    def label_chip(
        self, chip: Chip, numbers: Iterable[int], row: ChipRow, name: str
    ) -> LabelledImage:
        """Make a labelled image of a chip and the labels that touch it."""
        valid = row.valid_in(chip)
        instances = []
        for number in numbers:
            mask = rasterize_shape(self._labels.shapes[number], chip.window) & valid
            if not mask.any():
                continue
            share = min(np.count_nonzero(mask) / max(self._areas[number], 1.0), 1.0)
            bbox, mask = shrink_box(mask, 0, 0)
            item = Instance(self.categories[number], bbox, mask, self._attributes[number])
            instances.append(mark_cut(item, share, chip.size_px))
        return LabelledImage(
            image=row.image(chip),
            instances=instances,
            complete=frozenset(self._category_names if self.options.complete else ()),
            gsd_m=self.grid.gsd_m,
            false_colour=self.options.false_colour,
            id=name,
        )

    def _count_cells(self) -> NDArray[np.intp]:
        """Number of labels of each category that touch each cell, [cells, categories]."""
        cells = cell_windows(self.grid.height, self.grid.width, self.options.chip_px)
        counts = np.zeros((len(cells), len(self._category_names)), np.intp)
        kinds = [self._category_names.index(name) for name in self.categories]
        for cell, numbers in enumerate(find_overlapping(self._labels.shapes, cells)):
            for number in numbers:
                counts[cell, kinds[number]] += 1
        return counts
