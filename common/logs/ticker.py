"""A thread that calls ``tick`` every few seconds until it is told to stop, and then is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedward.common.logs.segments import FLUSH_S


@contextmanager
def ticking(tick: Callable[[], None], *, every_s: float = FLUSH_S) -> Iterator[None]:
    """Call ``tick`` in a thread while this lasts. It is awake for ``tick`` alone and ends at once.

    Args:
        tick: must not raise; ``Log.tick`` does not.
        every_s: seconds between two calls.
    """
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(every_s):
            tick()

    thread = threading.Thread(target=run, name="fedward-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


__all__ = ["ticking"]
