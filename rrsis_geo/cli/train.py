"""``rrsis-geo train``: train a model from a configuration file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import INTERRUPTED, app
from rrsis_geo.cli.options import (
    JsonOption,
    QuietOption,
    VerboseOption,
)
from rrsis_geo.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rrsis_geo.train.config import TrainConfig
    from rrsis_geo.train.training import Scores, TrainProgress

_SCORE_NAMES: Final = {
    "miou": "mIoU",
    "oiou": "oIoU",
    "pr50": "Pr@0.5",
    "pr70": "Pr@0.7",
    "pr90": "Pr@0.9",
    "giou": "gIoU",
    "n_acc": "N-acc",
    "t_acc": "T-acc",
}
"""Names of the main scores in papers."""


@app.command(
    epilog="Example: rrsis-geo train --config configs/btdnet_rrsisd.toml "
    "--set optim.lr=3e-5 -o runs/a"
)
def train(
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            help="TOML file, or the name of one that comes with the program, such as finetune.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Override one value of the file. Repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Train N times with consecutive seeds, in OUT/seed-*, and report mean and "
            "standard deviation of the scores, also in OUT/seeds.json.",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="Push the bundle to the Hugging Face Hub at the end. A new repository is private.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a network from a configuration file and save it as a model bundle."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.errors import ConfigError
    from rrsis_geo.train.config import load_train_config
    from rrsis_geo.train.publish import push_bundle, reserve_repository
    from rrsis_geo.train.training import train_model

    run = load_train_config(config, settings or [])
    if run.deterministic:  # cuBLAS reads it when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if seeds is not None:
        if push_to_hub is not None:
            raise ConfigError("--push-to-hub pushes one model, so it does not go with --seeds")
        _train_seeds(run, out, seeds, resume=resume, as_json=as_json, quiet=quiet)
        return
    page = reserve_repository(push_to_hub) if push_to_hub is not None else None
    with _told_how_to_resume(out), console.board(quiet=quiet) as show:
        scores = train_model(run, out, resume=resume, progress=show and _board_progress(show))
    if scores is None:  # only the first of several processes prints
        return
    if push_to_hub is not None:
        push_bundle(out / "model", push_to_hub)
    model = str(out / "model")
    if as_json:
        console.print_json({"model": model, "scores": scores.to_dict(), "page": page})
    else:
        facts = [("samples", str(scores.n)), *_format_scores(scores).items()]
        console.print_facts(
            f"best scores of {model}", facts if page is None else [*facts, ("pushed to", page)]
        )


def _train_seeds(
    run: "TrainConfig", out: Path, n: int, *, resume: bool, as_json: bool, quiet: bool
) -> None:
    """Train with several seeds, and print their scores."""
    from rrsis_geo.train.seeds import train_seeds

    with _told_how_to_resume(out), console.board(quiet=quiet) as show:
        progress = show and _board_progress(show)
        report = train_seeds(run, out, n, resume=resume, progress=progress)
    if report is None:  # only the first of several processes prints
        return
    if as_json:
        console.print_json(report.to_dict())
        return
    names = _known_scores(report.mean)
    rows = {f"seed {seed}": scores.values() for seed, scores in report.runs.items()}
    rows |= {"mean": dict(report.mean), "standard deviation": dict(report.std)}
    console.print_facts(f"best validation scores of {n} runs in {out}", [])
    console.print_table(
        ("", *(_SCORE_NAMES[name] for name in names)),
        [(row, *(f"{values[name]:.4f}" for name in names)) for row, values in rows.items()],
    )


@contextmanager
def _told_how_to_resume(out: Path) -> Iterator[None]:
    """Print how to resume if the user interrupts the block."""
    try:
        yield
    except KeyboardInterrupt as err:
        console.print_interrupted(f"--resume continues from the newest checkpoint in {out}")
        raise typer.Exit(INTERRUPTED) from err


def _board_progress(show: console.BoardCallback) -> "Callable[[TrainProgress], None]":
    """A progress callback that shows boards, with a message for each new validation score."""
    last_scores: Scores | None = None

    def show_progress(now: "TrainProgress") -> None:
        nonlocal last_scores
        is_new = now.scores is not None and now.scores is not last_scores
        last_scores = now.scores
        show(_make_board(now, has_new_scores=is_new))

    return show_progress


def _make_board(now: "TrainProgress", *, has_new_scores: bool) -> console.Board:
    """The progress of training as a board, with a message if it has new scores."""
    sections = [
        console.Section(
            title="loss",
            columns=tuple(now.losses),
            rows={"": [f"{value:.4f}" for value in now.losses.values()]},
        ),
        console.Section(
            title="learning rate",
            columns=tuple(now.rates),
            rows={"": [f"{rate:.2e}" for rate in now.rates.values()]},
        ),
    ]
    message = ""
    if now.scores is not None and now.best is not None:
        last, best = _format_scores(now.scores), _format_scores(now.best)
        sections.append(
            console.Section(
                title="validation",
                columns=tuple(last),
                rows={"last": tuple(last.values()), "best": tuple(best.values())},
            )
        )
        if has_new_scores:
            scores = ", ".join(f"{name} {value}" for name, value in last.items())
            better = "; the best so far" if now.scores is now.best else ""
            message = f"validation after step {now.step}: {scores}{better}"
    epoch = [f"epoch {now.epoch} of {now.epochs}"] if now.epochs else []
    return console.Board(
        title="training",
        done=now.step,
        total=now.steps,
        notes=[
            *epoch,
            f"{now.images_per_second:.1f} images/s",
            *([f"{format_duration(now.seconds_left)} left"] if now.step < now.steps else []),
        ],
        sections=sections,
        message=message,
    )


def _format_scores(scores: "Scores") -> dict[str, str]:
    """The main scores, as text."""
    values = scores.values()
    return {_SCORE_NAMES[name]: f"{values[name]:.4f}" for name in _known_scores(values)}


def _known_scores(values: "Mapping[str, float]") -> list[str]:
    """Names of the main scores. T-acc is of interest beside N-acc only."""
    hidden = () if "n_acc" in values else ("t_acc",)
    return [name for name in _SCORE_NAMES if name in values and name not in hidden]
