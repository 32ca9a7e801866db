"""Facts of a result, which the report page and the STAC item show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrsis_geo.geo.scene.scene import SceneInfo
from rrsis_geo.segment.results.report import ExpressionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFacts:
    """Facts of a result.

    Attributes:
        source: grid of the result, and the path of the raster from which it was made.
        results: result of each expression.
        model: name of the model, "" if unknown.
        threshold: probability above which a pixel is the target.
        outputs: all files by kind, or by "kind:layer" ("mask:trucks").
        seconds: duration of the run.
        warnings: all warnings of the run.
        command: command line of the run, "" if there was none.
        settings: rows of the page (name, value) that tell how the result was made.
        properties: further properties of the STAC item, by name without our prefix. Properties
            that are None are omitted.
    """

    source: SceneInfo
    results: Sequence[ExpressionResult]
    model: str
    threshold: float
    outputs: Mapping[str, Path]
    seconds: float = 0.0
    warnings: Sequence[str] = ()
    command: str = ""
    settings: Sequence[tuple[str, str]] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)

    def expressions_of(self, key: str) -> str:
        """The expressions that an output is about, as one text.

        Args:
            key: of the output: "vector", "mask:trucks"; "" means the whole result.
        """
        layer = key.partition(":")[2]
        return "; ".join(each.expression for each in self.results if layer in ("", each.layer))
