"""A thread that draws the next items while the last one is worked on."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from rrsis_geo.geo.pixels import geo_env

T = TypeVar("T")
READ_AHEAD = 1
"""Window rows that wait, read, while the network runs."""


@contextmanager
def read_ahead(items: Iterator[T], depth: int = READ_AHEAD) -> Iterator[Iterator[T]]:
    """Draw items in a thread while the last one is worked on.

    Args:
        items: used by the thread only, until the context is left.
        depth: how many items may wait.

    Yields:
        The items, in order; what the thread raises is raised where the next item is asked for.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put((item, error), timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            with geo_env():
                for item in items:
                    if not put(item, None):
                        return
            put(None, _Finished())
        except BaseException as err:
            put(None, err)

    def drawn() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if isinstance(error, _Finished):
                return
            if error is not None:
                raise error
            yield cast(T, item)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield drawn()
    finally:
        stopped.set()
        thread.join()


class _Finished(Exception):
    """Marks the end of the items."""
