"""Run a model on windows: NumPy in, NumPy out, or tensors of its device in and out.

Devices and dtypes are chosen here only.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrsis_geo.errors import ConfigError, DeviceError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.model.facts import ModelFacts
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.malloc import keep_freed_memory
from rrsis_geo.model.names import DTYPE_NAMES
from rrsis_geo.model.presence import WindowLogits, check_threshold
from rrsis_geo.model.tensors import (
    MIRROR_AXES,
    DeviceArrays,
    WindowTensors,
    average,
    concatenate,
    drop_absent,
    to_window_tensors,
)
from rrsis_geo.text.batch import TextBatch

logger = logging.getLogger(__name__)

MAX_CACHED_EXPRESSIONS = 256
"""Encoded expressions to keep. One of eleven words takes 48 kB with btdnet-lite."""
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, dtype) for name, dtype in DTYPE_NAMES.items()
}


class Predictor:
    """A model on a device.

    Attributes:
        bundle: the bundle. Its network is moved to the device, so use it in one predictor only.
        device: device of the network.
        dtype: data type of matrix products. Everything else, and the results, are float32.
        presence: windows in which the probability of the target is below this give nothing. None
            drops no window.
        tta: whether windows are also predicted mirrored.
        batch_limit: largest batch that fits into the memory of the device, None if every batch has
            fitted so far.
        arrays: where `predict_on_device` takes and leaves its tensors: on a GPU. None on a CPU,
            where NumPy blends the windows.
        default_batch: windows per batch that the memory of a GPU is enough for, else None.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        dtype: str = "auto",
        *,
        threads: int | None = None,
        presence: float | None = None,
        tta: bool = False,
    ) -> None:
        """Move the network of a bundle to a device.

        Args:
            bundle: from ``load_bundle``.
            device: "auto" (CUDA if available, else the CPU), "cpu", "cuda", "cuda:1", "mps".
            dtype: "auto" (bf16 if the device computes in it, else fp32), "fp32", "bf16", "fp16".
            threads: CPU threads of the whole process. None is torch's default.
            presence: threshold of presence, see `rrsis_geo.model.presence`. None is that of the
                bundle, if it has one.
            tta: also predict each window mirrored, and average the log-odds, at four times the
                cost.

        Raises:
            ConfigError: the name of the device or dtype is not valid, or the threshold; or ``tta``
                is asked of a network that reads words of sides, which a mirrored window makes
                wrong.
            DeviceError: this machine does not have the device, or its memory is too small.
        """
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        if threads is not None:
            if threads < 1:
                raise ConfigError(f"threads must be at least 1, got {threads}")
            torch.set_num_threads(threads)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.bundle = bundle
        self.presence = bundle.presence if presence is None else presence
        check_threshold(self.presence)
        if tta and bundle.language != "resolved":
            raise ConfigError(
                f'{bundle.name}: its network reads words of sides such as "left", which a mirrored '
                "window makes wrong; run it without --tta"
            )
        self.tta = tta
        self.batch_limit: int | None = None
        self._encoded: dict[str, Any] = {}
        try:
            self._net = bundle.net.eval().to(self.device)
            self._net.to(memory_format=torch.channels_last)
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            raise DeviceError(
                f"{self.device}: too little free memory for the model {bundle.name}; "
                "close other programs that use it, or use --device cpu"
            ) from err
        self.arrays = DeviceArrays(self.device) if self.device.type == "cuda" else None
        self.default_batch = self.arrays and self.arrays.default_batch(self.image.size_px)
        logger.info("%s runs on %s in %s", bundle.name, self.device, self.dtype)

    @property
    def facts(self) -> ModelFacts:
        """Name, image settings, weights, device and dtype."""
        return ModelFacts(
            name=self.bundle.name,
            image=self.bundle.image,
            sha256=self.bundle.sha256,
            device=str(self.device),
            dtype=dtype_name(self.dtype),
            language=self.bundle.language,
            about=self.bundle.about,
            estimates_presence=self.bundle.net.estimates_presence,
            presence=self.presence,
            calibration=self.bundle.calibration,
            tta=self.tta,
        )

    @property
    def image(self) -> ImageSpec:
        """Size, normalisation and ground pixel of the windows."""
        return self.bundle.image

    def encode(self, expression: str) -> Any:
        """Encode an expression for ``predict``.

        Recent expressions are cached, so that the next scene need not encode them again.

        Raises:
            InputError: the expression is blank or has no word that the model knows.
        """
        if expression not in self._encoded:
            tokens = self.bundle.tokenizer.encode([expression])
            with self._inference():
                words = self._net.encode_text(tokens.to(self.device))
            if len(self._encoded) >= MAX_CACHED_EXPRESSIONS:
                self._encoded.clear()
            self._encoded[expression] = words
        return self._encoded[expression]

    def cut_words(self, expression: str) -> str:
        """End of the expression that the model does not read because it is too long, else ""."""
        return self.bundle.tokenizer.cut_words(expression)

    def predict(self, images: NDArray[np.uint8], words: Any) -> WindowLogits:
        """Predict windows for one expression.

        If the memory of the device is too small for the batch, the batch is halved until it fits.
        Later calls use the smaller size.

        Args:
            images: uint8 RGB [B, S, S, 3], B at least 1.
            words: from ``encode`` of this predictor.

        Raises:
            DeviceError: the memory is too small for a single window, or the values are not finite.
        """
        return self.predict_all(images, [words])[0]

    def predict_all(self, images: NDArray[np.uint8], words: Sequence[Any]) -> list[WindowLogits]:
        """Predict windows for several expressions.

        Images are moved to the device and encoded once for all expressions. Then the expressions
        run one after the other, so that they need no more memory than one.

        Args:
            images: uint8 RGB [B, S, S, 3], B at least 1.
            words: results of ``encode``, one per expression.

        Returns:
            The result of :meth:`predict` for each expression.

        Raises:
            DeviceError: see :meth:`predict`.
        """
        return self._to_host(self._run(images, lambda part: words))

    def predict_on_device(self, images: Tensor, words: Sequence[Any]) -> list[WindowTensors]:
        """Predict windows for several expressions, without waiting for the device.

        Args:
            images: uint8 RGB [B, S, S, 3] on the device, B at least 1.
            words: results of ``encode``, one per expression.

        Returns:
            The outputs of each expression. It is not checked whether they are finite.

        Raises:
            DeviceError: the memory is too small for a single window.
        """
        return self._run(images, lambda part: words)

    def predict_pairs(self, images: NDArray[np.uint8], expressions: Sequence[str]) -> WindowLogits:
        """Predict images, each with its own expression.

        Args:
            images: uint8 RGB [B, S, S, 3], B at least 1.
            expressions: B expressions.

        Raises:
            InputError: an expression is blank or has no word that the model knows.
            DeviceError: see :meth:`predict`.
        """
        if len(images) != len(expressions):
            raise ValueError(f"got {len(images)} images but {len(expressions)} expressions")
        tokens = self.bundle.tokenizer.encode(expressions).to(self.device)

        def words_of(part: slice) -> Any:
            with self._inference():
                return self._net.encode_text(TextBatch(*(field[part] for field in tokens)))

        return self._to_host(self._run(images, lambda part: [words_of(part)]))[0]

    def _run(
        self, images: NDArray[np.uint8] | Tensor, words_of: Callable[[slice], Sequence[Any]]
    ) -> list[WindowTensors]:
        """Predict batches that are as large as the memory allows.

        Args:
            images: uint8 RGB [B, S, S, 3].
            words_of: gives the words of each expression for a slice of the images.
        """
        if images.ndim != 4 or not len(images):
            raise ValueError(f"expected [B, S, S, 3] with B > 0, got {tuple(images.shape)}")
        parts: list[list[WindowTensors]] = []
        start = 0
        while start < len(images):
            count = min(self.batch_limit or len(images), len(images) - start)
            rows = slice(start, start + count)
            part = self._try_batch(images[rows], words_of(rows))
            if part is None:
                self._halve_batch(count)
            else:
                parts.append(part)
                start += count
        if len(parts) == 1:
            return parts[0]
        return [concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _try_batch(
        self, images: NDArray[np.uint8] | Tensor, words: Sequence[Any]
    ) -> list[WindowTensors] | None:
        """Predict one batch for each expression. Return None if the memory is too small."""
        try:
            with self._inference():
                pixels = to_input(images, self.image, self.device)
                views = [
                    self._predict_view(pixels, words, axes)
                    for axes in (MIRROR_AXES if self.tta else MIRROR_AXES[:1])
                ]
                outputs = [average(each) for each in zip(*views, strict=True)]
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            return None  # leave the block first: the error keeps the tensors of its frames alive
        if self.presence is None:
            return outputs
        return [drop_absent(output, self.presence) for output in outputs]

    def _predict_view(
        self, pixels: Tensor, words: Sequence[Any], axes: tuple[int, ...]
    ) -> list[WindowTensors]:
        """Predict mirrored windows for each expression, and mirror the log-odds back.

        Args:
            pixels: normalised images [B, 3, S, S].
            words: of each expression.
            axes: what is mirrored, counted from the last axis.
        """
        encoded = self._net.encode_image(pixels.flip(axes) if axes else pixels)
        outputs = [to_window_tensors(self._net.segment(encoded, each)) for each in words]
        if not axes:
            return outputs
        return [output._replace(logits=output.logits.flip(axes)) for output in outputs]

    def _to_host(self, outputs: Sequence[WindowTensors]) -> list[WindowLogits]:
        """Copy outputs from the device.

        Raises:
            DeviceError: they are not finite.
        """
        arrays = [
            WindowLogits(_to_numpy(logits), None if presence is None else _to_numpy(presence))
            for logits, presence in outputs
        ]
        if not all(np.isfinite(output.logits).all() for output in arrays):
            raise DeviceError(
                f"the model {self.bundle.name} gave values that are not finite in {self.dtype} "
                f"on {self.device}; use --dtype fp32"
            )
        return arrays

    def _halve_batch(self, count: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if count == 1:
            raise DeviceError(
                f"{self.device}: too little free memory for one window of {self.image.size_px} px; "
                "close other programs that use it, or use --device cpu"
            )
        self.batch_limit = count // 2
        logger.warning(
            "%s: too little memory for a batch of %d windows; continuing with %d",
            self.device,
            count,
            self.batch_limit,
        )

    @contextmanager
    def _inference(self) -> Iterator[None]:
        enabled = self.dtype != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, self.dtype, enabled=enabled),
        ):
            yield


