"""The exceptions that users see. Each one has an exit code of the command line.

A message says what is wrong, in which file, and what to do about it.
"""


class RrsisError(Exception):
    """Base class of all errors that are not bugs."""

    exit_code = 1


class ConfigError(RrsisError):
    """A setting, option or configuration file is invalid."""

    exit_code = 2


class InputError(RrsisError):
    """A scene, dataset or expression cannot be used."""

    exit_code = 3


class OutsideError(InputError):
    """The area of interest does not overlap the scene."""


class ModelError(RrsisError):
    """A model bundle is missing, damaged or incompatible."""

    exit_code = 4


class OutputError(RrsisError):
    """A result cannot be written."""

    exit_code = 5


class DeviceError(RrsisError):
    """A device is missing or has too little memory."""

    exit_code = 6


class IncompleteError(RrsisError):
    """Results were written, but some windows failed and have no data."""

    exit_code = 7


class Stopped(RrsisError):
    """A run stopped on request. Its completed work is saved."""

    exit_code = 130
