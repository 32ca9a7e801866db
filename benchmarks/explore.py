"""Time and memory of `rrsis-geo explore` on a large scene with many objects.

The model is a stand-in that finds red pixels, so that the time is that of everything else.
"""

import argparse
import resource
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from predictor_stubs import RedPredictor, blobs

from rrsis_geo.explore.answers import shapes_answer
from rrsis_geo.explore.session import Model, open_session
from rrsis_geo.segment.plan.options import SegmentOptions

PIECE_PX = 1480
VIEW = shapely.box(2000, 2000, 3400, 2900)


def main() -> None:
    """Search a scene as a whole, move the threshold, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=12_000, help="pixels of a side of the scene")
    side = parser.parse_args().side
    model = RedPredictor(512)
    with TemporaryDirectory() as folder:
        path = write_scene(Path(folder) / "scene.tif", side)
        before = memory_mb()
        with open_session(path, SegmentOptions(), Model(model.facts, lambda: model)) as session:
            started = time.process_time()
            sentence = session.find("red discs", None)
            while session.is_busy:
                time.sleep(0.2)
            n_objects = sentence.found.n_objects
            print(f"search: {time.process_time() - started:.1f} s, {n_objects} objects")
            sentence.set_limits(0.7, None)
            last, started = sentence.found_number, time.process_time()
            reading = threading.Thread(target=sentence.read, args=[VIEW])
            reading.start()
            while sentence.found_number == last:
                time.sleep(0.001)
            first = time.process_time() - started
            reading.join()
            whole = time.process_time() - started
            print(f"threshold: the visible part {first:.2f} s, all {whole:.1f} s")
            started = time.process_time()
            n_shapes = len(shapes_answer(sentence, VIEW, 1.0)["shapes"])
            print(f"{n_shapes} outlines for the map: {time.process_time() - started:.2f} s")
        print(f"memory: {memory_mb() - before:.0f} MB more than before")


def memory_mb() -> float:
    """The most memory that this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_scene(path: Path, side: int) -> Path:
    """A scene of red discs, written piece by piece."""
    row, col = np.mgrid[:PIECE_PX, :PIECE_PX]
    content = blobs()
    piece = np.stack([content(row, col, band) for band in (1, 2, 3)]).astype(np.uint8)
    options = {"compress": "lzw", "tiled": True, "blockxsize": 512, "blockysize": 512}
    place = Affine(0.5, 0, 5e5, 0, -0.5, 52e5)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=3,
        dtype="uint8",
        crs="EPSG:32632",
        transform=place,
        photometric="rgb",
        bigtiff="if_safer",
        **options,
    ) as scene:
        for top in range(0, side, PIECE_PX):
            for left in range(0, side, PIECE_PX):
                height, width = min(PIECE_PX, side - top), min(PIECE_PX, side - left)
                scene.write(piece[:, :height, :width], window=Window(left, top, width, height))
    return path


if __name__ == "__main__":
    main()
