"""Explore a scene: the front door."""

import logging
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import uvicorn

from rrsis_geo.errors import ConfigError
from rrsis_geo.explore.server import HOST, make_app
from rrsis_geo.explore.session import Model, open_session
from rrsis_geo.segment.info import read_model_facts
from rrsis_geo.segment.jobs.prepare import load_predictor
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.predictor import WindowPredictor

SHUTDOWN_SECONDS = 2
"""Time for answers that are being sent when the program ends."""


def explore_scene(
    scene: str | Path,
    options: SegmentOptions | None = None,
    *,
    port: int = 0,
    predictor: WindowPredictor | None = None,
    on_start: Callable[[str], object] = webbrowser.open,
) -> None:
    """Serve a page on this machine to explore a scene, until Ctrl-C.

    Args:
        scene: any raster that GDAL opens.
        options: None takes all defaults. The page begins with their threshold and smallest area.
        port: of this machine; 0 takes a free one.
        predictor: used instead of the bundle that the options name.
        on_start: called with the address of the page when it can be opened. By default it is opened
            in the browser.

    Raises:
        ConfigError: an option does not fit the scene or the model, landmarks are given, or the port
            is taken.
        InputError: the scene cannot be used.
        ModelError: the bundle is missing or damaged.
    """
    options = options or SegmentOptions()
    if options.landmarks:
        raise ConfigError("landmarks belong to one expression; use segment to give them")
    if predictor is None:
        model = Model(read_model_facts(options.model), lambda: load_predictor(options))
    else:
        known = predictor
        model = Model(known.facts, lambda: known)
    with closing(_listen(port)) as listener, open_session(scene, options, model) as session:
        token = secrets.token_urlsafe(24)
        on_start(f"http://{HOST}:{listener.getsockname()[1]}/{token}/")
        config = uvicorn.Config(
            make_app(session, token),
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    """A socket of this machine.

    Raises:
        ConfigError: the port is taken, or needs more rights.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as err:
        raise ConfigError(
            f"port {port} cannot be used ({err.strerror}); choose another --port, or none"
        ) from err
