"""What a first pass at a coarser ground pixel could rule out, and what of the mask it would lose.

    python benchmarks/coarse.py                       # the sample scene, twice its ground pixel
    python benchmarks/coarse.py --scene other.tif --factor 4 --expressions "the ship" "the runway"

A window would be ruled out where every window of the coarse pass that touches it says that the
target is there with less than some probability. The run is then done once more with what the
network had said: windows that are ruled out say "no target" everywhere, so that the mask is to the
pixel what such a run would write. "Saved" are windows ruled out, less those of the coarse pass.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray

from rrsis_geo.geo.scene.options import SceneOptions
from rrsis_geo.geo.scene.scene import open_scene
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.predictor import Predictor, WindowLogits
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.predictor import WindowPredictor
from rrsis_geo.segment.scene import segment_scene

SAMPLE = Path(__file__).parents[1] / "sample_data" / "scene.tif"
EXPRESSIONS = ("the truck on the road", "the swimming pool", "the airplane", "the ship")
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.5)
NO_TARGET = -20.0
"""Log-odds of a window that is ruled out."""


class Said(NamedTuple):
    """What a run said."""

    mask: NDArray[np.bool_]
    windows: gpd.GeoDataFrame  # those that the network saw, in the order in which it did


class Recorder:
    """A predictor that keeps its answers."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.facts = predictor.facts
        self.answers: list[WindowLogits] = []

    def encode(self, expression: str) -> Any:
        return self._predictor.encode(expression)

    def cut_words(self, expression: str) -> str:
        return self._predictor.cut_words(expression)

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[WindowLogits]:
        outputs = self._predictor.predict_all(images, words)
        self.answers += outputs
        return outputs


class Player:
    """Gives a recorder's answers again, but for windows that are ruled out."""

    def __init__(self, recorder: Recorder, ruled_out: NDArray[np.bool_]) -> None:
        self.facts = recorder.facts
        self._answers = iter(recorder.answers)
        self._ruled_out = iter(ruled_out.tolist())

    def encode(self, expression: str) -> str:
        return expression

    def cut_words(self, expression: str) -> str:
        return ""

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[WindowLogits]:
        return [self._next(len(images)) for _ in words]

    def _next(self, n_windows: int) -> WindowLogits:
        answer = next(self._answers)
        logits = answer.logits.copy()
        for number in range(n_windows):
            if next(self._ruled_out):
                logits[number] = NO_TARGET
        return WindowLogits(logits, answer.presence)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", type=Path, default=SAMPLE)
    parser.add_argument("--factor", type=float, default=2.0, help="coarse ground pixel over fine")
    parser.add_argument("--expressions", nargs="+", default=EXPRESSIONS)
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="of the processor, for the network")
    args = parser.parse_args()
    predictor = Predictor(load_bundle(args.model), args.device, threads=args.threads)
    with open_scene(args.scene) as scene:
        gsd_m = scene.info.gsd_m
    assert gsd_m is not None, "open_scene refuses a scene without CRS"
    coarse_options = SegmentOptions(scene=SceneOptions(gsd_m=gsd_m * args.factor))
    print(f"{args.scene.name}, {gsd_m:.2f} m and {gsd_m * args.factor:.2f} m, {args.model}\n")
    print("| expression | below | ruled out | saved | target pixels lost |")
    print("|---|---|---|---|---|", flush=True)
    for expression in args.expressions:
        recorder = Recorder(predictor)
        fine = run(recorder, args.scene, expression, SegmentOptions())
        coarse = run(predictor, args.scene, expression, coarse_options)
        highest = highest_touching(fine.windows, coarse.windows)
        for threshold in THRESHOLDS:
            ruled_out = highest < threshold
            left = run(Player(recorder, ruled_out), args.scene, expression, SegmentOptions())
            lost = int((fine.mask & ~left.mask).sum())
            print(
                f"| {expression} | {threshold:g} | {ruled_out.sum()} of {len(ruled_out)} "
                f"| {(ruled_out.sum() - len(coarse.windows)) / len(ruled_out):.0%} "
                f"| {lost} of {int(fine.mask.sum())} |",
                flush=True,
            )


def run(predictor: WindowPredictor, scene: Path, expression: str, options: SegmentOptions) -> Said:
    """The mask of a run, and its layer of windows."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        outputs = Outputs(folder / "found.gpkg", mask=folder / "mask.tif", windows_layer=True)
        segment_scene(scene, expression, outputs, options, predictor=predictor)
        windows = pyogrio.read_dataframe(folder / "found.gpkg", layer="windows")
        with rasterio.open(folder / "mask.tif") as dataset:
            mask = dataset.read(1) == 1
    return Said(mask, windows[windows["state"] == "seen"])


def highest_touching(fine: gpd.GeoDataFrame, coarse: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """The highest presence of the coarse windows that touch each fine one; 1 where none does."""
    highest = np.zeros(len(fine))
    tree = shapely.STRtree(coarse.geometry.to_numpy())
    for number, outline in enumerate(fine.geometry):
        on_it = coarse["presence"].to_numpy()[tree.query(outline, predicate="intersects")]
        highest[number] = on_it.max() if len(on_it) else 1.0
    return highest


if __name__ == "__main__":
    main()
