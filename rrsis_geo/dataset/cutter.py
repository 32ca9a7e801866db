"""Labels as objects, the chips they are cut into, and the split of each."""

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

ATTRIBUTE_OF: Final = {"color": "colour", "colour": "colour", "on": "on"}
"""Column -> what expressions are written from: the colour, and what a thing stands on."""
RECORDED_SCENE_OPTIONS: Final = ("gsd_m", "bands", "nodata", "bbox", "bbox_crs", "aoi")
"""Options of the scene in the record of a dataset."""
LABELLED_PER_BARE: Final = 2
"""Chips with labels for each without, of which it is only said that things are absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """How labels become samples.

    Attributes:
        category_column: column of the vector file that tells what a label is.
        category: what all labels are, where no column tells.
        layer: of the file; None where it has only one.
        attribute_columns: columns that tell more, of the names in :data:`ATTRIBUTE_OF`.
        size_column: column that tells how many metres points and lines are across.
        size_m: the same for all that no column tells.
        model: bundle that is to be trained: its ground pixels are those of the chips.
        scene: how the scene is read, as for ``segment``; a scene without CRS is refused.
        chip_px: side of the chips, pixels.
        per_chip: expressions about a chip with labels, at most.
        val_share: of the ground, for validation.
        test_share: of the ground, for a test at the end.
        complete: every object of the labelled categories is labelled, so that they may be said to
            be absent elsewhere.
        false_colour: colours are not those the eye sees, so none is named.
        seed: of all chance.
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
            raise ConfigError(f"chip must be a multiple of 32 from 64 on, got {self.chip_px}")
        if self.per_chip < 1:
            raise ConfigError(f"per_chip must be at least 1, got {self.per_chip}")
        if self.scene.allow_no_crs:
            raise ConfigError("labels are placed by their CRS, so the scene must have one too")
        check_shares(self.val_share, self.test_share)
        self.columns()
        for name in self.attribute_columns:
            if name.lower() not in ATTRIBUTE_OF:
                raise ConfigError(
                    f'attribute column "{name}": expressions are written from columns named '
                    f"{', '.join(ATTRIBUTE_OF)}; rename it"
                )

    def columns(self) -> LabelColumns:
        """What is to be read from the vector file."""
        return LabelColumns(
            category_column=self.category_column,
            category=self.category,
            layer=self.layer,
            attribute_columns=self.attribute_columns,
            size_column=self.size_column,
            size_m=self.size_m,
        )

    def to_dict(self) -> dict[str, Any]:
        """The options, ready for JSON; those of the scene stand beside the others."""
        record: dict[str, Any] = {}
        for option in fields(self):
            if option.name == "scene":
                record |= {name: getattr(self.scene, name) for name in RECORDED_SCENE_OPTIONS}
                record["aoi"] = self.scene.aoi and str(self.scene.aoi)
            else:
                record[option.name] = getattr(self, option.name)
        return record


class Cutter:
    """Labels as objects, and the chips that they are cut into."""

    def __init__(self, grid: ModelGrid, labels: Labels, options: LabelOptions) -> None:
        self.options = options
        self.grid = grid
        self._labels = labels
        self._areas = shapely.area(labels.shapes)
        self.categories = [category_from_label(label) for label in labels.categories]
        self._known = sorted(set(self.categories))
        self._attributes = [
            {ATTRIBUTE_OF[name.lower()]: text for name, text in told.items()}
            | ({OUTLINE: "box"} if made_up else {})
            for told, made_up in zip(labels.attributes, labels.from_points, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Labels of each category, what is most first."""
        return dict(Counter(self.categories).most_common())

    def plan(self) -> dict[Chip, list[int]]:
        """The chips to write, each with the numbers of the labels that touch it.

        Raises:
            ConfigError: the labels lie in so few cells that a split would be without any.
        """
        options, rng = self.options, np.random.default_rng(self.options.seed)
        size_px = options.chip_px
        shape = cell_shape(self.grid.height, self.grid.width, size_px)
        wanted = {"val": options.val_share, "test": options.test_share}
        shares = {name: share for name, share in wanted.items() if share}
        counts = self._count_cells()
        n_labelled = int(counts.any(axis=1).sum())
        if n_labelled <= len(shares):
            raise ConfigError(
                f"the labels lie in {n_labelled} of {counts.shape[0]} cells of {size_px} pixels, "
                f"too few for {' and '.join(['train', *shares])} to have ground of their own; give "
                "a smaller --chip, or --val-share 0"
            )
        splits = assign_splits(counts, shares, rng).reshape(shape)
        chips = plan_chips(splits, self.grid.height, self.grid.width, size_px)
        windows = [chip.window for chip in chips]
        touching = dict(zip(chips, find_overlapping(self._labels.shapes, windows), strict=True))
        labelled_image = {chip: numbers for chip, numbers in touching.items() if numbers}
        if not options.complete:
            return labelled_image
        for split in (TRAIN, *shares):
            bare = [chip for chip in chips if chip.split == split and not touching[chip]]
            n_bare = sum(chip.split == split for chip in labelled_image) // LABELLED_PER_BARE
            order = rng.permutation(len(bare)).tolist()
            labelled_image |= {bare[index]: [] for index in order[:n_bare]}
        return labelled_image

    def label_chip(
        self, chip: Chip, numbers: Iterable[int], row: ChipRow, name: str
    ) -> LabelledImage:
        """A chip with the objects in it, those of the labels of these numbers."""
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
            complete=frozenset(self._known if self.options.complete else ()),
            gsd_m=self.grid.gsd_m,
            false_colour=self.options.false_colour,
            id=name,
        )

    def _count_cells(self) -> NDArray[np.intp]:
        """Labels of each category that touch each cell, [cells, categories]."""
        cells = cell_windows(self.grid.height, self.grid.width, self.options.chip_px)
        counts = np.zeros((len(cells), len(self._known)), np.intp)
        kinds = [self._known.index(name) for name in self.categories]
        for cell, numbers in enumerate(find_overlapping(self._labels.shapes, cells)):
            for number in numbers:
                counts[cell, kinds[number]] += 1
        return counts
