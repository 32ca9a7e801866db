"""The program as users start and end it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from repository import ROOT
from typer.testing import CliRunner

from rrsis_geo import cli
from rrsis_geo.errors import ConfigError
from rrsis_geo.explore import scene as module
from rrsis_geo.explore.scene import explore_scene
from rrsis_geo.segment.plan.landmarks import GivenLandmark
from rrsis_geo.segment.plan.options import SegmentOptions

PROGRAM = """
import sys
from bright_stub import BrightPredictor
from rrsis_geo.explore.scene import explore_scene
from rrsis_geo.segment.plan.options import SegmentOptions
explore_scene(
    sys.argv[1],
    SegmentOptions(overlap_px=16),
    predictor=BrightPredictor(),
    on_start=lambda address: print(address, flush=True),
)
"""


def test_ctrl_c_ends_it_and_leaves_nothing(make_scene: Callable[..., Path], tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(make_scene())],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        with urlopen(f"{address}api/state", timeout=60) as response:
            assert response.status == 200
        assert list(temporary.iterdir())
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 0
    assert errors == ""
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken(make_scene: Callable[..., Path]) -> None:
    with module._listen(0) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
            explore_scene(make_scene(), port=port)


def test_landmarks_are_refused(make_scene: Callable[..., Path]) -> None:
    options = SegmentOptions(landmarks=(GivenLandmark("the pier", Path("piers.gpkg")),))
    with pytest.raises(ConfigError, match="landmarks belong to one expression"):
        explore_scene(make_scene(), options)


@pytest.mark.usefixtures("own_logging")
def test_the_command_passes_its_options(
    monkeypatch: pytest.MonkeyPatch, make_scene: Callable[..., Path]
) -> None:
    calls: list[Any] = []

    def stand_in(scene: str, options: SegmentOptions, *, port: int, on_start: Any) -> None:
        calls.append((scene, options, port))
        on_start("http://127.0.0.1:1234/token/")

    monkeypatch.setattr(module, "explore_scene", stand_in)
    path = str(make_scene())
    arguments = ["explore", path, "--no-browser", "--port", "1234", "--bands", "3,2,1"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "http://127.0.0.1:1234/token/\n"
    ((scene, options, port),) = calls
    assert (scene, port, options.scene.bands) == (path, 1234, (3, 2, 1))


@pytest.mark.usefixtures("own_logging")
def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rrsis_geo.explore.s")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(cli.app, ["explore", "scene.tif"])
    assert result.exit_code == 2
    assert "uvicorn is not installed" in result.stderr
    assert "pip install 'rrsis-geo[explore]'" in result.stderr
