"""Background threads: one that reads ahead of the caller, one that works behind it.

They run in a copy of the caller's context, so that their warnings belong to the caller's run.
"""

import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from rrsis_geo.geo.scene.sources import geo_env

T = TypeVar("T")
READ_AHEAD = 1
"""Window rows that are read in advance while the network runs."""
BACKGROUND_TASKS = 2
"""Predicted batches of windows that wait to be blended."""


@contextmanager
def read_ahead(items: Iterator[T], depth: int = READ_AHEAD) -> Iterator[Iterator[T]]:
    """Iterate over items in a thread, in advance of the caller.

    Args:
        items: used by the thread only, until the context ends.
        depth: maximum number of items that wait.

    Yields:
        The items, in order. An error of the thread is raised where the next item is requested.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        """Queue an item or an error; returns False if the caller has stopped."""
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put((item, error), timeout=0.1)
                return True
        return False

    def produce() -> None:
        try:
            with geo_env():
                for item in items:
                    if not put(item, None):
                        return
            put(None, _NoMoreItems())
        except BaseException as err:
            put(None, err)

    def consume() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if isinstance(error, _NoMoreItems):
                return
            if error is not None:
                raise error
            yield cast(T, item)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=[produce], name="read-ahead", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        thread.join()


def run_in_background(
    tasks: Iterable[Callable[[], T]], depth: int = BACKGROUND_TASKS
) -> Generator[T, None, None]:
    """Run tasks one by one in a thread, while the caller's thread makes the next ones.

    Args:
        tasks: iterated in the caller's thread.
        depth: maximum number of tasks that run or wait while the next one is made.

    Yields:
        The results of the tasks, in order. An error of a task, or of making one, is raised in the
        place of its result, and no later task is started. Close the iterator to end early; no task
        is running after that.
    """
    waiting: deque[Future[T]] = deque()
    failed = threading.Event()

    def run(task: Callable[[], T]) -> T:
        if failed.is_set():
            raise CancelledError
        try:
            with geo_env():
                return task()
        except BaseException:
            failed.set()
            raise

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, "run-in-background") as thread:
        try:
            for task in _with_error_task(tasks):
                waiting.append(thread.submit(context.run, run, task))
                while len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


def _with_error_task(tasks: Iterable[Callable[[], T]]) -> Iterator[Callable[[], T]]:
    """The tasks. If making one fails, a task that raises the error is the last one."""
    try:
        yield from tasks
    except Exception as err:
        error = err

        def fail() -> T:
            raise error

        yield fail


class _NoMoreItems(Exception):
    """Marks the end of the items."""
