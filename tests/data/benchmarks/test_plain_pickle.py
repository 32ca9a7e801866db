"""Pickles of plain values."""

import collections
import contextlib
import datetime
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrsis_geo.data.benchmarks import plain_pickle
from rrsis_geo.data.benchmarks.plain_pickle import read_plain_pickle
from rrsis_geo.errors import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(-(2**40)), -(2**40)),
        (np.uint8(200), 200),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (collections.OrderedDict(a=[np.int64(1)]), {"a": [1]}),
        (b"caf\xe9", b"caf\xe9"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numpy_numbers_and_ordered_dictionaries_become_plain_values(
    tmp_path: Path, value: object, expected: object, protocol: int
) -> None:
    path = tmp_path / "some.p"
    path.write_bytes(pickle.dumps([value], protocol))
    (got,) = read_plain_pickle(path)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize("type_", [">i4", "<i4", ">f8", "|u1"])
def test_numpy_numbers_of_any_byte_order_are_read(tmp_path: Path, type_: str) -> None:
    path = tmp_path / "some.p"
    value = np.array([7], type_)[0]
    path.write_bytes(pickle.dumps(value))
    assert read_plain_pickle(path) == 7


def test_numpy_numbers_of_python_2_are_read(tmp_path: Path) -> None:
    """Python 2 wrote the bytes of a number as a string."""
    path = tmp_path / "old.p"
    for number in (5, 200, 0xA9C3):
        content = "".join(f"\\x{byte:02x}" for byte in number.to_bytes(8, "little"))
        path.write_bytes(
            b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR"
            b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbS'" + content.encode() + b"'\ntR."
        )
        assert read_plain_pickle(path) == number


def test_what_a_pickle_may_ask_for_is_not_changed_by_it(tmp_path: Path) -> None:
    """The opcode BUILD sets attributes of any object."""
    path = tmp_path / "some.p"
    path.write_bytes(b"c_codecs\nencode\n(N(dS'__defaults__'\n(I1\ntstb.")
    with pytest.raises(InputError, match="changes an object, which is not a plain value"):
        read_plain_pickle(path)
    assert plain_pickle._encode.__defaults__ is None


class Hostile:
    """An object that runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_malicious_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "proof"
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([Hostile(f"touch {proof}")], protocol))
    with pytest.raises(InputError, match=r"refs\.p: asks for (posix|nt)\.system"):
        read_plain_pickle(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists(), "the pickle would have done nothing, so the test shows nothing"


@pytest.mark.parametrize(
    "value",
    [
        eval,
        np.zeros(3),
        collections.Counter(a=1),
        np.str_("a"),
        np.datetime64("2024-01-01"),
        np.dtype("O"),
        datetime.date(2024, 1, 1),
        Path("a"),
        1j,
        len,
    ],
    ids=lambda value: type(value).__name__,
)
def test_pickles_of_other_values_are_not_read(tmp_path: Path, value: object) -> None:
    path = tmp_path / "some.p"
    path.write_bytes(pickle.dumps([value]))
    with pytest.raises(InputError, match=r"some\.p: asks for [^,]+, which is not a plain value"):
        read_plain_pickle(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_unchanged(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.p"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


@given(content=st.binary(max_size=60))
def test_noise_raises_input_error_only(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.p"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # any other error fails the test
        read_plain_pickle(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]r\xff\xff\xff\0.",
        b"]p16777215\n.",
        b"\x80\x04\x8e\xff\xff\xff\x07\0\0\0\0.",
        b"\x80\x05\x96\xff\xff\xff\x07\0\0\0\0.",
    ],
    ids=["long binput", "put", "binbytes8", "bytearray8"],
)
def test_a_few_bytes_take_little_memory(tmp_path: Path, content: bytes) -> None:
    """Numbers up to 2**31 and lengths up to 2**63 can be written in the same few bytes."""
    path = tmp_path / "small.p"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with contextlib.suppress(InputError):
            read_plain_pickle(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**20


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.p"
    path.write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\np1\na.")
    assert read_plain_pickle(path) == ["café"]


def test_a_latin_1_string_of_python_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.p"
    path.write_bytes(b"(lp0\nS'caf\\xe9'\np1\na.")
    assert read_plain_pickle(path) == ["café"]
