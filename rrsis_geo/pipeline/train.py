"""From a configuration to a model bundle."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from rrsis_geo import __version__
from rrsis_geo.bundle import load_bundle, save_bundle
from rrsis_geo.config import to_dict
from rrsis_geo.data.instances import InstanceSource, validation_samples
from rrsis_geo.data.sample import Batch, Sample, collate
from rrsis_geo.data.stream import SampleStream, StreamConfig, painted_sample
from rrsis_geo.errors import ConfigError
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import Scores
from rrsis_geo.nets import build_net
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.training.checkpoint import load_checkpoint, save_checkpoint
from rrsis_geo.training.loop import float32_depthwise, score_net, train_step
from rrsis_geo.training.optim import OptimConfig, make_optimizer, make_schedule

logger = logging.getLogger(__name__)

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
METRICS_FILE: Final = "metrics.jsonl"
LOG_EVERY: Final = 20
"""Steps between two lines of metrics.jsonl."""


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
    """One training run. ``net`` holds the network's name and its settings."""

    name: str
    summary: str = ""
    """One line about the model, for those who choose one."""
    seed: int = 0
    net: dict[str, Any]
    image: ImageSpec = field(default_factory=ImageSpec)
    max_tokens: int = 20
    init: InitConfig = field(default_factory=InitConfig)
    data: StreamConfig = field(default_factory=StreamConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    steps: int = 1000
    batch_size: int = 8
    workers: int = 1
    device: str = "cpu"
    dtype: Literal["fp32", "bf16"] = "bf16"
    ema_decay: float = 0.998
    val_every: int = 500
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        if "name" not in self.net:
            raise ConfigError("net.name must be set")
        if min(self.steps, self.batch_size, self.val_every) < 1 or self.workers < 0:
            raise ConfigError("steps, batch_size and val_every must be positive")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.init.bundle is None and self.init.vocabulary is None:
            raise ConfigError("init.vocabulary (or init.bundle) must name where vocab.txt lies")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Where a run stands.

    Attributes:
        step: steps of the optimizer that are done.
        steps: steps in all.
        epoch: passes over the training samples that have begun, from 1; 0 on an endless stream.
        epochs: passes in all; 0 on an endless stream.
        losses: parts of the loss of the last step, and their sum, "total".
        rates: learning rates: "encoder", "rest".
        images_per_second: since the report before.
        seconds_left: at the present speed, validation not counted.
        scores: of the newest validation, None before the first.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    losses: Mapping[str, float]
    rates: Mapping[str, float]
    images_per_second: float
    seconds_left: float
    scores: Scores | None


def train_model(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Scores:
    """Train a network, and keep the best of it as the bundle ``run_dir/model``.

    Sample number i of a seed is always the same, so a resumed run sees what the uninterrupted one
    would have seen. The weights that are scored and saved are the running average.

    Args:
        config: everything about the run.
        run_dir: gets ``config.json``, ``metrics.jsonl``, ``checkpoints/`` and ``model/``.
        resume: go on from the newest checkpoint of ``run_dir``.
        progress: told where the run stands, every few steps and after each validation.

    Returns:
        the best validation scores.

    Raises:
        ConfigError: the settings do not make sense.
        InputError: data is missing or damaged, there is no checkpoint to resume, or the loss is no
            number.
        ModelError: weights to start from are missing or do not fit.
    """
    torch.manual_seed(config.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(to_dict(config), indent=2) + "\n")
    device, dtype = torch.device(config.device), DTYPES[config.dtype]
    net, tokenizer = _start(config)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(
        net, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
    )
    averaged = cast(ReferringNet, average.module)
    if device.type == "cpu":
        float32_depthwise(net)
    optimizer = make_optimizer(net, config.optim)
    schedule = make_schedule(optimizer, config.optim, config.steps)
    parts = {"net": net, "average": average, "optimizer": optimizer, "schedule": schedule}
    start, best = 0, -1.0
    if resume:
        state = load_checkpoint(run_dir / "checkpoints")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        start, best = state["step"], state["best"]
        torch.set_rng_state(state["rng"])
        _forget_after(run_dir, start)
    val = _validation(config)
    stream = SampleStream(config.data, seed=config.seed, length=config.steps * config.batch_size)
    scores: Scores | None = None
    net.train()
    saved = told = time.monotonic()
    for step, batch in enumerate(_batches(config, stream, tokenizer, start), start=start + 1):
        losses = train_step(
            net, batch, optimizer, schedule, clip_norm=config.optim.clip_norm, dtype=dtype
        )
        average.update_parameters(net)
        if step % LOG_EVERY == 0:
            _log(run_dir, {"step": step, "time": time.time(), **losses})
            speed = LOG_EVERY / (time.monotonic() - told)  # steps a second
            told = time.monotonic()
            if progress is not None:
                progress(
                    TrainProgress(
                        step=step,
                        steps=config.steps,
                        epoch=0,
                        epochs=0,
                        losses=losses,
                        rates={"rest": schedule.get_last_lr()[-1]},
                        images_per_second=speed * config.batch_size,
                        seconds_left=(config.steps - step) / speed,
                        scores=scores,
                    )
                )
        if step % config.val_every == 0 or step == config.steps:
            scored = score_net(averaged, val, tokenizer, config.image, dtype=dtype)
            _log(run_dir, {"step": step, "val": scored.to_dict()})
            logger.info("step %d: validation gIoU %.4f, mIoU %.4f", step, scored.giou, scored.miou)
            if scored.giou > best:
                best, scores = scored.giou, scored
                about = {
                    "summary": config.summary,
                    "categories": sorted(stream.categories),
                    "trained_with": to_dict(config),
                    "steps": step,
                    "val_scores": scored.to_dict(),
                    "versions": {"rrsis-geo": __version__, "torch": torch.__version__},
                }
                save_bundle(run_dir / "model", averaged, tokenizer, config.image, about)
        if time.monotonic() - saved > 60 * config.checkpoint_minutes or step == config.steps:
            state = {name: part.state_dict() for name, part in parts.items()}
            rng = torch.get_rng_state()
            state |= {"step": step, "best": best, "rng": rng}
            save_checkpoint(run_dir / "checkpoints", step, state)
            saved = time.monotonic()
    return scores or score_net(averaged, val, tokenizer, config.image, dtype=dtype)


def _start(config: TrainConfig) -> tuple[ReferringNet, Tokenizer]:
    """The network with the weights to start from, and its tokenizer."""
    if config.init.bundle is not None:
        bundle = load_bundle(config.init.bundle)
        net = build_net(str(config.net["name"]), _settings(config))
        own, given = (
            {k: v for k, v in state.items() if not k.startswith(net.training_only)}
            for state in (net.state_dict(), bundle.net.state_dict())
        )
        wrong = [k for k in own if k not in given or given[k].shape != own[k].shape]
        if wrong or len(own) != len(given):
            raise ConfigError(
                f"init.bundle {config.init.bundle}: another network than [net] describes"
                + (f" ({wrong[0]})" if wrong else "")
            )
        net.load_state_dict(given, strict=False)
        return net, bundle.tokenizer
    assert config.init.vocabulary is not None
    tokenizer = Tokenizer.load(config.init.vocabulary, max_tokens=config.max_tokens)
    net = build_net(str(config.net["name"]), _settings(config))
    if config.init.trunk is not None:
        net.trunk.load_pretrained(config.init.trunk)  # type: ignore[operator, union-attr]
    if config.init.text is not None:
        net.text.load_pretrained(config.init.text)  # type: ignore[operator, union-attr]
    return net, tokenizer


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in config.net.items() if key != "name"}


def _batches(
    config: TrainConfig, stream: SampleStream, tokenizer: Tokenizer, start: int
) -> Iterator[Batch]:
    rest = Subset(stream, range(start * config.batch_size, len(stream)))
    return iter(
        DataLoader(
            rest,
            batch_size=config.batch_size,
            num_workers=config.workers,
            collate_fn=partial(collate, tokenizer=tokenizer, spec=config.image),
            prefetch_factor=4 if config.workers else None,
            generator=torch.Generator(),  # leaves the global one, which a resumed run restores
        )
    )


def _validation(config: TrainConfig) -> list[Sample]:
    """A fixed set of samples: real ones where there are any, and painted ones in the same share."""
    data, seed = config.data, 10_000_019
    n_painted = data.val_samples
    samples: list[Sample] = []
    if data.val_instances is not None:
        n_painted = round(data.painted_share * data.val_samples)
        samples = validation_samples(
            InstanceSource(data.val_instances), data.val_samples - n_painted, seed, data.size_px
        )
    return samples + [
        painted_sample(np.random.default_rng([seed, i]), data.size_px, data.painted_gsd_range_m)
        for i in range(n_painted)
    ]


def _log(run_dir: Path, facts: dict[str, Any]) -> None:
    with (run_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def _forget_after(run_dir: Path, step: int) -> None:
    """Drop what an interrupted run logged after its last checkpoint: it will be done again."""
    path = run_dir / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
