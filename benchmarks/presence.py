"""What a shift of the presence log-odds of a bundle trades: silence where nothing is, against loss.

    python benchmarks/presence.py --instances ../shared/data/instances_train.json

Samples are of images that the model was trained on, so that the held-back ones stay unseen, and of
painted scenes; each counts half.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.instances.stream import painted_sample
from rrsis_geo.data.sample import Sample, collate
from rrsis_geo.images import to_input
from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.model.bundle import load_bundle

SEED = 30_000_001
SHIFTS = (1.0, 0.5, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    args = parser.parse_args()
    show(args.model, samples_of(args.instances, args.samples, args.size))


def samples_of(instances: Path, n: int, size_px: int) -> list[Sample]:
    """Half of them real, half painted."""
    real = validation_samples(InstanceSource(instances), n - n // 2, SEED, size_px)
    rngs = (np.random.default_rng([SEED, i]) for i in range(n // 2))
    return real + [painted_sample(rng, size_px, (0.12, 0.5)) for rng in rngs]


@torch.inference_mode()
def show(model: str, samples: list[Sample]) -> None:
    """Print a table in Markdown: a row a shift."""
    bundle = load_bundle(model)
    net = bundle.net.eval()
    meters = {shift: ScoreMeter() for shift in SHIFTS}
    for sample in samples:
        batch = collate([sample], bundle.tokenizer)
        output = net(to_input(batch.images, bundle.image), batch.tokens)
        if output.presence is None:
            raise SystemExit(f"{model} has no presence output")
        for shift, meter in meters.items():
            found = answer(output.logits[0].double(), output.presence[0].double(), shift)
            meter.add(found.numpy(), sample.mask, kind=sample.kind)
    print("| shift | mIoU | gIoU | N-acc | false area |\n|---|---|---|---|---|")
    for shift, meter in meters.items():
        s = meter.scores()
        cells = f"{s.miou_present:.3f} | {s.giou:.3f} | {s.n_acc:.3f} | {s.false_area_ppm:.0f}"
        print(f"| {shift:+.1f} | {cells} |")


def answer(gated: Tensor, presence: Tensor, shift: float) -> Tensor:
    """The mask that the gated log-odds [H, W] would be, had presence [] been shifted.

    With g the gated log-odds and l those of the pixel, softplus(-g) = softplus(-l) + softplus(-r):
    the shift moves the threshold of g.
    """
    least = math.log(2) + softplus(-presence) - softplus(-(presence + shift))
    return softplus(-gated) < least


if __name__ == "__main__":
    main()
