"""A network's tensors in the form that bundles store, and back.

Three precisions. "fp32" stores what there is. "fp16" halves matrices and filters, and keeps vectors
(norm statistics, biases), which are small and may be tiny or large in value. "int8" stores each
large matrix as integers with one scale a row, symmetric about zero, and the rest as "fp16" does; on
loading, all are float32 again.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from rrsis_geo.errors import ModelError
from rrsis_geo.nets.base import ReferringNet

Precision = Literal["int8", "fp16", "fp32"]

_SCALE = "::scale"
_INT8_MIN_ELEMENTS = 65536
"""Smaller tensors gain too little from int8 to be worth its rounding."""
_FP16_MAX = torch.finfo(torch.float16).max


def stored_state(net: ReferringNet, precision: Precision) -> dict[str, Tensor]:
    """The tensors to store, on the CPU, each with memory of its own.

    Parts that only training needs are left out. A quantised tensor comes with its scales, float32
    [rows], under its name and ``::scale``.

    Raises:
        ModelError: a tensor holds values that are not finite.
    """
    stored: dict[str, Tensor] = {}
    for name, value in _inference_state(net).items():
        tensor = value.detach().cpu().contiguous().clone()
        if not tensor.is_floating_point():
            stored[name] = tensor
            continue
        if not tensor.isfinite().all():
            raise ModelError(f"{name} holds values that are not finite: the training has diverged")
        matrix = tensor.ndim >= 2
        if precision == "int8" and matrix and tensor.numel() >= _INT8_MIN_ELEMENTS:
            stored[name], stored[name + _SCALE] = _quantised(tensor.float())
        elif precision == "fp32" or not matrix or tensor.abs().max() > _FP16_MAX:
            stored[name] = tensor.float()
        else:
            stored[name] = tensor.half()
    return stored


def fill(net: ReferringNet, tensors: Mapping[str, Tensor]) -> None:
    """Put stored tensors into a network, in place.

    Raises:
        ModelError: the tensors are not those of the network: missing, unknown, of another shape or
            of another kind.
    """
    stored = dict(_dequantised(tensors))
    wanted = _inference_state(net)
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - stored.keys())]
    faults += [f"{name} is not the network's" for name in sorted(stored.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & stored.keys()):
        ours, theirs = wanted[name], stored[name]
        if theirs.shape != ours.shape:
            faults.append(f"{name} is {list(theirs.shape)} and not {list(ours.shape)}")
        elif theirs.is_floating_point() != ours.is_floating_point():
            faults.append(f"{name} is {theirs.dtype} and not {ours.dtype}")
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(
            f"does not fit the network of the settings: {'; '.join(faults[:3])}{more}; "
            "weights and settings come from different versions"
        )
    net.load_state_dict(stored, strict=False)  # what is left out is for training only


def _inference_state(net: ReferringNet) -> dict[str, Tensor]:
    state = net.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(net.training_only)}


def _quantised(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """int8 of the same shape and float32 [rows], for float32 [rows, ...]."""
    scale = tensor.flatten(1).abs().amax(1) / 127
    divisor = scale.clamp_min(torch.finfo(torch.float32).tiny)  # a row of zeros stays one
    return (tensor / _per_row(divisor, tensor)).round().clamp(-127, 127).to(torch.int8), scale


def _dequantised(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        scale = tensors.get(name + _SCALE)
        if scale is not None and value.ndim and scale.shape == value.shape[:1]:
            yield name, value.float() * _per_row(scale.float(), value)
        else:
            yield name, value.float() if value.is_floating_point() else value


def _per_row(values: Tensor, tensor: Tensor) -> Tensor:
    """[rows] -> [rows, 1, ...], to go with a tensor [rows, ...]."""
    return values.view(-1, *[1] * (tensor.ndim - 1))
