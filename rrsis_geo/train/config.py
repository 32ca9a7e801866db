"""What a training run is: its settings, its length, and which settings may change on the way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from rrsis_geo.config import load
from rrsis_geo.data.instances.stream import StreamConfig
from rrsis_geo.errors import ConfigError
from rrsis_geo.images import ImageSpec
from rrsis_geo.train.optim import OptimConfig
from rrsis_geo.train.samples import BenchmarkConfig

HARMLESS: Final = frozenset(
    {
        "workers",
        "device",
        "checkpointing",
        "checkpoint_minutes",
        "tensorboard",
        "precision",
    }
)
"""Settings that a resumed run may change: its numbers stay the same, but for rounding."""
REMOVED: Final = frozenset({"compile"})
"""Settings of earlier versions that changed no result; checkpoints may still contain them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitConfig:
    """Weights to start from; what is left out starts from nothing."""

    bundle: str | None = None
    """Name or folder of a bundle: the whole network, its tokenizer too."""
    trunk: str | None = None
    """"timm", or a file of trunk weights."""
    text: str | None = None
    """Hugging Face name or local folder of a BERT."""
    vocabulary: Path | None = None
    """Folder that holds the text encoder's vocab.txt; needed without a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run, on a benchmark or on the stream."""

    name: str
    summary: str = ""
    """One line about the model, for those who choose one."""
    seed: int = 0
    net: dict[str, Any] = field(default_factory=dict)
    """The network's name and its settings; empty takes those of ``init.bundle``."""
    image: ImageSpec | None = None
    """None takes that of ``init.bundle``, or the defaults."""
    max_tokens: int = 20
    init: InitConfig = field(default_factory=InitConfig)
    data: StreamConfig | None = None
    """The numbered stream of real crops and painted scenes; it has no epochs."""
    benchmark: BenchmarkConfig | None = None
    """A data set with splits, in place of the stream."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    epochs: int | None = None
    """Passes over the training split."""
    steps: int | None = None
    """Steps of the optimizer, in place of ``epochs``."""
    batch_size: int = 8
    """Samples that are in memory at once, over all GPUs together."""
    accumulate: int = 1
    """Batches of which a step sums the gradients."""
    workers: int = 1
    """Processes that read samples ahead, for each GPU."""
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema_decay: float = 0.0
    """Of the running average of the weights, which is then scored and saved; 0 takes none."""
    val_every: int | None = None
    """Steps between two validations; None validates after each epoch, and after the last step."""
    checkpoint_minutes: float = 5.0
    checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time."""
    precision: Literal["int8", "fp16", "fp32"] = "int8"
    """Of the bundle's weights. What starts from a bundle of int8 and learns slowly needs "fp16":
    each small change would be rounded away, back to the value it began with."""
    tensorboard: bool | None = None
    """Write TensorBoard's events too; None does where it is installed."""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.benchmark is None):
            raise ConfigError("set one of [data], the stream, and [benchmark], a data set")
        if (self.epochs is None) == (self.steps is None):
            both = "both are" if self.steps is not None else "neither is"
            raise ConfigError(f"set either epochs or steps: {both} set")
        if self.data is not None and self.epochs is not None:
            raise ConfigError(
                "epochs need a [benchmark]: the stream of [data] never ends; set steps"
            )
        least = {"epochs": 1, "steps": 1, "batch_size": 1, "accumulate": 1, "val_every": 1}
        for name, lowest in {**least, "workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"{name} must be at least {lowest}, got {value}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.init.bundle is None and self.init.vocabulary is None:
            raise ConfigError("init.vocabulary (or init.bundle) must name where vocab.txt lies")
        if "name" not in self.net and (self.net or self.init.bundle is None):
            raise ConfigError("net.name must be set")

    @property
    def step_samples(self) -> int:
        """Samples of a step."""
        return self.batch_size * self.accumulate


def load_train_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A run's settings from a file, with ``"a.b=c"`` set over it.

    ``steps`` and ``epochs`` say the same in two ways: to set one takes the file's other away.

    Raises:
        ConfigError: as for :func:`rrsis_geo.config.load`.
    """
    given = {item.partition("=")[0].strip() for item in overrides}
    lengths = {"steps", "epochs"}
    replaced = [f"{name}=none" for name in lengths - given] if lengths & given else []
    return load(path, TrainConfig, [*replaced, *overrides])


class TrainingPlan(NamedTuple):
    """How long a run is.

    Attributes:
        steps: of the optimizer.
        epoch_samples: samples of one pass, None on an endless stream.
        step_samples: samples of one step.
        validate_at: the steps after which the network is scored.
    """

    steps: int
    epoch_samples: int | None
    step_samples: int
    validate_at: frozenset[int]

    def epochs_begun(self, step: int) -> int:
        """Passes that have begun when a step is done, from 1; 0 on an endless stream."""
        return math.ceil(step * self.step_samples / self.epoch_samples) if self.epoch_samples else 0


def plan_training(config: TrainConfig, epoch_samples: int | None) -> TrainingPlan:
    """Steps of a run and its validations; passes follow each other without a pause, so that a step
    may take the last samples of one and the first of the next.
    """
    per_step = config.step_samples
    steps = config.steps
    if steps is None:
        assert config.epochs is not None
        assert epoch_samples is not None
        steps = max(1, config.epochs * epoch_samples // per_step)
    at = {steps}
    if config.val_every is not None:
        at.update(range(config.val_every, steps, config.val_every))
    elif epoch_samples is not None:
        passes = steps * per_step // epoch_samples
        at.update(max(1, n * epoch_samples // per_step) for n in range(1, passes + 1))
    return TrainingPlan(steps, epoch_samples, per_step, frozenset(at))


def check_resumable(was: Mapping[str, Any], is_: Mapping[str, Any], folder: Path) -> None:
    """Refuse to resume a run with other settings than it began with.

    Args:
        was: the settings in the checkpoint.
        is_: those given now.
        folder: of the checkpoints, for the message.

    Raises:
        ConfigError: they differ in more than :data:`HARMLESS` ones; the message names them.
    """
    before, now = _flat(was), _flat(is_)
    before = {name: value for name, value in before.items() if name not in REMOVED}
    changed = [
        f"{name} was {before.get(name, 'unset')!r} and is {now.get(name, 'unset')!r}"
        for name in sorted({**before, **now})
        if before.get(name) != now.get(name) and name not in HARMLESS
    ]
    if changed:
        raise ConfigError(
            f"{folder}: a run goes on with the settings it began with, but {'; '.join(changed)}. "
            "Set them back, or train in another folder; init.bundle starts from this run's model"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def memory_advice(config: TrainConfig, device: str, step: int) -> str:
    """What to say where a device's memory was too small for a step."""
    half, twice = max(1, config.batch_size // 2), 2 * config.accumulate
    size = "benchmark.size_px" if config.benchmark is not None else "data.size_px"
    advice = [f"batch_size = {half} with accumulate = {twice}, which is the same step"]
    if config.batch_size == 1:
        advice = []
    if not config.checkpointing:
        advice.append("checkpointing = true")
    if config.dtype == "fp32":
        advice.append('dtype = "bf16"')
    advice.append(f"a smaller {size}")
    return f"{device}: too little memory for step {step}; set {', or '.join(advice)}"
