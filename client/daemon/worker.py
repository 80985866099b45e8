"""The one thread in which a site's agent lives: it is made there, and asked there, one request after the other.

One thread, since an agent is in one run at a time, and since what it holds (a database, a model) belongs to the thread
that opened it. The thread never keeps the process alive: after the drain, whatever still runs is ended like by a crash,
which is what journal and ledger are made for.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs functions in their order, in a thread of its own."""

    def __init__(self, name: str = "fedward-agent") -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Queue a function; the future of the running loop has its result or its exception."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return asyncio.wrap_future(future)

    def _run(self) -> None:
        while True:
            job, future = self._jobs.get()
            if future.set_running_or_notify_cancel():
                try:
                    result = job()
                except Exception as error:  # noqa: BLE001 - handed on, to whoever waits for the result
                    future.set_exception(error)
                except BaseException as error:  # noqa: BLE001 - it would end the loop that waits for the result
                    future.set_exception(RuntimeError(type(error).__name__))
                else:
                    future.set_result(result)
                    del result
            # Neither a request nor an answer stays here until the next one comes.
            del job, future


__all__ = ["Worker"]
