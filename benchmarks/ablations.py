"""Train without each part at equal budget, and score on the same held-back data.

    python benchmarks/ablations.py runs/ablations --instances ../shared/data/instances_val.json

The parts are those of the network or, with ``--of data``, of the training data. Every row starts
from the pretrained encoders of ``--config``, from the encoders of the bundle ``--encoders`` (all
other weights fresh; helps short runs), or from the whole bundle ``--start``. It trains for
``--steps`` steps, in ablations of the network on the same samples in the same order, and is scored
on the samples of ``validation.py``. Finished rows are kept, and an interrupted row resumes from its
last checkpoint. The scored weights are a running average: set ``ema_decay`` low enough that it does
not reach back to the start.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from markdown_table import format_score, print_header, print_row
from scoring import SampleCounts, score_sets, validation_sets

from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.nets import build_net
from rrsis_geo.train.config import load_train_config
from rrsis_geo.train.training import train_model

NETWORK: dict[str, tuple[str, ...]] = {
    "all parts": (),
    "no background stream": ("net.background_weight=0.0",),
    "no prior from the masked text": ("net.background_prior=false",),
    "no image-to-text direction in BSC": ("net.bsc_to_text=false",),
    "no BSC windows 3 and 5": ("net.vision_windows=[1]", "net.text_windows=[1]"),
    "no reconstruction": ("net.reconstruction_weight=0.0",),
    "no presence": ("net.presence=false",),
}
DATA: dict[str, tuple[str, ...]] = {
    "as configured": (),
    "no painted scenes": ("data.painted_share=0.0",),
    "no shared real crops": ("data.instance_contrast=0.0",),
    "one expression per scene": ("data.expressions_per_scene=1",),
}
ROWS = {"network": NETWORK, "data": DATA}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder for the runs and their scores")
    parser.add_argument("--config", type=Path, default=Path("configs/btdnet_lite.toml"))
    parser.add_argument("--of", choices=list(ROWS), default="network", help="what to ablate")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--encoders", help="bundle whose encoders every row starts from")
    start.add_argument("--start", help="bundle that every row starts from")
    parser.add_argument("--instances", type=Path, nargs="+", default=[], help="COCO files")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--real", type=int, default=400, help="number of real samples to score")
    parser.add_argument("--painted", type=int, default=200, help="number of painted samples")
    parser.add_argument("--size", type=int, default=256, help="side of the samples, pixels")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="run only these rows")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for every row")
    args = parser.parse_args()
    rows = ROWS[args.of]
    if unknown := set(args.only or ()) - rows.keys():
        parser.error(f"--only {sorted(unknown)}: choose from {', '.join(rows)}")
    counts = SampleCounts(args.real, 0, args.painted)
    sets = validation_sets(args.instances, counts, args.size)
    results = {}
    for name in args.only or rows:
        folder = args.runs / name.replace(" ", "_")
        path = folder / "scores.json"
        if not path.exists():
            train_row(folder, rows[name], args)
            scores = {
                of: each.network.to_dict() for of, each in score_sets(str(folder / "model"), sets)
            }
            path.write_text(json.dumps(scores, indent=2) + "\n")
        results[name] = json.loads(path.read_text())
    for name in sets:
        print_table(name, {row: scores[name] for row, scores in results.items()})


def train_row(folder: Path, changes: tuple[str, ...], args: argparse.Namespace) -> None:
    """Train one row, or resume its training."""
    settings = [f"steps={args.steps}", f"val_every={args.steps}"]
    settings += [*args.set, *changes, f"data.size_px={args.size}"]
    if args.start:
        settings.append(f'init.bundle="{args.start}"')
    if args.encoders:
        start = folder.parent / f"{folder.name}_start"
        save_start(start, args.encoders, dict(load_train_config(args.config, settings).net))
        settings.append(f'init.bundle="{start}"')
    run = load_train_config(args.config, settings)
    train_model(run, folder, resume=any((folder / "checkpoints").glob("*")))


def save_start(folder: Path, encoders: str, settings: dict[str, object]) -> None:
    """Save a bundle of a fresh network with the encoders of another bundle."""
    torch.manual_seed(0)
    bundle = load_bundle(encoders)
    net = build_net(str(settings.pop("name")), settings)
    state = net.state_dict()
    for name, tensor in bundle.net.state_dict().items():
        if name.startswith(("trunk.", "text.")):
            state[name] = tensor
    net.load_state_dict(state)
    save_bundle(replace(bundle, path=folder, net=net, about={}), precision="fp16")


def print_table(title: str, rows: dict[str, dict[str, object]]) -> None:
    kinds = [kind for kind in rows[next(iter(rows))]["by_kind"] if kind != "absent"]
    print()
    print_header(title, "mIoU", *kinds, "N-acc", "false area")
    for name, scores in rows.items():
        by_kind = [scores["by_kind"][kind]["miou_present"] for kind in kinds]
        shares = map(format_score, (scores["miou_present"], *by_kind, scores["n_acc"]))
        print_row(name, *shares, format_score(scores["false_area_ppm"], 0))


if __name__ == "__main__":
    main()