@contextmanager
def restore_threads() -> Iterator[None]:
    """Put back the CPU threads of the process, which `Predictor` may change."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def choose_device(name: str) -> torch.device:
    """Return the device with a name. "auto" is CUDA if available, else the CPU.

    "auto" never chooses "mps", because results on it are not tested.

    Raises:
        ConfigError: the name is not valid.
        DeviceError: this machine or this build of torch does not have the device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise ConfigError(f'device must be "auto", "cpu", "cuda", "cuda:N" or "mps", got "{name}"')
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            devices = "no CUDA device" if not count else f"only {count} CUDA device(s)"
            raise DeviceError(
                f"{name}: torch {torch.__version__} finds {devices}; check nvidia-smi and that "
                "torch is a CUDA build, or choose the device cpu"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            "mps: not available on this machine or in this build of torch; choose the device cpu"
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype with a name. "auto" is bf16 if the device computes in it, else fp32.

    Raises:
        ConfigError: the name is not valid.
    """
    if name == "auto":
        return torch.bfloat16 if has_bf16(device) else torch.float32
    if name not in DTYPES:
        raise ConfigError(f'dtype must be "auto", {", ".join(DTYPES)}, got "{name}"')
    if name == "bf16" and not has_bf16(device):
        logger.warning("%s has no bf16 arithmetic: bf16 will be slower than fp32", device)
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype without its module, such as "float32"."""
    return str(dtype).removeprefix("torch.")


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 and does not emulate it in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_cpu_features() & {"avx512_bf16", "amx_bf16"})


def _cpu_features() -> set[str]:
    """Instruction sets of the CPU as reported by torch or by the system."""
    if hasattr(torch.cpu, "get_capabilities"):  # recent torch, any system
        return {name for name, has in torch.cpu.get_capabilities().items() if has is True}
    try:  # older torch on Linux
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(flags[1].split()) if flags else set()


def _to_numpy(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.cpu().numpy()
    return array


def is_out_of_memory(err: RuntimeError) -> bool:
    """Whether an error means too little memory. cuBLAS, cuDNN and the CPU only say so in text."""
    return isinstance(err, torch.OutOfMemoryError) or bool(
        re.search(r"out of memory|_STATUS_ALLOC_FAILED|can't allocate memory", str(err))
    )
