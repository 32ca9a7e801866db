"""How long work reports its progress: a callback that every command and library function shares."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of its steps that are done, and their total.

It may raise an exception of ours, such as `Stopped`, to end the work.
"""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing: the default where the caller gives no callback."""
