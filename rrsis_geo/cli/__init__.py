"""The command line: each command parses, calls one function of the pipeline, and reports.

Pipelines are imported inside the commands, so that ``--help`` loads no network and no raster code.
"""

# Each module adds its commands to the app, in the order in which --help lists them.
# isort: off
from rrsis_geo.cli import segment
from rrsis_geo.cli import merge
from rrsis_geo.cli import info
from rrsis_geo.cli import train
from rrsis_geo.cli import evaluate
from rrsis_geo.cli import dataset

# isort: on
from rrsis_geo.cli.app import ErrorBoundary, app, main

__all__ = [
    "ErrorBoundary",
    "app",
    "dataset",
    "evaluate",
    "info",
    "main",
    "merge",
    "segment",
    "train",
]
