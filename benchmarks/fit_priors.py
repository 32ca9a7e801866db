"""Fit btdnet-lite's priors of place and size alone: words against which like objects they mean.

    python benchmarks/fit_priors.py START OUT --instances ../shared/data/instances_train.json

No image is looked at: of crops that show several objects of a category, the pixels of these objects
are told apart by the expression, through the first text stage of the bundle START, which stays as
it is. OUT is START with the priors so fitted; what START lacks of them begins afresh. In whole
training their gradient is a small part of the whole, and comes only with the samples that speak of
places and sizes.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from rrsis_geo.bundle import load_bundle, save_bundle
from rrsis_geo.data.candidates import Candidates
from rrsis_geo.data.expressions import write_expression
from rrsis_geo.data.instances import InstanceSource
from rrsis_geo.data.referring import ReferringInstances
from rrsis_geo.nets.btdnet import BTDNet
from rrsis_geo.nets.priors import place_terms, size_terms, weighted
from rrsis_geo.text.tokenizer import Tokenizer

KINDS = {"category": 0.15, "colour": 0.07, "size": 0.34, "position": 0.34, "combination": 0.1}
EXPRESSIONS = 6
"""About each crop."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("out", type=Path)
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--size", type=int, default=256, help="side of the crops, pixels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    start = load_bundle(args.start)
    net = BTDNet(dataclasses.replace(start.net.config, place_prior=True, size_prior=True))
    net.load_state_dict(start.net.state_dict(), strict=False)
    priors = torch.nn.ModuleList([net.decoder.place_prior, net.decoder.size_prior])
    data = read(net, start.tokenizer, args)
    held_back = len(data[0]) // 10
    optimizer = torch.optim.AdamW(priors.parameters(), lr=3e-3, weight_decay=1e-2)
    for epoch in range(args.epochs):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - epoch / args.epochs)
        for rows in torch.randperm(len(data[0]) - held_back).split(64):
            optimizer.zero_grad()
            loss(priors, *(tensor[held_back:][rows] for tensor in data)).backward()
            optimizer.step()
        with torch.inference_mode():
            left = loss(priors, *(tensor[:held_back] for tensor in data))
            print(f"epoch {epoch + 1}: held-back loss {left:.3f}", flush=True)
    save_bundle(args.out, net.eval(), start.tokenizer, start.image, start.about, precision="fp32")


def read(net: BTDNet, tokenizer: Tokenizer, args: argparse.Namespace) -> tuple[torch.Tensor, ...]:
    """First text stage [n, L, D], valid tokens [n, L]; target and alike, cells [n, h, w]."""
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
        tokens = tokenizer.encode(texts)
        stages = [
            net.text.stage(0, net.text.embed(ids), attention)
            for ids, attention in zip(tokens.ids.split(64), tokens.attention.split(64), strict=True)
        ]
    return torch.cat(stages).clone(), tokens.attention, torch.stack(inside), torch.stack(alike)


def cells(mask: np.ndarray) -> torch.Tensor:
    """Share of each cell of 4 x 4 pixels that a mask fills: the network's own measure of size."""
    return F.avg_pool2d(torch.from_numpy(mask).float()[None], 4)[0]


def loss(
    priors: torch.nn.ModuleList,
    words: torch.Tensor,
    valid: torch.Tensor,
    inside: torch.Tensor,
    alike: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of where, among the pixels of like objects, those meant lie.

    A constant would change nothing: the level is for the rest of the network to set.
    """
    place, size = (prior(words, valid) for prior in priors)
    logits = alike.clamp(min=1e-9).log() + weighted(place, place_terms(alike))
    logits = (logits + weighted(size, size_terms(torch.logit(alike, 1e-3)))).flatten(1)
    meant = inside.flatten(1)
    return F.cross_entropy(logits, meant / meant.sum(1, keepdim=True))


if __name__ == "__main__":
    main()
