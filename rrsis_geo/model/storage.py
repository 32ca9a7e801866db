"""Convert the tensors of a network to the precision that bundles store, and back.

"fp32" stores float32. "fp16" stores matrices and filters in float16 and keeps vectors (norm
statistics, biases) in float32, because they are small and may have tiny or large values. "int8"
stores each large matrix as int8 with one scale per row, symmetric about zero, and the rest as
"fp16" does. After loading, all are float32 again.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from rrsis_geo.errors import ModelError
from rrsis_geo.model.names import Precision
from rrsis_geo.nets.base import ReferringNet

_SCALE = "::scale"
_INT8_MIN_ELEMENTS = 65536
"""Smaller tensors stay in float16: int8 would save little and round more."""
_FP16_MAX = torch.finfo(torch.float16).max


def stored_state(net: ReferringNet, precision: Precision) -> dict[str, Tensor]:
    """Tensors of a network as a bundle stores them, on the CPU, with memory of their own.

    Parts that only training needs are left out. The scales of a quantised tensor, float32 [rows],
    are stored under its name plus ``::scale``.

    Raises:
        ModelError: a tensor has values that are not finite.
    """
    stored: dict[str, Tensor] = {}
    for name, value in _inference_state(net).items():
        tensor = value.detach().cpu().contiguous().clone()
        if not tensor.is_floating_point():
            stored[name] = tensor
            continue
        if not tensor.isfinite().all():
            raise ModelError(f"{name} has values that are not finite: the training has diverged")
        is_matrix = tensor.ndim >= 2
        if precision == "int8" and is_matrix and tensor.numel() >= _INT8_MIN_ELEMENTS:
            stored[name], stored[name + _SCALE] = _quantise(tensor.float())
        elif precision == "fp32" or not is_matrix or tensor.abs().max() > _FP16_MAX:
            stored[name] = tensor.float()
        else:
            stored[name] = tensor.half()
    return stored


def fitting_state(net: ReferringNet, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored tensors in float32, if they are those of a network. Training-only parts are missing.

    Args:
        net: the network. It may be on the device "meta".
        tensors: as stored.

    Raises:
        ModelError: tensors are missing or unknown, have another shape or kind, or are not finite.
    """
    stored = dict(_dequantise(tensors))
    expected = _inference_state(net)
    faults = [f"{name} is missing" for name in sorted(expected.keys() - stored.keys())]
    faults += [f"{name} is unknown" for name in sorted(stored.keys() - expected.keys())]
    for name in sorted(expected.keys() & stored.keys()):
        new, old = stored[name], expected[name]
        if new.shape != old.shape:
            faults.append(f"{name} is {list(new.shape)} and not {list(old.shape)}")
        elif new.is_floating_point() != old.is_floating_point():
            faults.append(f"{name} is {new.dtype} and not {old.dtype}")
        elif not new.isfinite().all():
            faults.append(f"{name} has values that are not finite")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(
            f"does not fit the network in model.json: {'; '.join(faults[:3])}{more}; "
            "weights and settings are of different versions"
        )
    return stored


def _inference_state(net: ReferringNet) -> dict[str, Tensor]:
    state = net.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(net.training_only)}


def _quantise(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """float32 [rows, ...] -> int8 of the same shape, and scales float32 [rows]."""
    scale = tensor.flatten(1).abs().amax(1) / 127
    divisor = scale.clamp_min(torch.finfo(torch.float32).tiny)  # a row of zeros stays zero
    return (tensor / _per_row(divisor, tensor)).round().clamp(-127, 127).to(torch.int8), scale


def _dequantise(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        scale = tensors.get(name + _SCALE)
        if scale is not None and value.ndim and scale.shape == value.shape[:1]:
            yield name, value.float() * _per_row(scale.float(), value)
        else:
            yield name, value.float() if value.is_floating_point() else value


def _per_row(values: Tensor, tensor: Tensor) -> Tensor:
    """[rows] -> [rows, 1, ...], to broadcast with a tensor [rows, ...]."""
    return values.view(-1, *[1] * (tensor.ndim - 1))
