"""Objects of completed shards on disk."""

from pathlib import Path

import numpy as np
import pytest

from rrsis_geo.errors import OutputError
from rrsis_geo.segment.shards.shard_files import load_objects


@pytest.mark.parametrize("content", [b"", b"x", b"PK\3\4" + bytes(40), None], ids=str)
def test_damaged_objects_raise(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "objects.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OutputError, match=r"objects\.npz: .*missing or damaged.*--restart"):
        load_objects(path)


def test_a_flipped_bit_in_objects_raises(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, vertices=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(OutputError, match="missing or damaged"):
        load_objects(path)
