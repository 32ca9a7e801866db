"""One optimizer step."""

import pytest
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from rrsis_geo.data.sample import Batch
from rrsis_geo.images import ImageSpec
from rrsis_geo.nets.base import ReferringNet, SegOutput
from rrsis_geo.text.batch import TextBatch
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.step import LossError, NetWithLoss, StepSettings, train_step

PLAIN = ImageSpec(mean=(0, 0, 0), std=(1, 1, 1))
TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red"], max_tokens=4)


class Threshold(ReferringNet):
    """The logits are proportional to the red channel."""

    def __init__(self) -> None:
        super().__init__(None)
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.log = False

    def encode_text(self, tokens: TextBatch) -> None:
        return None

    def segment(self, image: Tensor, words: None) -> SegOutput:
        red = image[:, 0].log() if self.log else image[:, 0]
        return SegOutput(self.weight * red, None, {})

    def loss(
        self, output: SegOutput, target: Tensor, ignored: Tensor | None = None
    ) -> dict[str, Tensor]:
        error = (output.logits.float() - target.float()).square()
        if ignored is not None:
            error = error[~ignored]
        error = error.mean()
        return {"total": error, "square": error}


def batch_of(images: Tensor) -> Batch:
    tokens = TOKENIZER.encode(["red"] * len(images))
    ids = tuple(f"sample {value}" for value in images[:, 0, 0, 0].tolist())
    return Batch(images, tokens, images[..., 0] > 127, ids)


def step(net: Threshold, batches: list[Batch], *, dtype=torch.float32, clip=1e9, lr=0.1):
    scaler = GradScaler("cpu", enabled=dtype == torch.float16)
    settings = StepSettings(
        optimizer=torch.optim.SGD(net.parameters(), lr=lr),
        scaler=scaler,
        image=PLAIN,
        clip_norm=clip,
        dtype=dtype,
    )
    return train_step(NetWithLoss(net), batches, settings), scaler


def images(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 255, (n, 8, 8, 3), generator=generator, dtype=torch.uint8)


def test_accumulated_batches_are_equal_to_one_large_batch():
    one_batch, three_batches = Threshold(), Threshold()
    pixels = images(6)
    expected, _ = step(one_batch, [batch_of(pixels)])
    losses, _ = step(three_batches, [batch_of(part) for part in pixels.split(2)])
    assert losses == pytest.approx(expected, rel=1e-5)
    assert one_batch.weight.item() != 2.0
    torch.testing.assert_close(three_batches.weight, one_batch.weight)


def test_zero_does_not_clip_the_gradient():
    free, clipped = Threshold(), Threshold()
    step(free, [batch_of(images(2))], clip=0, lr=1.0)
    step(clipped, [batch_of(images(2))], clip=1e9, lr=1.0)
    assert torch.equal(free.weight, clipped.weight)


def test_the_gradient_is_clipped():
    net = Threshold()
    step(net, [batch_of(images(2))], clip=0.01, lr=1.0)
    assert net.weight.item() == pytest.approx(1.99, abs=1e-5)


def test_a_loss_that_is_not_finite_names_its_samples_and_changes_no_weights():
    net, bad = Threshold(), images(2)
    bad[1, 3, 3, 0] = 0  # its logarithm is infinite
    net.log = True
    good = images(2, seed=1)
    with pytest.raises(LossError) as caught:
        step(net, [batch_of(good), batch_of(bad)])
    assert all(id_ in str(caught.value) for id_ in batch_of(bad).ids)
    assert not any(id_ in str(caught.value) for id_ in batch_of(good).ids)
    assert net.weight.item() == 2.0


def test_a_gradient_that_is_not_finite_has_its_own_message():
    net = Threshold()
    net.weight.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(LossError, match="the gradient is not finite"):
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


def test_ignored_pixels_reach_the_loss():
    batch = batch_of(images(2))
    ignored = torch.zeros_like(batch.masks)
    ignored[:, 4:] = True
    wrong = batch._replace(masks=batch.masks ^ ignored, ignored=ignored)
    losses, _ = step(Threshold(), [wrong])
    expected, _ = step(Threshold(), [batch._replace(ignored=ignored)])
    everywhere, _ = step(Threshold(), [batch])
    assert losses == expected
    assert losses["total"] != everywhere["total"]
