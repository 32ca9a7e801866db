"""From a configuration to a model bundle."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rrsis_geo.config import to_dict
from rrsis_geo.data.sample import Batch
from rrsis_geo.errors import ConfigError, DeviceError, InputError, OutputError
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import Scores
from rrsis_geo.model.bundle import load_bundle, save_bundle
from rrsis_geo.model.malloc import keep_freed_memory
from rrsis_geo.model.predictor import choose_device, choose_dtype, is_out_of_memory
from rrsis_geo.nets import build_net
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint, scores_from
from rrsis_geo.train.checkpointing import recompute_activations
from rrsis_geo.train.config import TrainConfig, check_resumable, memory_advice, plan_training
from rrsis_geo.train.distributed import World, joined, shared
from rrsis_geo.train.journal import Journal, tensorboard_installed
from rrsis_geo.train.loop import (
    LossError,
    WithLoss,
    find_masks,
    float32_depthwise,
    score_net,
    train_step,
)
from rrsis_geo.train.optim import make_optimizer, set_rates
from rrsis_geo.train.run_card import run_card
from rrsis_geo.train.samples import (
    RankBatches,
    RunData,
    benchmark_data,
    load_batches,
    stream_data,
)
from rrsis_geo.version import __version__

__all__ = ["Scores", "TrainConfig", "TrainProgress", "start_net", "train_model"]

logger = logging.getLogger(__name__)

CONFIG_FILE: Final = "config.json"
LOG_EVERY: Final = 20
"""Steps between two reports of the losses."""


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
        best: scores of the best validation so far, those before a resumption counted.
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
    best: Scores | None


def train_model(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Scores | None:
    """Train a network, and keep the best of it as the bundle ``run_dir/model``.

    Sample number i of a run and the chance of step j are pure functions of the seed, so a resumed
    run ends as the uninterrupted one would have. Where torchrun started several processes, each
    takes its share of every batch; the first alone validates and writes.

    Args:
        config: everything about the run.
        run_dir: gets ``config.json``, ``metrics.jsonl``, ``tensorboard/``, ``pictures/``,
            ``checkpoints/`` and ``model/``.
        resume: go on from the newest checkpoint of ``run_dir``.
        progress: told where the run stands, every few steps and after each validation.

    Returns:
        the best validation scores; None in every process but the first.

    Raises:
        ConfigError: the settings do not make sense, or are not those of the run to resume.
        InputError: data is missing or damaged, there is no checkpoint to resume, or the loss is no
            number.
        ModelError: weights to start from are missing or do not fit.
        OutputError: ``run_dir`` holds another run, or cannot be written.
        DeviceError: there is no such device, or too little memory in it.
    """
    with joined(choose_device(config.device).type) as world:
        run = _Run(config, run_dir, world)
        try:
            if resume:
                run.restore()
            elif checkpoints(run.checkpoints):
                raise OutputError(
                    f"{run_dir}: holds a run already; go on with it by --resume, or choose another "
                    "folder"
                )
            return run.train(progress)
        except LossError as err:
            last = checkpoints(run.checkpoints)
            where = f"the last good checkpoint is {last[-1]}" if last else "there is no checkpoint"
            raise InputError(f"step {run.step + 1}: {err}; {where}") from err
        except RuntimeError as err:
            if not is_out_of_memory(err):
                raise
            raise DeviceError(memory_advice(config, str(run.device), run.step + 1)) from err


class _Run:
    """A run in memory, in one of its processes."""

    def __init__(self, config: TrainConfig, run_dir: Path, world: World) -> None:
        torch.manual_seed(config.seed)
        self.config, self.run_dir, self.world = config, run_dir, world
        self.checkpoints = run_dir / "checkpoints"
        self.device = choose_device(config.device)
        if world.size > 1 and self.device.type == "cuda":
            self.device = torch.device("cuda", world.local_rank)
        self.dtype = choose_dtype(config.dtype, self.device)
        self.data = _load_data(config)
        self.plan = plan_training(config, self.data.epoch_samples)
        net, self.tokenizer, self.image = start_net(config)
        self.net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = None
        if config.ema_decay:  # a copy of the network, so it comes before the network is changed
            self.average = AveragedModel(
                self.net, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
            )
        self.optimizer = make_optimizer(self.net, config.optim)
        self.scaler = GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.step = 0
        self.best: Scores | None = None

    @property
    def scored(self) -> ReferringNet:
        """The network whose weights are scored and saved."""
        return self.net if self.average is None else cast(ReferringNet, self.average.module)

    def restore(self) -> None:
        """Take the state of the newest checkpoint."""
        state = load_checkpoint(self.checkpoints)
        check_resumable(state["config"], to_dict(self.config), self.checkpoints)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.best = None if state["best"] is None else scores_from(state["best"])

    def save(self) -> None:
        """Write a checkpoint."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        best = None if self.best is None else self.best.to_dict()
        state |= {"step": self.step, "best": best, "config": to_dict(self.config)}
        save_checkpoint(self.checkpoints, self.step, state)

    def _parts(self) -> dict[str, Any]:
        parts = {"net": self.net, "optimizer": self.optimizer, "scaler": self.scaler}
        return parts if self.average is None else parts | {"average": self.average}

    def train(self, progress: Callable[[TrainProgress], None] | None) -> Scores | None:
        """From the present step to the last."""
        if self.world.rank > 0:
            for _ in self._steps():
                pass
            return None
        text = json.dumps(to_dict(self.config), indent=2) + "\n"
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            (self.run_dir / CONFIG_FILE).write_text(text, encoding="utf-8")
        except OSError as err:
            raise OutputError(f"{self.run_dir}: cannot be written ({err.strerror})") from err
        tensorboard = self.config.tensorboard
        if tensorboard is None:
            tensorboard = tensorboard_installed()
        journal = Journal(self.run_dir, tensorboard=tensorboard, since_step=self.step)
        try:
            self._train_and_tell(journal, progress or (lambda now: None))
        finally:
            journal.close()
        return self.best

    def _train_and_tell(self, journal: Journal, progress: Callable[[TrainProgress], None]) -> None:
        steps, newest = self.plan.steps, None
        clock, saved = _Clock(), time.monotonic()
        for losses, rates in self._steps():
            clock.count_step()
            speed = clock.steps_per_second
            images_per_second = speed * self.plan.step_samples
            if self.step % LOG_EVERY == 0 or self.step == steps:
                journal.losses(self.step, losses, rates, images_per_second)
            validated = self.step in self.plan.validate_at
            if validated:
                newest = self._validate(journal)
            if validated or self.step % LOG_EVERY == 0 or self.step == 1:
                progress(
                    TrainProgress(
                        step=self.step,
                        steps=steps,
                        epoch=self.plan.epochs_begun(self.step),
                        epochs=self.plan.epochs_begun(steps),
                        losses=losses,
                        rates=rates,
                        images_per_second=images_per_second,
                        seconds_left=(steps - self.step) / speed,
                        scores=newest,
                        best=self.best,
                    )
                )
            minutes = (time.monotonic() - saved) / 60
            if minutes > self.config.checkpoint_minutes or self.step == steps:
                self.save()
                saved = time.monotonic()
            clock.go_on()

    def _steps(self) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
        """Do what is left, step by step -> loss parts and learning rates."""
        config, net = self.config, self.net
        if self.device.type == "cpu":
            keep_freed_memory()
            float32_depthwise(net)
        else:
            torch.backends.cudnn.benchmark = True  # images are of one size throughout
        if config.checkpointing:
            recompute_activations(net)
        model = shared(WithLoss(net), self.device)
        batches = self._batches()
        net.train()
        for step in range(self.step + 1, self.plan.steps + 1):
            rates = set_rates(self.optimizer, config.optim, step, self.plan.steps)
            # chance of its own for each step and process: nothing of it to keep for resuming
            torch.manual_seed(_step_seed(config.seed, step, self.world.rank))
            losses = train_step(
                model,
                list(islice(batches, config.accumulate)),
                self.optimizer,
                self.scaler,
                self.image,
                clip_norm=config.optim.clip_norm,
                dtype=self.dtype,
            )
            if self.average is not None:
                self.average.update_parameters(net)
            self.step = step
            yield losses, rates

    def _batches(self) -> Iterator[Batch]:
        config = self.config
        numbers = RankBatches(
            self.step * config.accumulate,
            self.plan.steps * config.accumulate,
            batch_size=config.batch_size,
            world=self.world,
        )
        return load_batches(
            self.data.train,
            numbers,
            self.tokenizer,
            workers=config.workers,
            pinned=self.device.type == "cuda",
        )

    def _validate(self, journal: Journal) -> Scores:
        scores = score_net(
            self.scored,
            self.data.val,
            self.tokenizer,
            self.image,
            dtype=self.dtype,
            batch_size=self.config.batch_size,
        )
        journal.scores(self.step, scores)
        masks = [
            find_masks(self.scored, [sample], self.tokenizer, self.image, dtype=self.dtype)[0]
            for sample in self.data.shown
        ]
        journal.pictures(self.step, self.data.shown, masks)
        logger.info("step %d: gIoU %.4f, mIoU %.4f", self.step, scores.giou, scores.miou)
        if self.best is None or scores.giou > self.best.giou:
            self.best = scores
            about = {
                "summary": self.config.summary,
                "categories": sorted(self.data.categories),
                "trained_with": to_dict(self.config),
                "steps": self.step,
                "val_scores": scores.to_dict(),
                "versions": {"rrsis-geo": __version__, "torch": torch.__version__},
            }
            card = run_card(
                self.config,
                self.data,
                self.plan,
                self.scored,
                self.image,
                step=self.step,
                scores=scores,
            )
            save_bundle(
                self.run_dir / "model",
                self.scored,
                self.tokenizer,
                self.image,
                about,
                precision=self.config.precision,
                card=card,
            )
        return scores


