"""Show how a shift of the presence log-odds trades false positives against missed pixels.

    python benchmarks/presence.py --instances ../shared/data/instances_train.json

Half of the samples are painted, half are of real training images, so that the validation images
stay unseen. `finish_model.py` applies the shift that you choose.
"""

import argparse
import math
from pathlib import Path

import torch
from markdown_table import format_score, print_header, print_row
from scoring import painted_samples
from torch import Tensor
from torch.nn.functional import softplus

from rrsis_geo.data.instances.coco import InstanceSource
from rrsis_geo.data.instances.referring import validation_samples
from rrsis_geo.data.sample import Sample, collate
from rrsis_geo.metrics import ScoreMeter
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.inputs import to_input

SEED = 30_000_001
SHIFTS = (1.0, 0.5, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="btdnet-lite")
    parser.add_argument("--instances", type=Path, required=True, help="COCO file")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--size", type=int, default=512, help="side of the samples, pixels")
    args = parser.parse_args()
    n_painted = args.samples // 2
    source = InstanceSource(args.instances)
    samples = validation_samples(source, args.samples - n_painted, SEED, args.size)
    samples += painted_samples(SEED, n_painted, args.size)
    meters = score_shifts(args.model, samples)
    print_header("shift", "mIoU", "gIoU", "N-acc", "false area")
    for shift, meter in meters.items():
        scores = meter.scores()
        shares = map(format_score, (scores.miou_present, scores.giou, scores.n_acc))
        print_row(f"{shift:+.1f}", *shares, format_score(scores.false_area_ppm, 0))


@torch.inference_mode()
def score_shifts(model: str, samples: list[Sample]) -> dict[float, ScoreMeter]:
    bundle = load_bundle(model)
    net = bundle.net.eval()
    meters = {shift: ScoreMeter() for shift in SHIFTS}
    for sample in samples:
        batch = collate([sample], bundle.tokenizer)
        output = net(to_input(batch.images, bundle.image), batch.tokens)
        if output.presence is None:
            raise SystemExit(f"{model} has no presence output")
        for shift, meter in meters.items():
            mask = shift_mask(output.logits[0].double(), output.presence[0].double(), shift)
            meter.add(mask.numpy(), sample.mask, ignored=sample.ignored, kind=sample.kind)
    return meters


def shift_mask(gated: Tensor, presence: Tensor, shift: float) -> Tensor:
    """The mask of gated log-odds [H, W] after a shift of the presence log-odds [].

    With the gated log-odds g, those of the pixel l, and those of presence r:
    softplus(-g) = softplus(-l) + softplus(-r). A shift of r therefore moves the threshold of g.
    """
    limit = math.log(2) + softplus(-presence) - softplus(-(presence + shift))
    return softplus(-gated) < limit


if __name__ == "__main__":
    main()
