"""Scenes with red discs, and a stub model that finds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from predictor_stubs import RedPredictor, blobs


@pytest.fixture
def red() -> RedPredictor:
    return RedPredictor()


@pytest.fixture
def make_blobs(make_scene: Callable[..., Path]) -> Callable[..., Path]:
    """`make_scene` with red discs."""

    def make(height: int = 200, width: int = 300, **options: Any) -> Path:
        return make_scene(height, width, **{"content": blobs(), **options})

    return make
