"""Serve a session of `explore`, and wait for it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from rrsis_geo.explore.server import HOST, make_app
from rrsis_geo.explore.session import Session


def wait(session: Session, seconds: float = 60) -> None:
    """Wait until nothing is searched any more."""
    end = time.monotonic() + seconds
    while session.is_busy:
        assert time.monotonic() < end, "the search does not end"
        time.sleep(0.01)


@contextmanager
def serve(session: Session, token: str) -> Iterator[str]:
    """Serve the page of a session in a thread. Yields the address, without the token."""
    with socket.create_server((HOST, 0)) as listener:
        config = uvicorn.Config(
            make_app(session, token), log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
