"""Sessions over scenes with red discs, which a stub model finds."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from predictor_stubs import RedPredictor, blobs, make_options

from rrsis_geo.explore.session import Model, Session, open_session
from rrsis_geo.segment.plan.predictor import WindowPredictor

OpenSession = Callable[..., Session]


@pytest.fixture
def discs(make_scene: Callable[..., Path]) -> Path:
    return make_scene(600, 700, content=blobs())


@pytest.fixture
def open_scene() -> Iterator[OpenSession]:
    """Opens sessions; they end with the test."""
    with ExitStack() as stack:

        def open_one(
            path: Path, predictor: WindowPredictor | None = None, **options: Any
        ) -> Session:
            known = predictor or RedPredictor()
            chosen = make_options(**{"overlap_px": 16, **options})
            model = Model(known.facts, lambda: known)
            return stack.enter_context(open_session(path, chosen, model))

        yield open_one
