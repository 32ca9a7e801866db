"""Train a network: the front door of ``train``."""

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
from rrsis_geo.metrics import Scores, scores_from_dict
from rrsis_geo.model.predictor import choose_device, choose_dtype, is_out_of_memory
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.train.card import TrainedModel
from rrsis_geo.train.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from rrsis_geo.train.config import (
    TrainConfig,
    check_resumable,
    out_of_memory_message,
    plan_training,
)
from rrsis_geo.train.distributed import (
    World,
    average_gradients,
    init_processes,
    synchronize_batch_norms,
)
from rrsis_geo.train.initial_net import load_initial_net
from rrsis_geo.train.journal import Journal, tensorboard_installed
from rrsis_geo.train.optim import Schedule, make_optimizer, set_rates
from rrsis_geo.train.recomputation import recompute_activations
from rrsis_geo.train.samples import (
    RankBatches,
    RunData,
    load_batches,
    load_benchmark_data,
    load_stream_data,
)
from rrsis_geo.train.step import (
    LossError,
    NetWithLoss,
    StepSettings,
    deterministic_operations,
    float32_depthwise,
    train_step,
)
from rrsis_geo.train.validation import Validator

__all__ = ["Scores", "TrainConfig", "TrainProgress", "train_model"]

logger = logging.getLogger(__name__)

