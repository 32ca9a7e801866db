"""Predictor: devices, dtypes, batches, and running out of memory."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_net
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.errors import ConfigError, DeviceError, InputError
from rrsis_geo.images import to_input
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.model.predictor import Predictor, choose_device, choose_dtype, has_bf16
from rrsis_geo.nets.base import SegOutput

CPU = torch.device("cpu")


def make_bundle(net: tiny_net.TinyNet | None = None) -> Bundle:
    net = net or tiny_net.make_net()
    spec, tokenizer = tiny_net.make_spec(), tiny_net.make_tokenizer()
    return Bundle("tiny", Path("tiny"), net, tokenizer, spec, {}, "0" * 64)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def test_equals_the_network(images: NDArray[np.uint8]) -> None:
    bundle = make_bundle()
    predictor = Predictor(bundle, "cpu", "fp32")
    result = predictor.predict(images, predictor.encode("the truck on the road"))
    tokens = bundle.tokenizer.encode(["the truck on the road"] * 5)
    with torch.inference_mode():
        expected = bundle.net(to_input(images, bundle.image), tokens)
    assert result.logits.shape == (5, 64, 64)
    assert result.logits.dtype == np.float32
    np.testing.assert_allclose(result.logits, expected.logits, rtol=1e-5, atol=1e-5)
    assert result.presence is not None
    assert result.presence.dtype == np.float32
    np.testing.assert_allclose(result.presence, expected.presence, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_short_batch_gives_what_a_full_one_does(images: NDArray[np.uint8], dtype: str) -> None:
    predictor = Predictor(make_bundle(), "cpu", dtype)
    words = predictor.encode("all buildings")
    full = predictor.predict(images, words)
    # in bf16 a sum may be rounded elsewhere when the batch is cut up: a unit in the last place
    tolerance = 1e-5 if dtype == "fp32" else 2**-7
    for count in (1, 2):
        part = predictor.predict(images[:count], words)
        np.testing.assert_allclose(part.logits, full.logits[:count], rtol=tolerance, atol=1e-2)


def test_bf16_is_near_fp32(images: NDArray[np.uint8]) -> None:
    results = []
    for dtype in ("fp32", "bf16"):
        predictor = Predictor(make_bundle(), "cpu", dtype)
        results.append(predictor.predict(images, predictor.encode("the road")).logits)
    assert np.abs(results[0] - results[1]).max() < 0.05 * np.abs(results[0]).max()
    assert not np.array_equal(*results)  # it did compute in bf16


def test_no_presence(images: NDArray[np.uint8]) -> None:
    predictor = Predictor(make_bundle(tiny_net.make_net(presence=False)), "cpu")
    assert predictor.predict(images, predictor.encode("the road")).presence is None


def test_neither_inputs_nor_gradients_are_kept(images: NDArray[np.uint8]) -> None:
    kept = images.copy()
    predictor = Predictor(make_bundle(), "cpu")
    words = predictor.encode("the road")
    assert not words.sentence.requires_grad
    result = predictor.predict(images, words)
    again = predictor.predict(images, words)
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(result.logits, again.logits)
    result.logits[:] = 0  # an array of the caller's own


def test_a_training_network_predicts_in_eval_mode(images: NDArray[np.uint8]) -> None:
    bundle = make_bundle()
    bundle.net.train()
    predictor = Predictor(bundle, "cpu", "fp32")
    before = {name: value.clone() for name, value in bundle.net.state_dict().items()}
    predictor.predict(images, predictor.encode("the road"))
    assert all(torch.equal(value, before[name]) for name, value in bundle.net.state_dict().items())


def test_bad_expression() -> None:
    with pytest.raises(InputError, match="empty"):
        Predictor(make_bundle(), "cpu").encode(" ")


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (64, 64, 3)])
def test_bad_images(shape: tuple[int, ...]) -> None:
    predictor = Predictor(make_bundle(), "cpu")
    with pytest.raises(ValueError, match="B > 0"):
        predictor.predict(np.zeros(shape, np.uint8), predictor.encode("the road"))


@pytest.mark.parametrize("limit", [None, 2])
def test_several_expressions_at_once_are_each_alone(
    images: NDArray[np.uint8], limit: int | None
) -> None:
    predictor = Predictor(make_bundle(), "cpu")
    predictor.batch_limit = limit
    words = [predictor.encode(text) for text in ("the road", "all buildings", "the truck")]
    said = predictor.predict_all(images, words)
    assert len(said) == 3
    for each, own in zip(said, words, strict=True):
        alone = predictor.predict(images, own)
        np.testing.assert_array_equal(each.logits, alone.logits)
        assert alone.presence is not None
        np.testing.assert_array_equal(each.presence, alone.presence)
    assert not np.array_equal(said[0].logits, said[1].logits)


def test_images_are_encoded_once_for_all_expressions(images: NDArray[np.uint8]) -> None:
    bundle = make_bundle()
    predictor = Predictor(bundle, "cpu")
    words = [predictor.encode(text) for text in ("the road", "all buildings")]
    with mock.patch.object(bundle.net, "encode_image", wraps=bundle.net.encode_image) as seen:
        predictor.predict_all(images, words)
    assert seen.call_count == 1


def test_an_expression_is_encoded_once_for_all_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle()
    predictor = Predictor(bundle, "cpu")
    monkeypatch.setattr("rrsis_geo.model.predictor.MOST_ENCODED", 2)
    with mock.patch.object(bundle.net, "encode_text", wraps=bundle.net.encode_text) as seen:
        for text in ("the road", "all buildings", "the road", "all buildings"):
            predictor.encode(text)
        assert seen.call_count == 2
        predictor.encode("the bus")
        assert len(predictor._encoded) == 1


class CrampedNet(tiny_net.TinyNet):
    """Runs out of memory above some number of images."""

    room = 2
    error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory.")

    def segment(self, image: Tensor, words: tiny_net.TinyWords) -> SegOutput:
        self.tried.append(len(image))
        if len(image) > self.room:
            raise self.error
        return super().segment(image, words)

    def __init__(self, config: tiny_net.TinyConfig) -> None:
        super().__init__(config)
        self.tried: list[int] = []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=str,
)
@pytest.mark.parametrize("presence", [True, False])
def test_out_of_memory_halves_the_batch_and_remembers(
    images: NDArray[np.uint8],
    error: RuntimeError,
    presence: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = CrampedNet(tiny_net.TinyConfig(presence=presence))
    net.error = error
    predictor = Predictor(make_bundle(net), "cpu", "fp32")
    words = predictor.encode("the road")
    assert predictor.batch_limit is None
    cramped = predictor.predict(images, words)
    assert net.tried == [5, 2, 2, 1]
    assert predictor.batch_limit == 2
    assert "too little memory for 5 windows" in caplog.text
    predictor.predict(images[:3], words)
    assert net.tried[4:] == [2, 1]
    net.room, predictor.batch_limit = 5, None
    roomy = predictor.predict(images, words)
    np.testing.assert_allclose(cramped.logits, roomy.logits, rtol=1e-5, atol=1e-5)
    assert (cramped.presence is not None) == presence
    if cramped.presence is not None and roomy.presence is not None:
        np.testing.assert_allclose(cramped.presence, roomy.presence, rtol=1e-5, atol=1e-5)


def test_each_image_with_an_expression_of_its_own(images: NDArray[np.uint8]) -> None:
    expressions = ["the truck", "all buildings", "the road", "the truck on the road", "the truck"]
    predictor = Predictor(make_bundle(), "cpu", "fp32")
    found = predictor.predict_pairs(images, expressions)
    assert found.presence is not None
    for index, expression in enumerate(expressions):
        alone = predictor.predict(images[index : index + 1], predictor.encode(expression))
        np.testing.assert_allclose(found.logits[index], alone.logits[0], rtol=1e-5, atol=1e-5)
        assert alone.presence is not None
        assert found.presence[index] == pytest.approx(alone.presence[0], rel=1e-5)
    with pytest.raises(ValueError, match="5 images, but 1 expressions"):
        predictor.predict_pairs(images, ["the truck"])


def test_each_image_keeps_its_expression_when_memory_is_short(images: NDArray[np.uint8]) -> None:
    expressions = ["the truck", "all buildings", "the road", "the truck on the road", "the truck"]
    net = CrampedNet(tiny_net.TinyConfig())
    net.error = torch.OutOfMemoryError("CUDA out of memory.")
    predictor = Predictor(make_bundle(net), "cpu", "fp32")
    cramped = predictor.predict_pairs(images, expressions)
    assert net.tried == [5, 2, 2, 1]
    net.room, predictor.batch_limit = 5, None
    roomy = predictor.predict_pairs(images, expressions)
    np.testing.assert_allclose(cramped.logits, roomy.logits, rtol=1e-5, atol=1e-5)


def test_no_room_for_a_single_window(images: NDArray[np.uint8]) -> None:
    net = CrampedNet(tiny_net.TinyConfig())
    net.room = 0
    predictor = Predictor(make_bundle(net), "cpu")
    with pytest.raises(DeviceError, match="too little free memory for one window of 64 px"):
        predictor.predict(images, predictor.encode("the road"))


def test_other_errors_are_not_taken_for_a_lack_of_memory(images: NDArray[np.uint8]) -> None:
    net = CrampedNet(tiny_net.TinyConfig())
    net.error = RuntimeError("shapes do not match")
    predictor = Predictor(make_bundle(net), "cpu")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predictor.predict(images, predictor.encode("the road"))


def test_values_that_are_no_numbers(images: NDArray[np.uint8]) -> None:
    net = tiny_net.make_net()
    with torch.no_grad():
        net.conv.bias.fill_(torch.inf)  # type: ignore[union-attr]
    predictor = Predictor(make_bundle(net), "cpu")
    with pytest.raises(DeviceError, match=r"no numbers .* use --dtype fp32"):
        predictor.predict(images, predictor.encode("the road"))


# --- devices and dtypes


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_cuda")
def test_device_without_cuda() -> None:
    assert choose_device("auto") == CPU
    for name in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=f"{name}: .* no CUDA device here"):
            choose_device(name)


def test_device_with_one_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0").index == 0
    assert choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match="finds only 1 CUDA device"):
        choose_device("cuda:1")


def test_no_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="mps"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "meta"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(ConfigError, match="device must be"):
        choose_device(name)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False, "cpu_name": "avx512_bf16"}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_dtype_follows_the_processor(
    features: dict[str, object], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert choose_dtype("auto", CPU) == expected


@pytest.mark.parametrize(("flags", "expected"), [("fpu amx_bf16 sse", True), ("fpu avx2", False)])
def test_processor_of_an_older_torch(
    flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert has_bf16(CPU) == expected


def test_asking_for_a_dtype(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert choose_dtype("fp32", CPU) == torch.float32
    assert not caplog.text
    assert choose_dtype("bf16", CPU) == torch.bfloat16
    assert "slower" in caplog.text
    with pytest.raises(ConfigError, match="dtype must be"):
        choose_dtype("int8", CPU)


@pytest.fixture
def _threads_put_back() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_threads_put_back")
def test_threads() -> None:
    Predictor(make_bundle(), "cpu", threads=1)
    assert torch.get_num_threads() == 1
    with pytest.raises(ConfigError, match="threads"):
        Predictor(make_bundle(), "cpu", threads=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_cuda_is_near_the_cpu(images: NDArray[np.uint8], dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    slow, quick = Predictor(make_bundle(), "cpu", "fp32"), Predictor(make_bundle(), "cuda", dtype)
    expected = slow.predict(images, slow.encode("the road")).logits
    found = quick.predict(images, quick.encode("the road")).logits
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
