"""A process that does all that a process can do wrong with a record's text: 0 hits in clear and in the opened log.

It runs as a real child: its uncaught exception goes through the interpreter's own end, and its stderr is what a service
manager would keep.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.client.vault_keys import public_text
from fedward.common.envelope.recipients import X25519Identity
from fedward.common.logs.reading import Line, in_order, parse_segment
from fedward.common.logs.shelves import EnvelopeShelf
from tests.log_sinks import CANARY, hits

PROGRAM = """
import asyncio, contextlib, logging, logging.handlers, sys, threading, warnings
from pathlib import Path
from fedward.client.vault_keys import parse_public
from fedward.common.errors import DataError
from fedward.common.logs.guard import guarded
from fedward.common.logs.logger import log
from fedward.common.logs.segments import SealedStream
from fedward.common.logs.shelves import EnvelopeShelf
from fedward.common.logs.ticker import ticking

CANARY, KEY, FOLDER, IS_GUARDED = sys.argv[1], parse_public(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "guarded"


def chained():
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        raise DataError(f"row 3: {CANARY}") from error


def misuse():
    log.event(CANARY)
    log.event("round.sent", run=CANARY, round=CANARY, attempt=CANARY, text=CANARY)
    log.event("round.sent", **{CANARY: CANARY})
    log.event("site.state", state=CANARY, took=CANARY)
    log.event("request.refused", code=CANARY, rule=CANARY, batch_size=4711, loss=0.4711)
    try:
        chained()
    except DataError as error:
        log.failure("site.abstained", error, note=CANARY)


def libraries():
    logger = logging.getLogger(f"json.{CANARY}")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    logger.addHandler(logging.FileHandler(FOLDER / "library.log"))
    logger.addHandler(logging.handlers.MemoryHandler(1000, target=logging.StreamHandler()))
    logger.error("patient %s", CANARY)
    logger.warning("%d", CANARY)
    logging.getLogger("fedward.site").warning(CANARY)
    logging.basicConfig()
    logging.error(CANARY)
    warnings.warn(CANARY, RuntimeWarning)
    warnings.warn_explicit(CANARY, UserWarning, f"/data/{CANARY}.csv", 4711)
    try:
        chained()
    except DataError:
        logger.exception(CANARY)
        logging.getLogger("absl").critical(CANARY, exc_info=True, stack_info=True)


class Record:
    def __del__(self):
        raise ValueError(CANARY)


def threads_and_tasks():
    thread = threading.Thread(target=chained, name=CANARY)
    thread.start()
    thread.join()
    Record()

    async def main():
        task = asyncio.create_task(fails(), name=CANARY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    async def fails():
        chained()

    asyncio.run(main())


stack = contextlib.ExitStack()
stack.enter_context(log.shown_on(lambda: sys.stderr))
if IS_GUARDED:
    stack.enter_context(guarded(log))
stack.enter_context(log.kept_in(SealedStream(EnvelopeShelf(FOLDER / "sealed", lambda: [KEY]))))
stack.enter_context(ticking(log.tick))
import atexit
atexit.register(stack.close)  # after the hook of the interpreter has had the last exception
misuse()
libraries()
threads_and_tasks()
chained()
"""

KEY = X25519Identity.generate()
Child = Callable[[str], "tuple[list[bytes], list[Line]]"]


@pytest.fixture
def child(tmp_path: Path) -> Child:
    def run(how: str) -> tuple[list[bytes], list[Line]]:
        """What is in the clear: output and files; and the log, opened."""
        command = [sys.executable, "-c", PROGRAM, CANARY, public_text(KEY.recipient), str(tmp_path), how]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert done.returncode == 1
        files = [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()]
        shelf = EnvelopeShelf(tmp_path / "sealed", lambda: [KEY.recipient])
        segments = [parse_segment(shelf.read(name, [KEY])) for name in shelf.names()]
        assert all(segment.num_unreadable == 0 for segment in segments)
        raw = [shelf.read(name, [KEY]) for name in shelf.names()]
        names = [str(path.relative_to(tmp_path)).encode() for path in tmp_path.rglob("*")]
        return [done.stdout, done.stderr, *files, *names, *raw], [line for _, line in in_order(segments)]

    return run


def test_nothing_of_a_record_is_in_the_clear_or_in_the_opened_log(child: Child) -> None:
    clear, lines = child("guarded")
    assert hits(*clear) == []
    said = [line.event for line in lines]
    assert {"log.opened", "site.abstained", "library.logged", "warning.raised", "error.uncaught", "log.closed"} <= set(
        said
    )
    where = [line.fields["where"] for line in lines if line.event == "error.uncaught"]
    assert sorted(where) == ["finaliser", "main", "thread"]
    errors = {line.fields["error"] for line in lines if "error" in line.fields}
    assert errors == {"DataError", "ValueError", "RuntimeWarning", "UserWarning"}
    dropped = next(line.fields for line in lines if line.event == "log.dropped")
    assert all(int(dropped[reason]) > 0 for reason in ("unknown_event", "unknown_field", "wrong_type"))


def test_what_the_service_manager_keeps_is_events_and_classes(child: Child) -> None:
    _, stderr, *_ = child("guarded")[0]
    lines = stderr.decode().splitlines()
    assert "error.uncaught error=DataError where=main" in lines
    assert "site.abstained error=DataError" in lines
    assert all(line.split(" ")[0].count(".") == 1 for line in lines)


def test_same_process_without_the_guard_gives_the_record_away(child: Child) -> None:
    clear, lines = child("unguarded")
    assert CANARY.encode() in hits(*clear)
    assert "error.uncaught" not in [line.event for line in lines]
