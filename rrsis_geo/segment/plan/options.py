"""Options of a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from rrsis_geo.errors import ConfigError
from rrsis_geo.geo.objects.features import OutlineStyle
from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.model.presence import check_threshold
from rrsis_geo.segment.plan.landmarks import GivenLandmark

RESULT_OPTIONS = ("dtype", "overlap_px", "threshold", "min_area_m2", "simplify_m")
"""Fields of `SegmentOptions` that change the result, besides those of `SceneOptions`."""
OPTIONAL = ("presence", "tta", "split", "outline")
"""More of these. They are recorded only where they are not the default, as in the records of
earlier releases."""

SMALLEST_MODEL_PX = 9
"""Smaller objects are dropped by default: 3 x 3 pixels that the model sees, 0.36 m2 at 20 cm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """Options of a run.

    Attributes:
        model: name, folder or Hub address of a bundle.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        dtype: "auto", "fp32", "bf16" or "fp16".
        batch_size: windows per batch; None depends on the device. May change the last bits of the
            arithmetic of a network, and nothing else.
        threads: CPU threads of the network; None leaves the choice to torch.
        overlap_px: overlap of neighbouring windows, in pixels of the model grid.
        threshold: probability above which a pixel belongs to the target.
        presence: windows in which the probability of the target is below this give nothing. None is
            the threshold of the bundle, if it has one.
        tta: also predict windows mirrored, and average the log-odds, at four times the cost.
        min_area_m2: objects below this area on the ground are dropped, in square metres. None drops
            objects of less than `SMALLEST_MODEL_PX` pixels of the model, 0 drops none.
        simplify_m: tolerance for the simplification of outlines, in metres on the ground.
        outline: how outlines are drawn: "pixels" along the pixels of the mask, "smooth" as
            curves, "regular" with straight walls and right angles where an object has them.
        split: whether objects that touch are split. None splits those that an expression ranks,
            counts or measures.
        landmarks: layers of the user for landmarks of the expressions.
        scene: how the scene is read: its area, bands and ground pixel.
        rows_per_shard: height of a shard in pixels; None depends on the size of the scene. Never
            changes the result.
    """

    model: str = DEFAULT_BUNDLE
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    overlap_px: int = 128
    threshold: float = 0.5
    presence: float | None = None
    tta: bool = False
    min_area_m2: float | None = None
    simplify_m: float = 0.0
    outline: OutlineStyle = "pixels"
    split: bool | None = None
    landmarks: tuple[GivenLandmark, ...] = ()
    scene: SceneOptions = field(default_factory=SceneOptions)
    rows_per_shard: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ConfigError(f"threshold must be between 0 and 1, got {self.threshold:g}")
        check_threshold(self.presence)
        for name in ("min_area_m2", "simplify_m"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be 0 or more, got {value:g}")
        if self.outline not in get_args(OutlineStyle):
            raise ConfigError(
                f'outline must be {" or ".join(get_args(OutlineStyle))}, got "{self.outline}"'
            )
        if self.simplify_m and self.outline != "pixels":
            raise ConfigError(
                "simplify_m is for outlines along pixels: smooth and regular outlines have few "
                "vertices already; give one of the two (--simplify, or --smooth or --regularize)"
            )
        for name in ("batch_size", "threads", "rows_per_shard"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    def input_files(self) -> list[Path]:
        """Files that are read besides the scene."""
        return [*self.scene.input_files(), *(landmark.path for landmark in self.landmarks)]

    def to_manifest(self) -> dict[str, Any]:
        """The options that the result depends on, ready for JSON."""
        own = {name: getattr(self, name) for name in RESULT_OPTIONS}
        given = {name: getattr(self, name) for name in OPTIONAL}
        own |= {name: each for name, each in given.items() if each != getattr(DEFAULTS, name)}
        if self.landmarks:
            own["landmarks"] = [landmark.to_manifest() for landmark in self.landmarks]
        return {**own, **self.scene.to_dict()}

    @staticmethod
    def from_manifest(record: Mapping[str, Any]) -> "SegmentOptions":
        """The options in a manifest. Options that do not change the result have their defaults.

        Raises:
            ConfigError: the record has unknown fields.
        """
        own = {name: record[name] for name in (*RESULT_OPTIONS, *OPTIONAL) if name in record}
        given = tuple(map(GivenLandmark.from_manifest, record.get("landmarks", ())))
        others = (*RESULT_OPTIONS, *OPTIONAL, "landmarks")
        scene = {name: value for name, value in record.items() if name not in others}
        try:
            return SegmentOptions(**own, landmarks=given, scene=SceneOptions.from_dict(scene))
        except TypeError as err:
            raise ConfigError(f"the manifest has unknown options: {err}") from err


DEFAULTS: Final = SegmentOptions()
