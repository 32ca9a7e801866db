"""Fit btdnet-lite's priors of place and order alone, on what the rest of the network sees.

    python benchmarks/fit_priors.py START OUT --instances ../shared/data/instances_train.json

Of crops that show several objects of a category, START says once which pixels might be meant, its
priors left out; only the priors are then fitted to these log-odds, through the first text stage. In
whole training their gradient is a small part of the whole, and comes only with the samples that
speak of places and sizes. What START lacks of the priors begins afresh.
"""

import argparse
import dataclasses
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrsis_geo.config import to_dict
from rrsis_geo.data.expressions.writer import write_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ReferringInstances
from rrsis_geo.images import ImageSpec, to_input
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.nets import ReferringNet, build_net
from rrsis_geo.nets.losses import binary_cross_entropy, dice
from rrsis_geo.nets.priors import prior_logits
from rrsis_geo.text.tokenizer import Tokenizer

KINDS = {"category": 0.1, "colour": 0.05, "size": 0.3, "position": 0.4, "combination": 0.15}
EXPRESSIONS = 4
"""About each crop."""
ORDER = re.compile(r"most\b|est\b|\bfar\b")
PLAIN_SHARE = 0.5
"""Share of the expressions without a word of order that are kept: those with one are rare."""
BATCH = 32
RATE = 3e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("out", type=Path)
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=2400)
    parser.add_argument("--size", type=int, default=512, help="side of the crops, pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    start = load_bundle(args.start)
    config = dataclasses.replace(start.net.config, place_prior=True, order_prior=True)
    net = build_net(start.net.name, to_dict(config)).eval()
    net.load_state_dict(start.net.state_dict(), strict=False)
    priors = torch.nn.ModuleList([net.decoder.place_prior, net.decoder.order_prior])
    data = look(net, start.tokenizer, start.image, args)
    held_back = len(data[0]) // 10
    optimizer = torch.optim.AdamW(priors.parameters(), lr=RATE, weight_decay=1e-2)
    for epoch in range(args.epochs):
        optimizer.param_groups[0]["lr"] = RATE * (1 - epoch / args.epochs)
        for rows in torch.randperm(len(data[0]) - held_back).split(BATCH):
            optimizer.zero_grad()
            loss(priors, *(tensor[held_back:][rows] for tensor in data)).backward()
            optimizer.step()
        with torch.inference_mode():
            left = loss(priors, *(tensor[:held_back] for tensor in data))
            print(f"epoch {epoch + 1}: held-back loss {left:.3f}", flush=True)
    save_bundle(args.out, net, start.tokenizer, start.image, start.about, precision="fp32")


@torch.inference_mode()
def look(
    net: ReferringNet, tokenizer: Tokenizer, spec: ImageSpec, args: argparse.Namespace
) -> tuple[Tensor, ...]:
    """First text stage [n, L, D], valid tokens [n, L]; log-odds and share of target, [n, h, w]."""
    referring = ReferringInstances(InstanceSource(args.instances), args.size)
    rng = np.random.default_rng(args.seed)
    texts, seen, inside = [], [], []
    net.decoder.register_forward_hook(
        lambda module, inputs, output: seen.append((output[0][:, 0] - output[0][:, 1]) / 2)
    )
    while len(texts) < args.samples:
        found = referring.contrast(rng)
        if found is None:
            continue
        crop, category = found
        pixels = None
        for kind in rng.choice(list(KINDS), EXPRESSIONS, p=list(KINDS.values())):
            written = write_expression(crop, rng, kind, category=category)
            if written is None:
                continue
            if rng.random() > PLAIN_SHARE and not ORDER.search(written.expression):
                continue
            texts.append(written.expression)
            inside.append(F.avg_pool2d(torch.from_numpy(written.mask).float()[None], 2)[0])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if pixels is None:
                    pixels = net.encode_image(to_input(crop.image.copy(), spec))
                words = net.encode_text(tokenizer.encode(texts[-1:]))
                net.segment(pixels, words._replace(place=None, order=None))
    tokens = tokenizer.encode(texts)
    stages = [
        net.text.stage(0, net.text.embed(ids), attention)
        for ids, attention in zip(tokens.ids.split(64), tokens.attention.split(64), strict=True)
    ]
    # cloned: what inference mode made cannot be learned from
    return torch.cat(stages).clone(), tokens.attention, torch.cat(seen).clone(), torch.stack(inside)


def loss(
    priors: torch.nn.ModuleList, words: Tensor, valid: Tensor, logits: Tensor, inside: Tensor
) -> Tensor:
    """That of the masks in whole training."""
    logits = logits.float() + prior_logits(
        logits.float(), *(prior(words, valid) for prior in priors)
    )
    return 1.6 * binary_cross_entropy(logits, inside) + dice(logits, inside)


if __name__ == "__main__":
    main()
