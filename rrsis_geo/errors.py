"""The exceptions users meet, each with the exit code of the command line.

A message says what is wrong, in which file, and what to do about it.
"""


class RrsisError(Exception):
    """Base of every error that is not a bug."""

    exit_code = 1


class ConfigError(RrsisError):
    """A setting, option or configuration file that does not make sense."""

    exit_code = 2


class InputError(RrsisError):
    """A scene, data set or expression that cannot be used."""

    exit_code = 3


class OutsideError(InputError):
    """An area of interest that lies beside the scene."""


class ModelError(RrsisError):
    """A model bundle that is missing, damaged or does not fit."""

    exit_code = 4


class OutputError(RrsisError):
    """A result that cannot be written."""

    exit_code = 5


class DeviceError(RrsisError):
    """A processor or its memory that cannot do the work."""

    exit_code = 6


class IncompleteError(RrsisError):
    """Results that were written with gaps, because windows failed."""

    exit_code = 7


class Stopped(RrsisError):
    """A run that was asked to stop, and did; what is finished is kept."""

    exit_code = 130
