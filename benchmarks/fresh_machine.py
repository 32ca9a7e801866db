"""Train on a machine that has PyTorch, timm and tokenizers, but no network and no rrsis-geo.

    python benchmarks/fresh_machine.py pack PARTS --config configs/btdnet_lite.toml
    python PARTS/fresh_machine.py train PARTS RESULTS --minutes 9      # on the machine
    python benchmarks/fresh_machine.py join RESULTS runs/tenth

``pack`` writes the code, the settings, the initial weights and the images (as WebP) to parts of a
limited size, and this script beside them. ``train`` unpacks them, trains until the minutes are
over, counted from its start, and writes the bundle and the log to parts. ``join`` unpacks these.
"""

import argparse
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

START = time.monotonic()
MIB = 2**20
PART_NAME = "part_{:03d}"
WEBP_QUALITY = 75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="write code, settings, weights and images to parts")
    packing.add_argument("parts", type=Path)
    packing.add_argument("--config", type=Path, default=Path("configs/btdnet_lite.toml"))
    packing.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    packing.add_argument("--images", type=int, help="images of each file, for a trial")
    packing.add_argument("--part-mib", type=float, default=16, help="size of a part")
    training = commands.add_parser("train", help="unpack, train, and write the results to parts")
    training.add_argument("parts", type=Path)
    training.add_argument("results", type=Path)
    training.add_argument("--minutes", type=float, required=True, help="from start to end")
    training.add_argument("--reserve", type=float, default=1, help="minutes to validate and save")
    training.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    training.add_argument("--part-mib", type=float, default=15, help="size of a part")
    joining = commands.add_parser("join", help="unpack the results")
    joining.add_argument("results", type=Path)
    joining.add_argument("folder", type=Path)
    args = parser.parse_args()
    if args.command == "pack":
        with tempfile.TemporaryDirectory() as folder:
            collect(Path(folder), args.config, args.set, args.images)
            write_parts(Path(folder), args.parts, args.part_mib)
        shutil.copy(__file__, args.parts / "fresh_machine.py")
    elif args.command == "train":
        results = args.results.resolve()  # training changes the working directory
        with tempfile.TemporaryDirectory() as folder:
            read_parts(args.parts, Path(folder))
            train(Path(folder), args.minutes - args.reserve, args.set)
            write_parts(Path(folder, "results"), results, args.part_mib)
    else:
        read_parts(args.results, args.folder)


def collect(folder: Path, config_file: Path, overrides: list[str], n_images: int | None) -> None:
    """Copy everything that a run needs to a folder, with settings that name the copies."""
    import rrsis_geo
    from rrsis_geo.config import to_dict
    from rrsis_geo.model.bundle import load_bundle
    from rrsis_geo.train.config import load_train_config

    config = load_train_config(config_file, overrides)
    if config.data is None:
        raise SystemExit(f"{config_file}: only the sample stream of [data] can be packed")
    code = Path(rrsis_geo.__file__).parent
    shutil.copytree(
        code, folder / code.name, ignore=shutil.ignore_patterns("__pycache__", "bundles")
    )
    copies = {}
    for field in ("instances", "val_instances"):
        value = getattr(config.data, field)
        paths = [value] if isinstance(value, Path) else value or ()
        copies[field] = tuple(copy_instances(path, folder, n_images) for path in paths) or None
    init = config.init
    if init.bundle is not None:
        init = replace(init, bundle=copy(load_bundle(init.bundle).path, folder))
    for field in ("trunk", "text", "vocabulary"):
        value = getattr(init, field)
        if value is not None and Path(value).exists():
            init = replace(init, **{field: type(value)(copy(Path(value), folder))})
    config = replace(config, data=replace(config.data, **copies), init=init)
    (folder / "config.json").write_text(json.dumps(to_dict(config), indent=2) + "\n")


def copy(path: Path, folder: Path) -> str:
    """Copy a file or a folder of weights. Returns its place in the folder."""
    target = Path("init", path.resolve().name)
    (folder / target).parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, folder / target, dirs_exist_ok=True)
    else:
        shutil.copy(path, folder / target)
    return str(target)


