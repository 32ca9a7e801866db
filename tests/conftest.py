"""Factories that every part's tests may use."""

import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_trees import write_benchmark
from hypothesis import settings
from scene_files import write_scene

from rrsis_geo import console

# The suite shares its machine with others: a slow example is no failing one.
settings.register_profile("quick", deadline=None, max_examples=40)
settings.load_profile("quick")


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., Path]:
    """A factory of small GeoTIFFs; see ``write_scene``. Each call writes another file."""
    written: list[Path] = []

    def make(height: int = 200, width: int = 300, **options: Any) -> Path:
        path = tmp_path / f"scene-{len(written)}.tif"
        written.append(path)
        return write_scene(path, height, width, **options)

    return make


@pytest.fixture
def make_benchmark(tmp_path: Path) -> Callable[..., Path]:
    """A factory of benchmark trees with small images; see ``write_benchmark``."""
    written: list[Path] = []

    def make(layout: str, **quirks: Any) -> Path:
        root = tmp_path / f"{layout}-{len(written)}"
        written.append(root)
        return write_benchmark(root, layout, **quirks)

    return make


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set up logging for a process of their own; put back what was."""
    monkeypatch.setattr(console, "_format", console.ProgressFormat.AUTO)
    logs = [logging.getLogger(name) for name in ("rrsis_geo", "py.warnings")]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in logs]
    with warnings.catch_warnings():
        yield
    logging.captureWarnings(False)
    for log, handlers, level, propagate in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
