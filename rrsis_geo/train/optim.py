"""The optimizer, its parameter groups, and the schedule of the learning rates and of the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import AdamW

from rrsis_geo.errors import ConfigError

NO_DECAY = (
    *("embeddings", "learned", "level", "mix"),
    *("relative_position_bias_table", "cpb_mlp", "logit_scale"),  # positions of Swin and SwinV2
)
"""Names of parameters, or of modules with parameters, that have no weight decay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """AdamW with a polynomial schedule; the defaults are BTDNet's recipe (arXiv 2502.08486, IV-B).

    The paper does not give weight decay, warm-up and clipping. They are taken from CARIS, on which
    the decoder of BTDNet is built.
    """

    lr: float = 1e-4
    """Learning rate of all parts that are not pre-trained."""
    encoder_lr: float = 1e-5
    """Learning rate of the image trunk and the text encoder, which are pre-trained."""
    weight_decay: float = 1e-2
    warmup_steps: int = 1500
    power: float = 0.9
    clip_norm: float = 1.0
    """Largest norm of the gradient; 0 does not limit it."""
    frozen: tuple[str, ...] = ()
    """Name prefixes of the parameters that are not trained, for example "trunk.stages.0"."""

    def __post_init__(self) -> None:
        if min(self.lr, self.encoder_lr) <= 0:
            raise ConfigError("lr and encoder_lr must be positive")
        if min(self.weight_decay, self.warmup_steps, self.power, self.clip_norm) < 0:
            raise ConfigError(
                "weight_decay, warmup_steps, power and clip_norm must not be negative"
            )


def make_optimizer(net: nn.Module, config: OptimConfig) -> AdamW:
    """AdamW with four parameter groups: encoders or the rest, with or without weight decay.

    Norms, biases, embeddings (those of positions too), learned tokens and scalars have no weight
    decay. Frozen parameters are in no group, and their ``requires_grad`` is set to False.

    Raises:
        ConfigError: an entry of ``config.frozen`` is not a prefix of any parameter name.
    """
    names = [name for name, _ in net.named_parameters()]
    for prefix in config.frozen:
        if not any(name.startswith(prefix) for name in names):
            raise ConfigError(f"optim.frozen: no parameter name starts with {prefix!r}")
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if name.startswith(config.frozen):
            parameter.requires_grad_(False)
        if not parameter.requires_grad:  # a network may fix some of its own
            continue
        parts = name.split(".")
        is_encoder = parts[0] in ("trunk", "text")
        has_decay = parameter.ndim > 1 and not any(part in NO_DECAY for part in parts)
        groups.setdefault((is_encoder, has_decay), []).append(parameter)
    return AdamW(
        [
            {
                "name": "encoder" if is_encoder else "rest",
                "params": parameters,
                "lr": config.encoder_lr if is_encoder else config.lr,
                "weight_decay": config.weight_decay if has_decay else 0.0,
            }
            for (is_encoder, has_decay), parameters in groups.items()
        ],
        fused=True,
    )


class Schedule:
    """Progress of a run from 0 to 1. The learning rates follow it, and the run ends at 1.

    Args:
        steps: number of optimizer steps.
        minutes: time for the steps; None does not limit it.
        now: a clock, in seconds.
    """

    def __init__(
        self, steps: int, minutes: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._limit_s, self._now = steps, minutes and 60 * minutes, now
        self._start_s: float | None = None
        self._earlier_s = 0.0

    @property
    def seconds(self) -> float:
        """Time since the first step, with that before the run was resumed."""
        return self._earlier_s + (0.0 if self._start_s is None else self._now() - self._start_s)

    @property
    def seconds_left(self) -> float:
        """Time until the limit, infinite without one."""
        return float("inf") if self._limit_s is None else max(self._limit_s - self.seconds, 0.0)

    def resume(self, seconds: float) -> None:
        """Continue after this many seconds of steps."""
        self._earlier_s = seconds

    def progress(self, done: int) -> float:
        """The share of the run that is over after this many steps. The first call starts the clock.

        It is the greater of the shares of the steps and of the time.
        """
        if self._start_s is None:
            self._start_s = self._now()
        by_time = 0.0 if self._limit_s is None else self.seconds / self._limit_s
        return min(max(done / self._steps, by_time), 1.0)


def set_rates(
    optimizer: torch.optim.Optimizer, config: OptimConfig, step: int, progress: float
) -> dict[str, float]:
    """Set the learning rates of a step, and return them by group.

    Linear warm-up times (1 - t)^power, which is zero after the last step.

    Args:
        optimizer: from :func:`make_optimizer`.
        config: settings of the rates.
        step: the step, from 1.
        progress: t, the share of the run before this step, 0 to 1.
    """
    warmup = min(1.0, step / (config.warmup_steps + 1))
    factor = warmup * (1 - progress) ** config.power
    rates = {"encoder": config.encoder_lr * factor, "rest": config.lr * factor}
    for group in optimizer.param_groups:
        group["lr"] = rates[group["name"]]
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
