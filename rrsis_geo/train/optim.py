"""Optimizer, its parameter groups, and the learning-rate schedule."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import AdamW

from rrsis_geo.errors import ConfigError

NO_DECAY = ("embeddings", "learned", "level", "mix")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """AdamW with a polynomial schedule; the defaults are BTDNet's recipe (arXiv 2502.08486, IV-B).

    Weight decay, warm-up and clipping are not in the paper; they are those of CARIS, on which its
    decoder is built.
    """

    lr: float = 1e-4
    """Of everything that starts from nothing."""
    encoder_lr: float = 1e-5
    """Of the image trunk and the text encoder: both are pre-trained."""
    weight_decay: float = 1e-2
    warmup_steps: int = 1500
    power: float = 0.9
    clip_norm: float = 1.0
    frozen: tuple[str, ...] = ()
    """Parameters that do not learn, by how their names begin: "trunk.stages.0"."""

    def __post_init__(self) -> None:
        if min(self.lr, self.encoder_lr, self.clip_norm) <= 0:
            raise ConfigError("lr, encoder_lr and clip_norm must be positive")
        if min(self.weight_decay, self.warmup_steps, self.power) < 0:
            raise ConfigError("weight_decay, warmup_steps and power must not be negative")


def make_optimizer(net: nn.Module, config: OptimConfig) -> AdamW:
    """AdamW over four groups: encoders or the rest, with weight decay or without.

    Norms, biases, embeddings, and learned tokens and scalars do not decay. What ``config.frozen``
    names needs no gradient from here on and is in no group.

    Raises:
        ConfigError: no parameter's name begins as an entry of ``config.frozen`` says.
    """
    names = [name for name, _ in net.named_parameters()]
    for start in config.frozen:
        if not any(name.startswith(start) for name in names):
            raise ConfigError(f"optim.frozen: no parameter's name begins with {start!r}")
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if name.startswith(config.frozen):
            parameter.requires_grad_(False)
            continue
        parts = name.split(".")
        encoder = parts[0] in ("trunk", "text")
        decays = parameter.ndim > 1 and not any(part in NO_DECAY for part in parts)
        groups.setdefault((encoder, decays), []).append(parameter)
    return AdamW(
        [
            {
                "name": "encoder" if encoder else "rest",
                "params": parameters,
                "lr": config.encoder_lr if encoder else config.lr,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (encoder, decays), parameters in groups.items()
        ],
        fused=True,
    )


def set_rates(
    optimizer: torch.optim.Optimizer, config: OptimConfig, step: int, steps: int
) -> dict[str, float]:
    """Set the learning rates of a step, from 1 to ``steps``, and give them back by group.

    Linear warm-up, then (1 - t)^power, which reaches zero after the last step.
    """
    warm = min(1.0, step / (config.warmup_steps + 1))
    factor = warm * (1 - (step - 1) / steps) ** config.power
    rates = {"encoder": config.encoder_lr * factor, "rest": config.lr * factor}
    for group in optimizer.param_groups:
        group["lr"] = rates[group["name"]]
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