def copy_instances(path: Path, folder: Path, n_images: int | None) -> Path:
    """Copy a COCO file with RLEs only, and its images as WebP. Returns its place in the folder."""
    from PIL import Image

    from rrsis_geo.data.image_files import read_image
    from rrsis_geo.data.segmentations import decode_segmentation, encode_mask

    content = json.loads(path.read_bytes())
    content["images"] = content["images"][:n_images]
    kept = {entry["id"]: entry for entry in content["images"]}
    content["annotations"] = [
        entry for entry in content["annotations"] if entry["image_id"] in kept
    ]
    place = Path("data", path.resolve().parent.name, path.name)
    images = folder / place.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for entry in content["annotations"]:
        if not isinstance(entry["segmentation"], dict):
            image = kept[entry["image_id"]]
            mask = decode_segmentation(
                entry["segmentation"], (image["height"], image["width"]), image["file_name"]
            )
            entry["segmentation"] = encode_mask(mask)
    for entry in content["images"]:
        source = path.parent / "images" / entry["file_name"]
        entry["file_name"] = f"{Path(entry['file_name']).stem}.webp"
        if source.suffix == ".webp":
            shutil.copy(source, images / entry["file_name"])
        else:
            picture = Image.fromarray(read_image(source))
            picture.save(images / entry["file_name"], quality=WEBP_QUALITY, method=4)
    (folder / place).write_text(json.dumps(content))
    return place


def train(folder: Path, minutes: float, overrides: list[str]) -> None:
    """Train in an unpacked folder until the minutes since the start of the process are over."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    from rrsis_geo.config import build, override
    from rrsis_geo.train.training import TrainConfig, TrainProgress, train_model

    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    settings |= {"workers": max((os.cpu_count() or 1) - 1, 0), "tensorboard": False}
    settings |= {"checkpoint_minutes": 1e6}  # the machine is not used to resume the run
    settings.pop("val_every", None)  # one validation, at the end
    config = build(TrainConfig, override(settings, overrides))
    left = minutes - (time.monotonic() - START) / 60
    print(f"unpacked after {(time.monotonic() - START):.0f} s; {left:.1f} minutes for steps")
    if left <= 0:
        raise SystemExit("no time is left for training; raise --minutes or lower --reserve")

    def report(now: TrainProgress) -> None:
        print(
            f"step {now.step}: loss {now.losses['total']:.3f}, "
            f"{now.images_per_second:.0f} samples/s, {now.seconds_left:.0f} s left",
            flush=True,
        )

    scores = train_model(replace(config, minutes=left), folder / "run", progress=report)
    assert scores is not None
    print(f"gIoU {scores.giou:.3f}, mIoU {scores.miou_present}, N-acc {scores.n_acc}")
    shutil.copytree(folder / "run/model", folder / "results/model")
    for name in ("metrics.jsonl", "config.json"):
        shutil.copy(folder / "run" / name, folder / "results" / name)


def write_parts(folder: Path, parts: Path, part_mib: float) -> None:
    """Write a folder as a compressed tar, cut into files of at most this size."""
    parts.mkdir(parents=True, exist_ok=True)
    if any(parts.glob(PART_NAME.format(0)[:-3] + "*")):
        raise SystemExit(f"{parts}: has parts already; choose another folder")
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w:gz") as tar:
            tar.add(folder, ".")
        whole.seek(0)
        number = 0
        while block := whole.read(int(part_mib * MIB)):
            (parts / PART_NAME.format(number)).write_bytes(block)
            number += 1
    print(f"{parts}: {number} parts of at most {part_mib:g} MiB")


def read_parts(parts: Path, folder: Path) -> None:
    """Unpack the files of :func:`write_parts`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BufferedReader(_Parts(parts)), mode="r|gz") as tar:
        tar.extractall(folder, filter="data")


class _Parts(io.RawIOBase):
    """The bytes of all parts in order."""

    def __init__(self, parts: Path) -> None:
        self._blocks = self._read_blocks(parts)
        self._block = memoryview(b"")

    @staticmethod
    def _read_blocks(parts: Path) -> Iterator[memoryview]:
        number = 0
        while (path := parts / PART_NAME.format(number)).exists():
            yield memoryview(path.read_bytes())
            number += 1
        if not number:
            raise SystemExit(f"{parts}: has no file {PART_NAME.format(0)}")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            self._block = next(self._blocks, memoryview(b""))
        n = min(len(buffer), len(self._block))
        buffer[:n], self._block = self._block[:n], self._block[n:]
        return n


if __name__ == "__main__":
    main()
