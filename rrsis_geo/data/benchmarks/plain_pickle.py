"""Pickles of plain values, read without running code."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import numpy as np

from rrsis_geo.errors import InputError

_BYTEARRAY: Final = pickle.BYTEARRAY8[0]
"""Makes an array of any length before it reads a byte of it."""
_NUMBERS: Final = frozenset(
    {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
)
"""Types of NumPy numbers that are read."""


class _NumberType:
    """The type of a NumPy number, as a pickle describes it."""

    def __init__(self, code: str, *_flags: object) -> None:
        if code not in _NUMBERS:
            raise InputError(f"asks for a NumPy type {code!r}, which is not a plain value")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _read_number(kind: _NumberType, content: bytes | str) -> bool | int | float:
    """A NumPy number as a plain one. Python 2 wrote its bytes as a string."""
    if isinstance(content, str):
        is_latin = len(content) == kind.dtype.itemsize
        content = content.encode("latin-1" if is_latin else "utf-8")
    (number,) = np.frombuffer(content, kind.dtype).tolist()
    return cast(bool | int | float, number)


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as old versions of the format write them."""
    return text.encode("latin-1" if encoding == "latin1" else "utf-8")


_ALLOWED: Final = {
    ("collections", "OrderedDict"): dict,
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "scalar"): _read_number,
    ("numpy._core.multiarray", "scalar"): _read_number,
    ("_codecs", "encode"): _encode,
}
"""What a pickle may ask for -> what it gets. None of these can run code of the pickle."""


def _load_state(unpickler: Any) -> None:
    """Set the state of a type of numbers. Other states could change a function that is allowed."""
    state = unpickler.stack.pop()
    if not isinstance(unpickler.stack[-1], _NumberType):
        raise InputError("changes an object, which is not a plain value")
    unpickler.stack[-1].__setstate__(state)


class _PlainUnpickler(pickle._Unpickler):
    """Unpickler for plain containers and values. A pickle can otherwise run any code.

    The one in Python keeps what a pickle numbers in a dictionary. The one in C makes a table as
    long as the largest number, so that a few bytes can take all memory.
    """

    dispatch: ClassVar = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != _BYTEARRAY
    } | {pickle.BUILD[0]: _load_state}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise InputError(f"asks for {module}.{name}, which is not a plain value")
        return _ALLOWED[module, name]

    def _decode_string(self, value: bytes) -> str:
        """Strings of Python 2 are bytes without an encoding."""
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of lists, dictionaries, tuples, strings, numbers, booleans and None.

    NumPy numbers become plain numbers, and ordered dictionaries become dictionaries.

    Raises:
        InputError: the file is missing or damaged, or asks for anything else. Nothing is run.
    """
    try:
        return _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except InputError as err:
        raise InputError(f"{path}: {err}; not loaded, because it could run any code") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err}") from err
    except (
        pickle.UnpicklingError,
        struct.error,
        ValueError,  # includes UnicodeDecodeError
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as err:
        raise InputError(
            f"{path}: cannot be read as a pickle; the file may be damaged: {err}"
        ) from err