class _Clock:
    """Seconds of training alone, validation and checkpoints left out."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._spans: list[float] = []

    def count_step(self) -> None:
        self._spans = [*self._spans[1 - LOG_EVERY :], time.monotonic() - self._since]

    def go_on(self) -> None:
        self._since = time.monotonic()

    @property
    def steps_per_second(self) -> float:
        """Over the last steps."""
        return len(self._spans) / max(sum(self._spans), 1e-9)


def start_net(config: TrainConfig) -> tuple[ReferringNet, Tokenizer, ImageSpec]:
    """The network with the weights to start from, its tokenizer, and what its images look like.

    Raises:
        ConfigError: the bundle to start from holds another network than ``config.net``.
        ModelError: weights or vocabulary are missing or do not fit.
    """
    if config.init.bundle is not None:
        bundle = load_bundle(config.init.bundle)
        image = config.image or bundle.image
        if not config.net:
            return bundle.net, bundle.tokenizer, image
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
        return net, bundle.tokenizer, image
    assert config.init.vocabulary is not None
    tokenizer = Tokenizer.load(config.init.vocabulary, max_tokens=config.max_tokens)
    net = build_net(str(config.net["name"]), _settings(config))
    net.load_pretrained(trunk=config.init.trunk, text=config.init.text)
    return net, tokenizer, config.image or ImageSpec()


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in config.net.items() if key != "name"}


def _load_data(config: TrainConfig) -> RunData:
    if config.benchmark is not None:
        return benchmark_data(config.benchmark, seed=config.seed, workers=config.workers)
    assert config.data is not None
    assert config.steps is not None
    return stream_data(config.data, seed=config.seed, length=config.steps * config.step_samples)


def _step_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
