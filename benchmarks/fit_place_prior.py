"""Fit btdnet-lite's place prior alone: words of place against where the objects meant lie.

    python benchmarks/fit_place_prior.py START OUT --instances ../shared/data/instances_train.json

No image is looked at: of crops that show several objects of a category, the pixels of these objects
are told apart by the expression, through the first text stage of the bundle START, which stays as
it is. OUT is START with the prior so fitted. In whole training its gradient is a small part of the
whole, and comes only with the fifth of the samples that speak of places.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from rrsis_geo.bundle import load_bundle, save_bundle
from rrsis_geo.data.candidates import Candidates
from rrsis_geo.data.expressions import write_expression
from rrsis_geo.data.instances import InstanceSource
from rrsis_geo.data.referring import ReferringInstances

KINDS = {"category": 0.2, "colour": 0.08, "size": 0.12, "position": 0.5, "combination": 0.1}
EXPRESSIONS = 6
"""About each crop."""
CELLS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("out", type=Path)
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--size", type=int, default=128, help="side of the crops, pixels")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    bundle = load_bundle(args.start)
    words, valid, inside, alike = read(bundle, args)
    held_back = len(words) // 10
    fit = slice(held_back, None)
    prior = bundle.net.decoder.place_prior.train()
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3, weight_decay=1e-2)
    for epoch in range(args.epochs):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - epoch / args.epochs)
        for rows in torch.randperm(len(words[fit])).split(64):
            part = [tensor[fit][rows] for tensor in (words, valid, inside, alike)]
            optimizer.zero_grad()
            loss(prior, *part).backward()
            optimizer.step()
        with torch.inference_mode():
            part = [tensor[:held_back] for tensor in (words, valid, inside, alike)]
            print(f"epoch {epoch + 1}: held-back loss {loss(prior, *part):.3f}", flush=True)
    save_bundle(
        args.out, bundle.net.eval(), bundle.tokenizer, bundle.image, bundle.about, precision="fp32"
    )


def read(bundle, args) -> tuple[torch.Tensor, ...]:
    """First text stage [n, L, D], valid tokens [n, L]; target and alike, cells [n, 32, 32]."""
    referring = ReferringInstances(InstanceSource(args.instances), args.size)
    rng = np.random.default_rng(args.seed)
    texts, inside, alike = [], [], []
    while len(texts) < args.samples:
        found = referring.contrast(rng)
        if found is None:
            continue
        crop, category = found
        for kind in rng.choice(list(KINDS), EXPRESSIONS, p=list(KINDS.values())):
            written = write_expression(crop, rng, kind, category=category)
            if written is not None:
                texts.append(written.expression)
                inside.append(cells(written.mask))
                alike.append(cells(Candidates(crop, written.category).union()))
    with torch.inference_mode():
        tokens = bundle.tokenizer.encode(texts)
        stages = [
            bundle.net.text.stage(0, bundle.net.text.embed(ids), attention)
            for ids, attention in zip(tokens.ids.split(64), tokens.attention.split(64), strict=True)
        ]
    return torch.cat(stages).clone(), tokens.attention, torch.stack(inside), torch.stack(alike)


def cells(mask: np.ndarray) -> torch.Tensor:
    """Share of each of 32 x 32 cells that a mask fills."""
    return F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None], CELLS)[0]


def loss(prior, words, valid, inside, alike) -> torch.Tensor:
    """Cross-entropy of where, among the pixels of like objects, those meant lie.

    A constant would change nothing: the level is for the rest of the network to set.
    """
    logits = (prior(words, valid, inside) + alike.clamp(min=1e-9).log()).flatten(1)
    meant = inside.flatten(1)
    return F.cross_entropy(logits, meant / meant.sum(1, keepdim=True))


if __name__ == "__main__":
    main()
