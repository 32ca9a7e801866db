"""Fit only the place and order priors of btdnet-lite, to the log-odds of the rest of the network.

    python benchmarks/fit_priors.py START OUT --instances ../shared/data/instances_train.json

Predicts crops that show several objects of a category once with START, without its priors, and
then fits the priors to these log-odds through the first text stage. In ordinary training the
gradient of the priors is small, and only samples with words of place or size contribute to it.
Priors that START does not have begin with fresh weights.
"""

import argparse
import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrsis_geo.config import to_dict
from rrsis_geo.data.expressions.writer import write_expression
from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import ReferringInstances
from rrsis_geo.images import to_input
from rrsis_geo.model.bundle import Bundle, load_bundle, save_bundle
from rrsis_geo.nets import ReferringNet, build_net
from rrsis_geo.nets.losses import binary_cross_entropy, dice
from rrsis_geo.nets.priors import prior_logits

KINDS = {"category": 0.1, "colour": 0.05, "size": 0.3, "position": 0.4, "combination": 0.15}
EXPRESSIONS_PER_CROP = 4
ORDER = re.compile(r"most\b|est\b|\bfar\b")
UNORDERED_SHARE = 0.5
"""Share kept of the expressions without a word of order, because those with one are rare."""
BATCH_SIZE = 32
LEARNING_RATE = 3e-3


class FitData(NamedTuple):
    """Inputs of the priors, and what they are fitted to, for n expressions.

    Attributes:
        words: output of the first text stage, [n, L, D].
        attention: valid tokens, bool [n, L].
        logits: log-odds of the network without its priors, [n, h, w].
        target: share of each pixel that is target, [n, h, w].
    """

    words: Tensor
    attention: Tensor
    logits: Tensor
    target: Tensor

    def rows(self, index: slice | Tensor) -> "FitData":
        return FitData(*(tensor[index] for tensor in self))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", help="bundle to start from")
    parser.add_argument("out", type=Path, help="folder of the new bundle")
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
    data = predict_crops(net, start, args)
    n_held_back = len(data.words) // 10
    train, held_back = data.rows(slice(n_held_back, None)), data.rows(slice(n_held_back))
    optimizer = torch.optim.AdamW(priors.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    for epoch in range(args.epochs):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - epoch / args.epochs)
        for index in torch.randperm(len(train.words)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss(priors, train.rows(index)).backward()
            optimizer.step()
        with torch.inference_mode():
            print(f"epoch {epoch + 1}: held-back loss {loss(priors, held_back):.3f}", flush=True)
    save_bundle(dataclasses.replace(start, path=args.out, net=net), precision="fp32")


@torch.inference_mode()
def predict_crops(net: ReferringNet, start: Bundle, args: argparse.Namespace) -> FitData:
    """Draw crops and expressions, and predict them without the priors."""
    referring = ReferringInstances(InstanceSource(args.instances), args.size)
    rng = np.random.default_rng(args.seed)
    expressions, logits, targets = [], [], []
    net.decoder.register_forward_hook(
        lambda module, inputs, output: logits.append((output[0][:, 0] - output[0][:, 1]) / 2)
    )
    while len(expressions) < args.samples:
        contrast = referring.draw_contrast_crop(rng)
        if contrast is None:
            continue
        crop, category = contrast
        pixels = None
        for kind in rng.choice(list(KINDS), EXPRESSIONS_PER_CROP, p=list(KINDS.values())):
            written = write_expression(crop, rng, kind, category=category)
            if written is None:
                continue
            if rng.random() > UNORDERED_SHARE and not ORDER.search(written.expression):
                continue
            expressions.append(written.expression)
            targets.append(F.avg_pool2d(torch.from_numpy(written.mask).float()[None], 2)[0])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if pixels is None:
                    pixels = net.encode_image(to_input(crop.image.copy(), start.image))
                words = net.encode_text(start.tokenizer.encode(expressions[-1:]))
                net.segment(pixels, words._replace(place=None, order=None))
    tokens = start.tokenizer.encode(expressions)
    stages = [
        net.text.stage(0, net.text.embed(ids), attention)
        for ids, attention in zip(tokens.ids.split(64), tokens.attention.split(64), strict=True)
    ]
    # Clone: tensors made in inference mode cannot be used in training.
    words, logits = torch.cat(stages).clone(), torch.cat(logits).clone()
    return FitData(words, tokens.attention, logits, torch.stack(targets))


def loss(priors: torch.nn.ModuleList, data: FitData) -> Tensor:
    """The mask loss of ordinary training."""
    logits = data.logits.float()
    place, order = (prior(data.words, data.attention) for prior in priors)
    logits = logits + prior_logits(logits, place, order)
    return 1.6 * binary_cross_entropy(logits, data.target) + dice(logits, data.target)


if __name__ == "__main__":
    main()
