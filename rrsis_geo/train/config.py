"""Settings of a training run, its length, and the settings that a resumed run may change."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from rrsis_geo.config import load
from rrsis_geo.data.instances.stream import StreamConfig
from rrsis_geo.errors import ConfigError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.names import Language
from rrsis_geo.text.reference_phrases import TextRules
from rrsis_geo.train.optim import OptimConfig
from rrsis_geo.train.samples import BenchmarkConfig

CHANGEABLE_SETTINGS: Final = frozenset(
    {
        *("workers", "device", "checkpointing", "checkpoint_minutes", "tensorboard", "precision"),
        *("deterministic", "save_last"),
    }
)
"""Settings that a resumed run may change. Results stay the same, except for rounding."""
REMOVED_SETTINGS: Final[Mapping[str, tuple[object, ...]]] = {
    "compile": (False, True),
    "data.pasted_share": (0.0,),
    "net.place_prior": (False,),
    "net.order_prior": (False,),
}
"""Settings of earlier versions, with the values that a run can still be resumed with."""
ADDED_SETTINGS: Final[Mapping[str, tuple[object, ...]]] = {
    "best_by": ("gIoU",),
    "batch_per_gpu": (False,),
    "sync_batch_norm": (False,),
    "text_rules": ("aligned",),
    "benchmark.black_squares": (0.0,),
    "data.whole_share": (0.0,),
}
"""Settings that earlier versions did not have, with the values that their runs resume with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitConfig:
    """Weights to start from. Parts without weights start from random numbers."""

    bundle: str | None = None
    """Name or folder of a bundle: the whole network and its tokenizer."""
    trunk: str | None = None
    """"timm", or a file with trunk weights."""
    text: str | None = None
    """Hugging Face name or local folder of a BERT."""
    vocabulary: Path | None = None
    """Folder with the vocab.txt of the text encoder; required without a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training run, on a benchmark or on the sample stream."""

    name: str
    summary: str = ""
    """One line about the model, for users who choose a model."""
    seed: int = 0
    net: dict[str, Any] = field(default_factory=dict)
    """Name and settings of the network; empty uses those of ``init.bundle``."""
    image: ImageSpec | None = None
    """None uses the image settings of ``init.bundle``, or the defaults."""
    max_tokens: int = 20
    text_rules: TextRules = "aligned"
    """Rules for the fragments that FIANet reads: ours, or those of its code for a dataset."""
    language: Language | None = None
    """Who resolves words of position, size and order about a single image: the "network", or rules
    ("resolved"). None is that of ``init.bundle``, or "network"."""
    init: InitConfig = field(default_factory=InitConfig)
    data: StreamConfig | None = None
    """The endless stream of real crops and painted scenes."""
    benchmark: BenchmarkConfig | None = None
    """A dataset with splits, instead of the stream."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    epochs: int | None = None
    """Passes over the training split."""
    steps: int | None = None
    """Optimizer steps, instead of ``epochs``."""
    minutes: float | None = None
    """Time for the steps. The learning rates fall to zero by its end, and the run ends even if
    steps remain; the last validation follows. None does not limit it."""
    batch_size: int = 8
    """Samples in memory at once, over all GPUs together."""
    batch_per_gpu: bool = False
    """``batch_size`` counts the samples of each GPU, and not of all together."""
    accumulate: int = 1
    """Batches per optimizer step; their gradients are summed."""
    sync_batch_norm: bool = False
    """Batch norms that are not frozen use the samples of all GPUs."""
    workers: int = 1
    """Processes per GPU that read samples ahead."""
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema_decay: float = 0.0
    """Decay of the moving average of the weights. The average is validated and saved; 0 uses the
    weights themselves."""
    val_every: int | None = None
    """Steps between validations; None validates after each epoch and after the last step."""
    best_by: Literal["gIoU", "mIoU", "oIoU"] = "gIoU"
    """Validation score that chooses the weights to save. Without absent targets gIoU is mIoU."""
    save_last: bool = False
    """Also save the weights of the last validation, in the folder ``last``."""
    deterministic: bool = False
    """Use only operations that give the same bits in every run on the same machine."""
    checkpoint_minutes: float = 5.0
    checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    precision: Literal["int8", "fp16", "fp32"] = "int8"
    """Precision of the weights in the saved bundle. A run that starts from an int8 bundle with a
    low learning rate needs "fp16": int8 would round small changes back to the initial values."""
    tensorboard: bool | None = None
    """Write TensorBoard events; None writes them if TensorBoard is installed."""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.benchmark is None):
            raise ConfigError("set either [data] (the stream) or [benchmark] (a dataset)")
        if (self.epochs is None) == (self.steps is None):
            both = "both are" if self.steps is not None else "neither is"
            raise ConfigError(f"set either epochs or steps: {both} set")
        if self.data is not None and self.epochs is not None:
            raise ConfigError("the stream of [data] is endless and has no epochs; set steps")
        minimum = {"epochs": 1, "steps": 1, "batch_size": 1, "accumulate": 1, "val_every": 1}
        for name, lowest in {**minimum, "workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"{name} must be at least {lowest}, got {value}")
        if self.minutes is not None and self.minutes <= 0:
            raise ConfigError(f"minutes must be positive, got {self.minutes}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.init.bundle is None and self.init.vocabulary is None:
            raise ConfigError("set init.vocabulary (the folder of vocab.txt) or init.bundle")
        if "name" not in self.net and (self.net or self.init.bundle is None):
            raise ConfigError("net.name must be set")

    @property
    def step_samples(self) -> int:
        """Samples per optimizer step."""
        return self.batch_size * self.accumulate

    def over_processes(self, n: int) -> "TrainConfig":
        """The settings of a run of ``n`` processes, whose batch size counts all their samples."""
        if not self.batch_per_gpu:
            return self
        return replace(self, batch_size=self.batch_size * n, batch_per_gpu=False)


def config_folders() -> list[Path]:
    """Folders of the configuration files that come with the package. They may not exist."""
    package = Path(__file__).resolve().parents[1]
    return [package.parent / "configs", package / "configs"]  # of a checkout, and of a wheel


def find_config(path: Path) -> Path:
    """A configuration file by its path or by the name of one that comes with the package.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        return path
    files = {file.stem: file for folder in config_folders() for file in folder.glob("*.toml")}
    name = path.name.removesuffix(".toml")
    if path.parent in (Path(), Path("configs")) and name in files:
        return files[name]
    raise ConfigError(
        f"{path}: no such configuration file; give a path, or one of " + ", ".join(sorted(files))
    )


