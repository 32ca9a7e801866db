"""A step of training, and scores of a network."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from rrsis_geo.data.sample import Batch, Sample
from rrsis_geo.images import ImageSpec
from rrsis_geo.nets.base import ReferringNet, SegOutput
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.loop import LossError, WithLoss, find_masks, score_net, train_step

PLAIN = ImageSpec(mean=(0, 0, 0), std=(1, 1, 1))
TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red"], max_tokens=4)


class Threshold(ReferringNet):
    """Target is where red is high."""

    def __init__(self) -> None:
        super().__init__(None)
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.log = False

    def encode_text(self, tokens: TextBatch) -> None:
        return None

    def segment(self, image: Tensor, words: None) -> SegOutput:
        red = image[:, 0].log() if self.log else image[:, 0]
        return SegOutput(self.weight * red, None, {})

    def loss(self, output: SegOutput, target: Tensor) -> dict[str, Tensor]:
        error = (output.logits.float() - target.float()).square().mean()
        return {"total": error, "square": error}


def batch_of(images: Tensor) -> Batch:
    tokens = TOKENIZER.encode(["red"] * len(images))
    ids = tuple(f"sample {value}" for value in images[:, 0, 0, 0].tolist())
    return Batch(images, tokens, images[..., 0] > 127, ids)


def step(net: Threshold, batches: list[Batch], *, dtype=torch.float32, clip=1e9, lr=0.1):
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    scaler = GradScaler("cpu", enabled=dtype == torch.float16)
    model = WithLoss(net)
    parts = train_step(model, batches, optimizer, scaler, PLAIN, clip_norm=clip, dtype=dtype)
    return parts, scaler


def images(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 255, (n, 8, 8, 3), generator=generator, dtype=torch.uint8)


def test_batches_of_a_step_count_as_one_large_batch():
    whole, apart = Threshold(), Threshold()
    pixels = images(6)
    told, _ = step(whole, [batch_of(pixels)])
    told_apart, _ = step(apart, [batch_of(part) for part in pixels.split(2)])
    assert told_apart == pytest.approx(told, rel=1e-5)
    assert whole.weight.item() != 2.0
    torch.testing.assert_close(apart.weight, whole.weight)


def test_the_gradient_is_clipped():
    net = Threshold()
    step(net, [batch_of(images(2))], clip=0.01, lr=1.0)
    assert net.weight.item() == pytest.approx(1.99, abs=1e-5)


def test_a_loss_that_is_no_number_names_its_samples_and_changes_nothing():
    net, bad = Threshold(), images(2)
    bad[1, 3, 3, 0] = 0  # the network's logarithm of it has no number
    net.log = True
    good = images(2, seed=1)
    with pytest.raises(LossError) as caught:
        step(net, [batch_of(good), batch_of(bad)])
    assert all(id_ in str(caught.value) for id_ in batch_of(bad).ids)
    assert not any(id_ in str(caught.value) for id_ in batch_of(good).ids)
    assert net.weight.item() == 2.0


def test_a_gradient_that_is_no_number_is_told_apart():
    net = Threshold()
    net.weight.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(LossError, match="gradient"):
        step(net, [batch_of(images(2))])
    assert net.weight.item() == 2.0


def test_fp16_skips_a_step_whose_gradients_overflow_and_lowers_its_scale():
    net = Threshold()
    hook = net.weight.register_hook(lambda grad: grad * torch.inf)
    _, scaler = step(net, [batch_of(images(2))], dtype=torch.float16)
    assert net.weight.item() == 2.0
    assert scaler.get_scale() == 65536 / 2
    hook.remove()
    step(net, [batch_of(images(2))], dtype=torch.float16)
    assert net.weight.item() < 2.0


def sample(value: int, size: int) -> Sample:
    image = np.zeros((size, size, 3), np.uint8)
    image[: size // 2, :, 0] = value
    mask = np.zeros((size, size), bool)
    mask[:, : size // 2] = True
    return Sample(image, "red", mask, kind="colour", category="car")


def test_scores_do_not_depend_on_how_samples_are_grouped():
    spec = ImageSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    net = Threshold().train()
    samples = [sample(255, size) for size in (32, 32, 64, 32)] + [sample(0, 32)]
    alone, together = (
        score_net(net, samples, TOKENIZER, spec, dtype=torch.float32, batch_size=size)
        for size in (1, 8)
    )
    assert alone == together
    assert alone.n == 5
    # a quarter of the image of three quarters, four times; then nothing of a half
    assert alone.miou == pytest.approx(4 / 3 / 5)
    assert set(alone.by_kind) == {"colour"}
    assert net.training
    found = find_masks(net, samples[:2], TOKENIZER, spec, dtype=torch.float32)
    assert found.shape == (2, 32, 32)
    assert found[0, :16].all()
    assert not found[0, 16:].any()