CONFIG_FILE: Final = "config.json"
MODEL_FOLDER: Final = "model"
LAST_FOLDER: Final = "last"
CHECKPOINT_FOLDER: Final = "checkpoints"
LOG_EVERY: Final = 20
"""Steps between reports of the loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Progress of a run.

    Attributes:
        step: completed optimizer steps.
        steps: total number of steps.
        epoch: current epoch, from 1; 0 for an endless stream.
        epochs: total number of epochs; 0 for an endless stream.
        losses: parts of the loss of the last step, and their sum, "total".
        rates: learning rates of "encoder" and "rest".
        images_per_second: speed of the last steps.
        seconds_left: estimate for the remaining steps, without validation.
        scores: scores of the last validation, None before the first.
        best: best scores so far, also from before the run was resumed.
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
    """Train a network, and save the weights with the best validation scores as a bundle.

    Sample i of a run and the random numbers of step j depend only on the seed, so a resumed run
    ends with the same weights as an uninterrupted one. If torchrun started several processes, each
    takes its share of every batch; rank 0 validates and writes files.

    Args:
        config: settings of the run.
        run_dir: folder for ``config.json``, ``metrics.jsonl``, ``tensorboard/``, ``pictures/``,
            ``checkpoints/`` and the bundle, ``model/``; also ``last/`` with ``save_last``.
        resume: continue from the newest checkpoint in ``run_dir``.
        progress: called every few steps and after each validation.

    Returns:
        the best validation scores; None in all processes except rank 0.

    Raises:
        ConfigError: the settings are invalid, or differ from those of the run to resume.
        InputError: data is missing or damaged, there is no checkpoint to resume from, or the loss
            is not finite.
        ModelError: initial weights are missing or do not fit.
        OutputError: ``run_dir`` contains another run, or cannot be written.
        DeviceError: the device does not exist or has too little memory.
    """
    with (
        deterministic_operations(config.deterministic),
        init_processes(choose_device(config.device).type) as world,
    ):
        run = _Run(config.over_processes(world.size), run_dir, world)
        try:
            if resume:
                run.restore()
            elif list_checkpoints(run.checkpoint_dir):
                raise OutputError(
                    f"{run_dir}: contains a run; continue it with --resume, or choose another "
                    "folder"
                )
            return run.train(progress)
        except LossError as err:
            checkpoints = list_checkpoints(run.checkpoint_dir)
            last = f"the last checkpoint is {checkpoints[-1]}" if checkpoints else "no checkpoint"
            raise InputError(f"step {run.step + 1}: {err}; {last}") from err
        except RuntimeError as err:
            if config.deterministic and "deterministic" in str(err):
                raise DeviceError(
                    f"{run.device}: {str(err).splitlines()[0]} Set deterministic = false, or train "
                    'with device = "cpu"'
                ) from err
            if not is_out_of_memory(err):
                raise
            message = out_of_memory_message(run.config, str(run.device), run.step + 1)
            raise DeviceError(message) from err


class _Run:
    """The state of a run in one process."""

    def __init__(self, config: TrainConfig, run_dir: Path, world: World) -> None:
        torch.manual_seed(config.seed)
        self.config, self.run_dir, self.world = config, run_dir, world
        self.checkpoint_dir = run_dir / CHECKPOINT_FOLDER
        self.device = choose_device(config.device)
        if world.size > 1 and self.device.type == "cuda":
            self.device = torch.device("cuda", world.local_rank)
        self.data = _load_data(config)
        self.plan = plan_training(config, self.data.epoch_samples)
        start = load_initial_net(config)
        self.start = start
        self.validator = None
        if world.rank == 0:  # copies the network before its forward methods are replaced
            self.validator = Validator(config, self.data, start, self.device)
        self.net = start.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = None
        if config.ema_decay:
            self.average = AveragedModel(
                self.net, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
            )
        if config.sync_batch_norm:
            synchronize_batch_norms(self.net, world, self.device)
        self.dtype = choose_dtype(config.dtype, self.device)
        self.optimizer = make_optimizer(self.net, config.optim)
        self.scaler = GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        if config.minutes is not None and world.size > 1:
            raise ConfigError("minutes limits runs of one process only; set steps or epochs")
        self.schedule = Schedule(self.plan.steps, config.minutes)
        self.step, self.is_over = 0, False
        self.best: Scores | None = None

    @property
    def inference_net(self) -> ReferringNet:
        """The network to validate and save: the average if there is one."""
        return self.net if self.average is None else cast(ReferringNet, self.average.module)

    def restore(self) -> None:
        """Restore the state of the newest checkpoint."""
        state = load_checkpoint(self.checkpoint_dir)
        check_resumable(state["config"], to_dict(self.config), self.checkpoint_dir)
        for name, part in self._stateful_parts().items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.schedule.resume(state.get("seconds", 0.0))
        self.best = None if state["best"] is None else scores_from_dict(state["best"])

    def save(self) -> None:
        """Write a checkpoint."""
        state = {name: part.state_dict() for name, part in self._stateful_parts().items()}
        best = None if self.best is None else self.best.to_dict()
        state |= {"step": self.step, "seconds": self.schedule.seconds, "best": best}
        state["config"] = to_dict(self.config)
        save_checkpoint(self.checkpoint_dir, self.step, state)

    def _stateful_parts(self) -> dict[str, Any]:
        parts = {"net": self.net, "optimizer": self.optimizer, "scaler": self.scaler}
        return parts if self.average is None else parts | {"average": self.average}

    def train(self, progress: Callable[[TrainProgress], None] | None) -> Scores | None:
        """Run the remaining steps."""
        if self.world.rank > 0:
            for _ in self._run_steps():
                pass
            return None
        self._write_config()
        tensorboard = self.config.tensorboard
        if tensorboard is None:
            tensorboard = tensorboard_installed()
        journal = Journal(self.run_dir, tensorboard=tensorboard, since_step=self.step)
        try:
            self._train_and_report(journal, progress or (lambda now: None))
        finally:
            journal.close()
        return self.best

    def _write_config(self) -> None:
        text = json.dumps(to_dict(self.config), indent=2) + "\n"
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            (self.run_dir / CONFIG_FILE).write_text(text, encoding="utf-8")
        except OSError as err:
            raise OutputError(f"{self.run_dir}: cannot be written ({err.strerror})") from err

    def _train_and_report(
        self, journal: Journal, progress: Callable[[TrainProgress], None]
    ) -> None:
        """Run the remaining steps, validate, log and save checkpoints."""
        plan, scores = self.plan, None
        timer, last_save = _StepTimer(), time.monotonic()
        for losses, rates in self._run_steps():
            timer.stop()
            is_log_step = self.step % LOG_EVERY == 0
            images_per_second = timer.steps_per_second * plan.step_samples
            if is_log_step or self.is_over:
                journal.write_losses(self.step, losses, rates, images_per_second)
            is_validated = self.step in plan.validate_at or self.is_over
            if is_validated:
                scores = self._validate(journal)
            if is_validated or is_log_step or self.step == 1:
                progress(
                    TrainProgress(
                        step=self.step,
                        steps=plan.steps,
                        epoch=plan.current_epoch(self.step),
                        epochs=plan.current_epoch(plan.steps),
                        losses=losses,
                        rates=rates,
                        images_per_second=images_per_second,
                        seconds_left=min(
                            (plan.steps - self.step) / timer.steps_per_second,
                            self.schedule.seconds_left,
                        ),
                        scores=scores,
                        best=self.best,
                    )
                )
            if self.is_over or time.monotonic() - last_save > 60 * self.config.checkpoint_minutes:
                self.save()
                last_save = time.monotonic()
            timer.start()

    def _run_steps(self) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
        """Run the remaining steps; yield the parts of the loss and the learning rates of each."""
        config, net = self.config, self.net
        if self.device.type == "cpu":
            float32_depthwise(net)
        if config.checkpointing:
            recompute_activations(net)
        model = average_gradients(NetWithLoss(net), self.device)
        settings = StepSettings(
            optimizer=self.optimizer,
            scaler=self.scaler,
            image=self.start.image,
            clip_norm=config.optim.clip_norm,
            dtype=self.dtype,
        )
        batches = self._load_batches()
        net.train()
        if self.schedule.progress(self.step) == 1:  # a finished run was resumed
            return
        for step in range(self.step + 1, self.plan.steps + 1):
            rates = set_rates(self.optimizer, config.optim, step, self.schedule.progress(step - 1))
            # a seed per step and process, so that no random state must be saved for resuming
            torch.manual_seed(_make_step_seed(config.seed, step, self.world.rank))
            losses = train_step(model, list(islice(batches, config.accumulate)), settings)
            if self.average is not None:
                self.average.update_parameters(net)
            self.step, self.is_over = step, self.schedule.progress(step) == 1
            yield losses, rates
            if self.is_over:
                return

    def _load_batches(self) -> Iterator[Batch]:
        config = self.config
        indices = RankBatches(
            self.step * config.accumulate,
            self.plan.steps * config.accumulate,
            batch_size=config.batch_size,
            world=self.world,
        )
        return load_batches(
            self.data.train,
            indices,
            self.start.tokenizer,
            workers=config.workers,
            pinned=self.device.type == "cuda",
        )

    def _validate(self, journal: Journal) -> Scores:
        """Score the network, draw predictions, and save the bundles that it belongs in."""
        net, config = self.inference_net, self.config
        assert self.validator is not None
        scores, masks = self.validator.score(net)
        journal.write_scores(self.step, scores)
        journal.write_pictures(self.step, self.data.preview, masks)
        logger.info("step %d: gIoU %.4f, mIoU %.4f", self.step, scores.giou, scores.miou)
        model = TrainedModel(self.step, self.plan.steps, scores, config.best_by)
        by = config.best_by.lower()
        if self.best is None or getattr(scores, by) > getattr(self.best, by):
            self.best = scores
            self.validator.save(net, self.run_dir / MODEL_FOLDER, model)
        if config.save_last:
            last = model._replace(best_by=None)
            self.validator.save(net, self.run_dir / LAST_FOLDER, last)
        return scores


class _StepTimer:
    """Measures the speed of steps, without validation and checkpoints."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self.start()

    def start(self) -> None:
        self._start = time.monotonic()

    def stop(self) -> None:
        self._seconds = [*self._seconds[1 - LOG_EVERY :], time.monotonic() - self._start]

    @property
    def steps_per_second(self) -> float:
        """Average over the last steps."""
        return len(self._seconds) / max(sum(self._seconds), 1e-9)


def _load_data(config: TrainConfig) -> RunData:
    if config.benchmark is not None:
        return load_benchmark_data(config.benchmark, seed=config.seed, workers=config.workers)
    assert config.data is not None
    assert config.steps is not None
    length = config.steps * config.step_samples
    return load_stream_data(config.data, seed=config.seed, length=length)


def _make_step_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