def load_train_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read the settings of a run from a TOML file.

    Args:
        path: the file, or the name of one that comes with the package, see `find_config`.
        overrides: ``"table.key=value"`` each, applied over the file. An override of ``steps`` also
            removes ``epochs`` of the file, and the other way round.

    Raises:
        ConfigError: see :func:`rrsis_geo.config.load`.
    """
    overridden = {item.partition("=")[0].strip() for item in overrides}
    lengths = {"steps", "epochs"}
    removed = [f"{name}=none" for name in lengths - overridden] if lengths & overridden else []
    return load(find_config(path), TrainConfig, [*removed, *overrides])


class TrainingPlan(NamedTuple):
    """Length of a run.

    Attributes:
        steps: number of optimizer steps.
        epoch_samples: samples per epoch, None for an endless stream.
        step_samples: samples per step.
        validate_at: steps after which the network is validated.
    """

    steps: int
    epoch_samples: int | None
    step_samples: int
    validate_at: frozenset[int]

    def current_epoch(self, step: int) -> int:
        """The epoch of a step, from 1; 0 for an endless stream."""
        return math.ceil(step * self.step_samples / self.epoch_samples) if self.epoch_samples else 0


def plan_training(config: TrainConfig, epoch_samples: int | None) -> TrainingPlan:
    """Plan the steps and validations of a run.

    Epochs follow each other without a break: one step may contain the last samples of an epoch and
    the first of the next.
    """
    per_step = config.step_samples
    steps = config.steps
    if steps is None:
        assert config.epochs is not None
        assert epoch_samples is not None
        steps = max(1, config.epochs * epoch_samples // per_step)
    validate_at = {steps}
    if config.val_every is not None:
        validate_at.update(range(config.val_every, steps, config.val_every))
    elif epoch_samples is not None:
        epochs = steps * per_step // epoch_samples
        validate_at.update(max(1, n * epoch_samples // per_step) for n in range(1, epochs + 1))
    return TrainingPlan(steps, epoch_samples, per_step, frozenset(validate_at))


def check_resumable(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Check that a run is resumed with the settings it started with.

    Args:
        before: settings in the checkpoint, from ``config.to_dict``.
        now: current settings, from ``config.to_dict``.
        folder: folder of the checkpoints, for the message.

    Raises:
        ConfigError: settings other than :data:`CHANGEABLE_SETTINGS` differ; the message lists them.
    """
    old, new = _flatten(before), _flatten(now)
    changes = [
        f"{name} was {old.get(name, 'unset')!r} and is {new.get(name, 'unset')!r}"
        for name in sorted({**old, **new})
        if old.get(name) != new.get(name)
        and name not in CHANGEABLE_SETTINGS
        and old.get(name) not in REMOVED_SETTINGS.get(name, ())
        and (name in old or new.get(name) not in ADDED_SETTINGS.get(name, ()))
    ]
    if changes:
        raise ConfigError(
            f"{folder}: cannot resume, settings have changed: {'; '.join(changes)}. Restore them, "
            "or train in another folder; init.bundle can start from the model of this run"
        )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def out_of_memory_message(config: TrainConfig, device: str, step: int) -> str:
    """Error message for a step that needs too much memory, with the settings that would help."""
    half, double = max(1, config.batch_size // 2), 2 * config.accumulate
    size = "benchmark.size_px" if config.benchmark is not None else "data.size_px"
    advice = []
    if config.batch_size > 1:
        advice.append(f"batch_size = {half} with accumulate = {double} (the same step)")
    if not config.checkpointing:
        advice.append("checkpointing = true")
    if config.dtype == "fp32":
        advice.append('dtype = "bf16"')
    advice.append(f"a smaller {size}")
    return f"{device}: too little memory for step {step}; set {', or '.join(advice)}"
