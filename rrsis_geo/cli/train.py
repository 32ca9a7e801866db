"""``rrsis-geo train``: a configuration file in, a model bundle out."""

from pathlib import Path
from typing import Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    QuietOption,
    VerboseOption,
)


@app.command()
def train(
    config: Annotated[Path, typer.Option("--config", "-c", help="A TOML file, see configs/.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set one value over the file; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a network as a configuration file says, and save it as a model bundle."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.config import load
    from rrsis_geo.pipeline.train import TrainConfig, train_model

    with console.progress(quiet=quiet) as on_progress:
        scores = train_model(
            load(config, TrainConfig, settings or []),
            out,
            resume=resume,
            progress=on_progress and (lambda now: on_progress("steps", now.step, now.steps)),
        )
    console.print_facts(
        f"best scores of {out / 'model'}",
        [
            (name, f"{value:.4f}")
            for name, value in scores.to_dict().items()
            if isinstance(value, float)
        ],
    )
