"""Predictor: batches, too little memory, devices and dtypes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny_net
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.errors import ConfigError, DeviceError, InputError
from rrsis_geo.log_odds import to_probability
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import Predictor, choose_device, choose_dtype, has_bf16
from rrsis_geo.model.tensors import batch_for_memory
from rrsis_geo.nets.base import SegOutput

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def test_predict_equals_the_network(images: NDArray[np.uint8]) -> None:
    bundle = tiny_net.make_bundle()
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
def test_a_short_batch_equals_a_full_one(images: NDArray[np.uint8], dtype: str) -> None:
    predictor = Predictor(tiny_net.make_bundle(), "cpu", dtype)
    words = predictor.encode("all buildings")
    full = predictor.predict(images, words)
    # in bf16 the rounding of sums depends on the batch size: a unit in the last place
    tolerance = 1e-5 if dtype == "fp32" else 2**-7
    for count in (1, 2):
        part = predictor.predict(images[:count], words)
        np.testing.assert_allclose(part.logits, full.logits[:count], rtol=tolerance, atol=1e-2)


def test_bf16_is_close_to_fp32(images: NDArray[np.uint8]) -> None:
    results = []
    for dtype in ("fp32", "bf16"):
        predictor = Predictor(tiny_net.make_bundle(), "cpu", dtype)
        results.append(predictor.predict(images, predictor.encode("the road")).logits)
    assert np.abs(results[0] - results[1]).max() < 0.05 * np.abs(results[0]).max()
    assert not np.array_equal(*results)  # bf16 was used


def test_a_network_without_presence_head(images: NDArray[np.uint8]) -> None:
    predictor = Predictor(tiny_net.make_bundle(net=tiny_net.make_net(presence=False)), "cpu")
    assert predictor.predict(images, predictor.encode("the road")).presence is None


@pytest.mark.parametrize("estimates", [True, False])
def test_windows_below_the_threshold_of_presence_give_nothing(
    images: NDArray[np.uint8], estimates: bool
) -> None:
    bundle = tiny_net.make_bundle(net=tiny_net.make_net(presence=estimates))
    plain = Predictor(bundle, "cpu")
    before = plain.predict(images, plain.encode("the road"))
    # the stand-in for an estimate is the highest log-odds of a pixel
    score_B = before.presence if estimates else before.logits.max((1, 2))
    assert score_B is not None
    middle = to_probability(float(np.median(score_B)) - 1e-4)
    predictor = Predictor(bundle, "cpu", presence=middle)
    after = predictor.predict(images, predictor.encode("the road"))
    np.testing.assert_array_equal(after.presence, score_B)
    is_absent = score_B < np.median(score_B)
    assert is_absent.sum() == 2
    np.testing.assert_array_equal(after.logits[~is_absent], before.logits[~is_absent])
    np.testing.assert_array_equal(
        after.logits[is_absent], np.minimum(before.logits[is_absent], -6.0)
    )
    assert (predictor.facts.estimates_presence, predictor.facts.presence) == (estimates, middle)


def test_the_threshold_of_the_bundle_is_used_unless_another_is_given() -> None:
    bundle = replace(tiny_net.make_bundle(), presence=0.75)
    assert Predictor(bundle, "cpu").presence == 0.75
    assert Predictor(bundle, "cpu", presence=0.25).presence == 0.25
    with pytest.raises(ConfigError, match="presence must be between 0 and 1, got 1"):
        Predictor(bundle, "cpu", presence=1.0)


def test_predict_does_not_change_its_input_or_keep_gradients(images: NDArray[np.uint8]) -> None:
    original = images.copy()
    predictor = Predictor(tiny_net.make_bundle(), "cpu")
    words = predictor.encode("the road")
    assert not words.sentence.requires_grad
    result = predictor.predict(images, words)
    again = predictor.predict(images, words)
    np.testing.assert_array_equal(images, original)
    np.testing.assert_array_equal(result.logits, again.logits)
    result.logits[:] = 0  # the array belongs to the caller


def test_a_network_in_training_mode_predicts_in_eval_mode(images: NDArray[np.uint8]) -> None:
    bundle = tiny_net.make_bundle()
    bundle.net.train()
    predictor = Predictor(bundle, "cpu", "fp32")
    before = {name: value.clone() for name, value in bundle.net.state_dict().items()}
    predictor.predict(images, predictor.encode("the road"))
    assert all(torch.equal(value, before[name]) for name, value in bundle.net.state_dict().items())


def test_a_blank_expression_raises() -> None:
    with pytest.raises(InputError, match="empty"):
        Predictor(tiny_net.make_bundle(), "cpu").encode(" ")


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (64, 64, 3)])
def test_images_of_another_shape_raise(shape: tuple[int, ...]) -> None:
    predictor = Predictor(tiny_net.make_bundle(), "cpu")
    with pytest.raises(ValueError, match="B > 0"):
        predictor.predict(np.zeros(shape, np.uint8), predictor.encode("the road"))


@pytest.mark.parametrize("limit", [None, 2])
def test_several_expressions_equal_single_ones(
    images: NDArray[np.uint8], limit: int | None
) -> None:
    predictor = Predictor(tiny_net.make_bundle(), "cpu")
    predictor.batch_limit = limit
    words = [predictor.encode(text) for text in ("the road", "all buildings", "the truck")]
    outputs = predictor.predict_all(images, words)
    assert len(outputs) == 3
    for output, single_words in zip(outputs, words, strict=True):
        single = predictor.predict(images, single_words)
        np.testing.assert_array_equal(output.logits, single.logits)
        assert single.presence is not None
        np.testing.assert_array_equal(output.presence, single.presence)
    assert not np.array_equal(outputs[0].logits, outputs[1].logits)


def test_images_are_encoded_once_for_all_expressions(images: NDArray[np.uint8]) -> None:
    bundle = tiny_net.make_bundle()
    predictor = Predictor(bundle, "cpu")
    words = [predictor.encode(text) for text in ("the road", "all buildings")]
    with mock.patch.object(bundle.net, "encode_image", wraps=bundle.net.encode_image) as encode:
        predictor.predict_all(images, words)
    assert encode.call_count == 1


def test_an_expression_is_encoded_once_for_all_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_net.make_bundle()
    predictor = Predictor(bundle, "cpu")
    monkeypatch.setattr("rrsis_geo.model.predictor.MAX_CACHED_EXPRESSIONS", 2)
    with mock.patch.object(bundle.net, "encode_text", wraps=bundle.net.encode_text) as encode:
        for text in ("the road", "all buildings", "the road", "all buildings"):
            predictor.encode(text)
        assert encode.call_count == 2
        predictor.encode("the bus")  # the cache is full and is cleared
        predictor.encode("the bus")
        assert encode.call_count == 3
        predictor.encode("the road")
        assert encode.call_count == 4


class MemoryLimitedNet(tiny_net.TinyNet):
    """Raises an out-of-memory error for batches above a size."""

    max_batch = 2
    error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory.")

    def segment(self, image: Tensor, words: tiny_net.TinyWords) -> SegOutput:
        self.batch_sizes.append(len(image))
        if len(image) > self.max_batch:
            raise self.error
        return super().segment(image, words)

    def __init__(self, config: tiny_net.TinyConfig) -> None:
        super().__init__(config)
        self.batch_sizes: list[int] = []


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
def test_out_of_memory_halves_the_batch_for_later_calls_too(
    images: NDArray[np.uint8],
    error: RuntimeError,
    presence: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = MemoryLimitedNet(tiny_net.TinyConfig(presence=presence))
    net.error = error
    predictor = Predictor(tiny_net.make_bundle(net=net), "cpu", "fp32")
    words = predictor.encode("the road")
    assert predictor.batch_limit is None
    limited = predictor.predict(images, words)
    assert net.batch_sizes == [5, 2, 2, 1]
    assert predictor.batch_limit == 2
    assert "too little memory for a batch of 5 windows" in caplog.text
    predictor.predict(images[:3], words)
    assert net.batch_sizes[4:] == [2, 1]
    net.max_batch, predictor.batch_limit = 5, None
    full = predictor.predict(images, words)
    np.testing.assert_allclose(limited.logits, full.logits, rtol=1e-5, atol=1e-5)
    assert (limited.presence is not None) == presence
    if limited.presence is not None and full.presence is not None:
        np.testing.assert_allclose(limited.presence, full.presence, rtol=1e-5, atol=1e-5)


def test_pairs_equal_single_images(images: NDArray[np.uint8]) -> None:
    expressions = ["the truck", "all buildings", "the road", "the truck on the road", "the truck"]
    predictor = Predictor(tiny_net.make_bundle(), "cpu", "fp32")
    pairs = predictor.predict_pairs(images, expressions)
    assert pairs.presence is not None
    for index, expression in enumerate(expressions):
        single = predictor.predict(images[index : index + 1], predictor.encode(expression))
        np.testing.assert_allclose(pairs.logits[index], single.logits[0], rtol=1e-5, atol=1e-5)
        assert single.presence is not None
        assert pairs.presence[index] == pytest.approx(single.presence[0], rel=1e-5)
    with pytest.raises(ValueError, match="5 images but 1 expressions"):
        predictor.predict_pairs(images, ["the truck"])


def test_pairs_stay_together_when_the_batch_is_halved(images: NDArray[np.uint8]) -> None:
    expressions = ["the truck", "all buildings", "the road", "the truck on the road", "the truck"]
    net = MemoryLimitedNet(tiny_net.TinyConfig())
    net.error = torch.OutOfMemoryError("CUDA out of memory.")
    predictor = Predictor(tiny_net.make_bundle(net=net), "cpu", "fp32")
    limited = predictor.predict_pairs(images, expressions)
    assert net.batch_sizes == [5, 2, 2, 1]
    net.max_batch, predictor.batch_limit = 5, None
    full = predictor.predict_pairs(images, expressions)
    np.testing.assert_allclose(limited.logits, full.logits, rtol=1e-5, atol=1e-5)


def test_too_little_memory_for_one_window_raises(images: NDArray[np.uint8]) -> None:
    net = MemoryLimitedNet(tiny_net.TinyConfig())
    net.max_batch = 0
    predictor = Predictor(tiny_net.make_bundle(net=net), "cpu")
    with pytest.raises(DeviceError, match="too little free memory for one window of 64 px"):
        predictor.predict(images, predictor.encode("the road"))


def test_other_errors_are_not_treated_as_out_of_memory(images: NDArray[np.uint8]) -> None:
    net = MemoryLimitedNet(tiny_net.TinyConfig())
    net.error = RuntimeError("shapes do not match")
    predictor = Predictor(tiny_net.make_bundle(net=net), "cpu")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predictor.predict(images, predictor.encode("the road"))


def test_values_that_are_not_finite_raise(images: NDArray[np.uint8]) -> None:
    net = tiny_net.make_net()
    with torch.no_grad():
        net.conv.bias.fill_(torch.inf)  # type: ignore[union-attr]
    predictor = Predictor(tiny_net.make_bundle(net=net), "cpu")
    with pytest.raises(DeviceError, match=r"not finite .* use --dtype fp32"):
        predictor.predict(images, predictor.encode("the road"))


# --- devices and dtypes


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_cuda")
def test_devices_without_cuda() -> None:
    assert choose_device("auto") == CPU
    for name in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=f"{name}: .* finds no CUDA device"):
            choose_device(name)


def test_devices_with_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0").index == 0
    assert choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match="finds only 1 CUDA device"):
        choose_device("cuda:1")


def test_mps_not_available_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="mps"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "meta"])
def test_an_unknown_device_raises(name: str) -> None:
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
def test_auto_dtype_depends_on_the_cpu(
    features: dict[str, object], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert choose_dtype("auto", CPU) == expected


@pytest.mark.parametrize(("flags", "expected"), [("fpu amx_bf16 sse", True), ("fpu avx2", False)])
def test_cpu_features_with_an_older_torch(
    flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert has_bf16(CPU) == expected


def test_dtype_by_name(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert choose_dtype("fp32", CPU) == torch.float32
    assert not caplog.text
    assert choose_dtype("bf16", CPU) == torch.bfloat16
    assert "slower" in caplog.text
    with pytest.raises(ConfigError, match="dtype must be"):
        choose_dtype("int8", CPU)


@pytest.fixture
def _restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_restore_threads")
def test_threads() -> None:
    Predictor(tiny_net.make_bundle(), "cpu", threads=1)
    assert torch.get_num_threads() == 1
    with pytest.raises(ConfigError, match="threads"):
        Predictor(tiny_net.make_bundle(), "cpu", threads=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_cuda_is_close_to_the_cpu(images: NDArray[np.uint8], dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cpu, cuda = (
        Predictor(tiny_net.make_bundle(), "cpu", "fp32"),
        Predictor(tiny_net.make_bundle(), "cuda", dtype),
    )
    expected = cpu.predict(images, cpu.encode("the road")).logits
    logits = cuda.predict(images, cuda.encode("the road")).logits
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("free_gib", "size_px", "expected"),
    [(139, 512, 64), (24, 512, 48), (24, 1024, 16), (6, 512, 16), (139, 1024, 64)],
)
def test_default_batch_of_a_gpu(free_gib: int, size_px: int, expected: int) -> None:
    assert batch_for_memory(free_gib * 2**30, size_px) == expected


def test_outputs_on_the_device_are_those_of_predict(images: NDArray[np.uint8]) -> None:
    """Without a copy to NumPy, in batches that the memory is enough for."""
    predictor = Predictor(tiny_net.make_bundle(), "cpu", "fp32", presence=0.5)
    predictor.batch_limit = 2
    words = [predictor.encode(text) for text in ("the road", "all buildings")]
    on_device = predictor.predict_on_device(torch.from_numpy(images), words)
    for output, expected in zip(on_device, predictor.predict_all(images, words), strict=True):
        assert isinstance(output.logits, Tensor)
        np.testing.assert_array_equal(output.logits, expected.logits)
        np.testing.assert_array_equal(output.presence, expected.presence)
