"""The memory that a process may use."""

from pathlib import Path

import pytest

from rrsis_geo.segment.plan import memory
from rrsis_geo.segment.plan.memory import usable_memory

GIB = 2**30


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the control groups on a machine without any."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr("os.sysconf", lambda name: 2**18)  # 64 GiB
    return tmp_path / "cgroup"


def write(cgroups: Path, own: str, **limits: str) -> None:
    cgroups.with_name("own").write_text(own)
    for path, limit in limits.items():
        file = cgroups / path.replace("__", "/").replace("-", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit)


@pytest.mark.usefixtures("cgroups")
def test_without_control_groups_it_is_the_memory_of_the_machine() -> None:
    assert usable_memory() == 64 * GIB


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory-max": f"{2 * GIB}\n"}, 2 * GIB),  # version 2, in a container
        ("0::/\n", {"memory-max": "max\n"}, 64 * GIB),
        (
            "0::/jobs/7\n",
            {"jobs__memory-max": f"{3 * GIB}\n", "jobs__7__memory-max": "max"},
            3 * GIB,
        ),
        ("0::/jobs/7\n", {"jobs__7__memory-max": str(200 * GIB)}, 64 * GIB),
        # version 1
        (
            "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
            {
                "memory__a__memory-limit_in_bytes": str(GIB),
                "memory__memory-limit_in_bytes": "1" * 18,
            },
            GIB,
        ),
        # version 1, in a container
        ("4:memory:/docker/c0\n", {"memory__memory-limit_in_bytes": str(GIB)}, GIB),
    ],
)
def test_limits_of_control_groups_count(
    cgroups: Path, own: str, limits: dict[str, str], expected: int
) -> None:
    write(cgroups, own, **limits)
    assert usable_memory() == expected


def test_unknown_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    assert usable_memory() is None
