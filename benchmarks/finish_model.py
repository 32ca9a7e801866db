"""Finish a model: average the weights of runs, shift the presence output, store as int8.

    python benchmarks/finish_model.py OUT runs/a/model runs/b/model --presence -0.5

Weights can be averaged when the runs started from the same bundle and differ in their samples. Use
`--precision fp16` if training continues from the average. `presence.py` helps to choose the shift.
OUT keeps the description of the first bundle except for its scores.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.model.names import Language


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("bundles", nargs="+", help="bundles with the same network")
    parser.add_argument("--presence", type=float, default=0.0, help="log-odds to add")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], default="int8")
    parser.add_argument("--language", choices=get_args(Language), help="who resolves positions")
    parser.add_argument("--seconds-per-window", type=float, help="on two cores, for estimates")
    args = parser.parse_args()
    bundle, *others = map(load_bundle, args.bundles)
    states = [each.net.state_dict() for each in (bundle, *others)]
    bundle.net.load_state_dict(
        {
            name: torch.stack([state[name].double() for state in states]).mean(0)
            for name in states[0]
        }
    )
    with torch.no_grad():
        bundle.net.presence.mlp[-1].bias += args.presence
    about = {key: value for key, value in bundle.about.items() if key != "val_scores"}
    if args.seconds_per_window is not None:
        about["seconds_per_window"] = args.seconds_per_window
    language = args.language or bundle.language
    save_bundle(
        replace(bundle, path=args.out, about=about, language=language), precision=args.precision
    )


if __name__ == "__main__":
    main()
