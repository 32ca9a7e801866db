"""Threads before and behind the one that looks: what comes is drawn, what was found is done."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from rrsis_geo.geo.scene.pixels import geo_env

T = TypeVar("T")
READ_AHEAD = 1
"""Window rows that wait, read, while the network runs."""
DONE_BEHIND = 2
"""Batches of windows that wait, looked at, to be blended."""


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


def run_in_background(
    tasks: Iterable[Callable[[], T]], depth: int = DONE_BEHIND
) -> Generator[T, None, None]:
    """Do tasks in a thread, one after the other, while the next ones are made here.

    Args:
        tasks: made as they are drawn, in the caller's thread.
        depth: how many may wait or be at work while the next one is made.

    Yields:
        What each gave, in order. What one raises, or the making of one, is raised in its place, and
        those behind it are not begun. Close the iterator to end before the last: no task is at work
        then.
    """
    waiting: deque[Future[T]] = deque()
    failed = threading.Event()

    def do(task: Callable[[], T]) -> T:
        if failed.is_set():
            raise CancelledError
        try:
            with geo_env():
                return task()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(1, "run-in-background") as thread:
        try:
            for task in _with_its_end(tasks):
                waiting.append(thread.submit(do, task))
                while len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


def _with_its_end(tasks: Iterable[Callable[[], T]]) -> Iterator[Callable[[], T]]:
    """Tasks, and where the making of one fails, one that raises the error."""
    try:
        yield from tasks
    except Exception as err:
        error = err

        def fail() -> T:
            raise error

        yield fail


class _Finished(Exception):
    """Marks the end of the items."""
