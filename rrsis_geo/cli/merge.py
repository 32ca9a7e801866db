"""``rrsis-geo merge``: join the completed shards of a job into polygons and rasters."""

from pathlib import Path
from typing import Annotated

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app, command_line, resumable, start_time
from rrsis_geo.cli.options import (
    JsonOption,
    KeepJobOption,
    OutputOverwriteOption,
    ProgressOption,
    QuietOption,
    VerboseOption,
)
from rrsis_geo.cli.segment_report import print_report


@app.command(
    epilog="Example: rrsis-geo merge trucks.gpkg.job, after all of segment ... --shard K/N"
)
def merge(
    context: typer.Context,
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="Folder of the job: NAME.job beside the output.")
    ],
    overwrite: OutputOverwriteOption = False,
    keep_job: KeepJobOption = False,
    as_json: JsonOption = False,
    progress: ProgressOption = console.ProgressFormat.AUTO,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Join the shards of JOB and write its polygons and rasters."""
    console.setup_logging(quiet=quiet, verbose=verbose, progress_format=progress)
    from rrsis_geo.segment.scene import merge_job

    with (
        resumable(context, job) as stop,
        console.progress(quiet=quiet) as show_progress,
    ):
        report = merge_job(
            job,
            overwrite=overwrite,
            keep_job=keep_job,
            command=command_line(context),
            started=start_time(context),
            progress=show_progress,
            stop=stop,
        )
    print_report(report, as_json=as_json)
