"""The command line. Each command parses its options, calls one function and prints the result.

Commands import what they call inside their bodies, so that ``--help`` loads no heavy library.
"""

# Each import adds commands to the app. The order is the order in --help.
# isort: off
from rrsis_geo import clock as clock  # first, so that the time of all imports counts
from rrsis_geo.cli import segment
from rrsis_geo.cli import merge
from rrsis_geo.cli import explore
from rrsis_geo.cli import info
from rrsis_geo.cli import models
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
    "explore",
    "info",
    "main",
    "merge",
    "models",
    "segment",
    "train",
]
