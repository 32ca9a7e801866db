"""What parts are worth: trained without each at equal budget, scored on the same held-back data.

    python benchmarks/ablations.py runs/ablations --instances ../shared/data/instances_val.json

The parts are those of the network, or with ``--of data`` those of the data engine. Every row starts
from the pre-trained encoders of ``--config`` (or those of the bundle that ``--encoders`` names,
which helps short runs; all else is fresh; or from the whole of the bundle that ``--start`` names),
trains for ``--steps`` steps, those of the network on the same samples in the same order, and is
scored with the same held-back samples as ``validation.py``. A row that is done is kept; a run that
was cut short goes on from its last checkpoint. The average over the steps that is scored must not
reach back to the start: see ``ema_decay``.
"""

import argparse
import json
from pathlib import Path

import torch
from validation import scored, validation_sets

from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.nets import build_net
from rrsis_geo.train.config import load_train_config
from rrsis_geo.train.training import train_model

NETWORK: dict[str, tuple[str, ...]] = {
    "whole": (),
    "no background stream": ("net.background_weight=0.0",),
    "no prior of the masked text": ("net.background_prior=false",),
    "no vision to text in BSC": ("net.bsc_to_text=false",),
    "no BSC windows 3 and 5": ("net.vision_windows=[1]", "net.text_windows=[1]"),
    "no reconstruction": ("net.reconstruction_weight=0.0",),
    "no presence": ("net.presence=false",),
}
DATA: dict[str, tuple[str, ...]] = {
    "as configured": (),
    "no painted scenes": ("data.painted_share=0.0",),
    "no shared real crops": ("data.instance_contrast=0.0",),
    "expressions as they fall": ("data.expressions_per_scene=1",),
}
ROWS = {"network": NETWORK, "data": DATA}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder for the runs and their scores")
    parser.add_argument("--config", type=Path, default=Path("configs/btdnet_lite.toml"))
    parser.add_argument("--of", choices=list(ROWS), default="network", help="whose parts")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--encoders", help="bundle whose trunk and text encoder every row gets")
    start.add_argument("--start", help="bundle that every row goes on from")
    parser.add_argument("--instances", type=Path, help="COCO file; without it only painted scenes")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--real", type=int, default=400, help="samples of real images to score")
    parser.add_argument("--painted", type=int, default=200, help="samples of painted scenes")
    parser.add_argument("--size", type=int, default=256, help="side of samples, pixels")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="of the rows, these")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="for every row")
    args = parser.parse_args()
    rows = ROWS[args.of]
    if unknown := set(args.only or ()) - rows.keys():
        parser.error(f"--only {sorted(unknown)}: choose from {', '.join(rows)}")
    sets = validation_sets(args.instances, args.real, args.painted, args.size)
    results = {}
    for name in args.only or rows:
        folder = args.runs / name.replace(" ", "_")
        scores = folder / "scores.json"
        if not scores.exists():
            changes = [*args.set, *rows[name], f"data.size_px={args.size}"]
            if args.start:
                changes.append(f'init.bundle="{args.start}"')
            train(folder, args.config, args.steps, changes, args.encoders)
            found = {of: each.to_dict() for of, each in scored(str(folder / "model"), sets)}
            scores.write_text(json.dumps(found, indent=2) + "\n")
        results[name] = json.loads(scores.read_text())
    for name in sets:
        show(name, {row: scores[name] for row, scores in results.items()})


def train(folder: Path, config: Path, steps: int, changes: list[str], encoders: str | None) -> None:
    """One row's run."""
    settings = [f"steps={steps}", f"val_every={steps}", *changes]
    if encoders is not None:
        start = folder.parent / f"{folder.name}_start"
        save_start(start, encoders, dict(load_train_config(config, settings).net))
        settings.append(f'init.bundle="{start}"')
    run = load_train_config(config, settings)
    train_model(run, folder, resume=any((folder / "checkpoints").glob("*")))


def save_start(folder: Path, encoders: str, settings: dict[str, object]) -> None:
    """A bundle of a fresh network with another bundle's encoders."""
    torch.manual_seed(0)
    bundle = load_bundle(encoders)
    net = build_net(str(settings.pop("name")), settings)
    state = net.state_dict()
    for name, tensor in bundle.net.state_dict().items():
        if name.startswith(("trunk.", "text.")):
            state[name] = tensor
    net.load_state_dict(state)
    save_bundle(folder, net, bundle.tokenizer, bundle.image, {}, precision="fp16")


def show(title: str, rows: dict[str, dict[str, object]]) -> None:
    """Print a table in Markdown: mIoU over present targets, by kind too, and the absent ones."""
    kinds = [kind for kind in rows[next(iter(rows))]["by_kind"] if kind != "absent"]
    print(f"\n| {title} | mIoU | " + " | ".join(kinds) + " | N-acc | false area |")
    print("|---" * (len(kinds) + 4) + "|")
    for name, scores in rows.items():
        by_kind = [f"{scores['by_kind'][kind]['miou_present']:.3f}" for kind in kinds]
        print(
            f"| {name} | {scores['miou_present']:.3f} | "
            + " | ".join(by_kind)
            + f" | {scores['n_acc']:.3f} | {scores['false_area_ppm']:.0f} |"
        )


if __name__ == "__main__":
    main()
