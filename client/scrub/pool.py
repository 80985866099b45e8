"""Chunks through workers and back in their order; the same bytes for any number of workers.

Invariants: at most two chunks a worker are under way, so memory is bounded; a worker that dies ends the run; keys and
records go through pipes only. With one worker everything happens in this process.
"""

from __future__ import annotations

import queue
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from fedward.client.scrub import frames
from fedward.client.scrub.chunks import Chunk
from fedward.client.scrub.refusals import as_error
from fedward.client.scrub.settings import Setup
from fedward.client.scrub.work import ChunkWorker, Done, code_of
from fedward.common.errors import ConfigError, RunError

_AHEAD = 2


class Pool(Protocol):
    """Turns chunks into what they become."""

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Done]]:
        """Each chunk with its outcome, in order.

        Raises:
            DataError: a bad record, by name and place.
            RunError: a worker died.
        """

    def close(self) -> None:
        """End the workers."""


class InProcess:
    """One worker: this process."""

    def __init__(self, setup: Setup) -> None:
        self._names = [member.name for member in setup.members]
        self._worker = ChunkWorker(setup)

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Done]]:
        """See ``Pool``."""
        for chunk in chunks:
            code = None
            try:
                done = self._worker.process(chunk.start.member, chunk.start.number, chunk.body)
            except Exception as error:  # noqa: BLE001 - as from another process: a code, for its text may quote a record
                code = code_of(error)
            if code is not None:
                raise as_error(self._names[chunk.start.member], **code)
            yield chunk, done

    def close(self) -> None:
        """See ``Pool``."""


class Processes:
    """Several workers, each a process of its own with a pipe in each direction."""

    def __init__(self, setup: Setup, count: int) -> None:
        self._names = [member.name for member in setup.members]
        self._workers = [_start() for _ in range(count)]
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="scrub")
        raw = setup.model_dump_json().encode()
        try:
            for worker in self._workers:
                _introduce(worker, raw)
            for worker in self._workers:
                _await_ready(worker)
                self._idle.put(worker)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [worker.pid for worker in self._workers]

    def run(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Done]]:
        """See ``Pool``."""
        under_way: deque[tuple[Chunk, Future[Done]]] = deque()
        for chunk in chunks:
            under_way.append((chunk, self._threads.submit(self._process, chunk)))
            if len(under_way) >= _AHEAD * len(self._workers):
                first, future = under_way.popleft()
                yield first, future.result()
        while under_way:
            first, future = under_way.popleft()
            yield first, future.result()

    def _process(self, chunk: Chunk) -> Done:
        worker = self._idle.get()
        head = {"member": chunk.start.member, "number": chunk.start.number}
        assert worker.stdin is not None  # noqa: S101 - both are pipes
        assert worker.stdout is not None  # noqa: S101
        try:
            frames.send(worker.stdin, head, chunk.body)
            answer = frames.receive(worker.stdout)
        except (OSError, ValueError):  # a broken pipe; closed by ``close``
            answer = None
        finally:
            self._idle.put(worker)  # a dead one too: whoever waits for a worker must not wait for ever
        if answer is None:
            raise RunError("a worker died; nothing is written", hint="Is there enough memory? Try fewer --workers.")
        if "error" in answer[0]:
            raise as_error(self._names[chunk.start.member], **answer[0]["error"])
        return Done.of(answer[1], answer[0])

    def close(self) -> None:
        """See ``Pool``."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream is not None:
                    _close(stream)


def _close(stream: object) -> None:
    try:
        stream.close()  # type: ignore[attr-defined]
    except OSError:
        return  # what was not flushed has nobody to read it


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fedward.client.scrub.worker"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module


def _introduce(worker: subprocess.Popen[bytes], raw: bytes) -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    try:
        frames.send(worker.stdin, {}, raw)
    except OSError:
        raise RunError("a worker died at its start") from None


def _await_ready(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout is not None  # noqa: S101 - it is a pipe
    answer = frames.receive(worker.stdout)
    if answer is None:
        raise RunError("a worker died at its start")
    if "failed" in answer[0]:
        raise ConfigError(answer[0]["failed"]["message"], hint=answer[0]["failed"]["hint"])


def open_pool(setup: Setup, workers: int) -> Pool:
    """Workers for a run.

    Raises:
        ConfigError: the policy asks for something that is not installed.
        RunError: a worker did not start.
    """
    return InProcess(setup) if workers == 1 else Processes(setup, workers)


__all__ = ["InProcess", "open_pool", "Pool", "Processes"]
