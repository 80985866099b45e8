"""What does not come through the logger: uncaught exceptions, warnings, libraries' loggers. 0 canaries in clear."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr
from types import SimpleNamespace

import pytest

from fedward.common.logs.guard import Guard, guarded
from fedward.common.logs.logger import Log
from tests.log_sinks import AT_S, CANARY, hits, text_of


@pytest.fixture
def log() -> Log:
    return Log(clock_s=lambda: AT_S)


@pytest.fixture
def guard(log: Log) -> Iterator[Guard]:
    with guarded(log) as guard, log.strict():
        yield guard


def only(log: Log) -> dict[str, object]:
    (event,) = log.waiting
    assert hits(text_of(log)) == []
    return {"event": event.schema.name, **event.fields}


def test_warning_is_class_module_and_line(log: Log, guard: Guard) -> None:
    stderr = io.StringIO()
    with redirect_stderr(stderr):
        warnings.showwarning(UserWarning(CANARY), UserWarning, logging.__file__, 17)
    assert only(log) == {"event": "warning.raised", "error": "UserWarning", "module": "logging", "line": 17}
    assert stderr.getvalue() == ""


def test_raised_warning_goes_the_same_way(log: Log, guard: Guard) -> None:
    stderr = io.StringIO()
    with redirect_stderr(stderr), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = guard.on_warning  # catch_warnings puts it back
        warnings.warn(CANARY, RuntimeWarning, stacklevel=1)
    assert only(log)["error"] == "RuntimeWarning"
    assert stderr.getvalue() == ""


def test_file_of_no_module_is_not_named(log: Log, guard: Guard) -> None:
    warnings.showwarning(CANARY, UserWarning, f"/data/{CANARY}.csv", 4711)
    assert only(log) == {"event": "warning.raised", "error": "UserWarning", "module": "other", "line": 0}


@pytest.mark.parametrize("propagate", [True, False])
def test_library_with_handlers_of_its_own_is_cut_to_who_and_where(log: Log, guard: Guard, propagate: bool) -> None:
    stream = io.StringIO()
    logger = logging.getLogger(f"json.{CANARY}")
    logger.propagate = propagate
    logger.addHandler(logging.StreamHandler(stream))
    logger.setLevel(logging.DEBUG)
    try:
        logger.info(CANARY)
        logger.error("row %s of %s", 4711, CANARY, extra={"record": CANARY})
    finally:
        logger.handlers.clear()
    said = only(log)
    assert said["event"] == "library.logged"
    assert (said["logger"], said["severity"]) == ("json", "ERROR")
    assert stream.getvalue() == ""


def test_handlers_from_before_are_silent_and_come_back() -> None:
    log, stream, logger = Log(), io.StringIO(), logging.getLogger("fedward_test_before")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    hooks = (sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning)
    before = (logging.Logger.callHandlers, logging.lastResort, logging.raiseExceptions, logging.root.manager.disable)
    try:
        with guarded(log):
            logger.warning(CANARY)
            assert stream.getvalue() == ""
        logger.warning("heard again")
        assert stream.getvalue() == "heard again\n"
    finally:
        logger.handlers.clear()
    assert hooks == (sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning)
    assert before == (
        logging.Logger.callHandlers,
        logging.lastResort,
        logging.raiseExceptions,
        logging.root.manager.disable,
    )


def test_records_below_warning_are_not_even_made(log: Log, guard: Guard) -> None:
    logger = logging.getLogger("fedward_test_debug")
    logger.setLevel(logging.DEBUG)
    assert not logger.isEnabledFor(logging.INFO)
    logger.info("%s", CANARY)
    assert log.waiting == ()


def test_logged_exception_is_its_class(log: Log, guard: Guard) -> None:
    try:
        raise KeyError(CANARY)
    except KeyError:
        logging.getLogger("asyncio").exception("it said %s", CANARY)
    assert only(log)["error"] == "KeyError"


def test_record_whose_arguments_do_not_fit_prints_nothing(log: Log, guard: Guard) -> None:
    stderr = io.StringIO()
    with redirect_stderr(stderr):
        logging.getLogger("asyncio").error("%d and %d", CANARY)
    assert only(log)["severity"] == "ERROR"
    assert stderr.getvalue() == ""


def test_thread_that_dies_says_its_class(log: Log, guard: Guard) -> None:
    def work() -> None:
        raise OSError(5, CANARY, f"/data/{CANARY}.csv")

    stderr = io.StringIO()
    with redirect_stderr(stderr):
        thread = threading.Thread(target=work, name=CANARY)
        thread.start()
        thread.join()
    said = only(log)
    assert (said["event"], said["error"], said["where"]) == ("error.uncaught", "OSError", "thread")
    assert stderr.getvalue() == ""


def test_finaliser_that_raises_says_its_class(log: Log, guard: Guard) -> None:
    class Record:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    stderr = io.StringIO()
    with redirect_stderr(stderr):
        Record().__str__()
    assert only(log)["where"] == "finaliser"
    assert stderr.getvalue() == ""


@pytest.mark.parametrize("is_watched", [True, False])
def test_task_that_dies_unawaited_says_its_class(log: Log, guard: Guard, is_watched: bool) -> None:
    async def fails() -> None:
        raise ValueError(CANARY)

    async def main() -> None:
        if is_watched:
            guard.watch(asyncio.get_running_loop())
        task = asyncio.create_task(fails(), name=CANARY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    stderr = io.StringIO()
    with redirect_stderr(stderr):
        asyncio.run(main())
    said = only(log)
    assert said["event"] == ("error.uncaught" if is_watched else "library.logged")
    assert said["error"] == "ValueError"
    assert stderr.getvalue() == ""


def test_loop_without_an_exception_says_where_alone(log: Log, guard: Guard) -> None:
    async def main() -> None:
        guard.on_loop(asyncio.get_running_loop(), {"message": CANARY})

    asyncio.run(main())
    assert only(log)["logger"] == "asyncio"


def test_uncaught_exception_is_class_module_and_line(log: Log, guard: Guard) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    said = only(log)
    assert (said["event"], said["error"], said["where"]) == ("error.uncaught", "ValueError", "main")


class StubbornError(ValueError):
    """Of a library whose exceptions are not what Python makes of them."""

    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        raise RuntimeError(CANARY)


@pytest.mark.parametrize("hook", ["main", "thread", "finaliser"])
def test_hook_that_fails_prints_neither_its_error_nor_the_one_it_was_called_for(
    log: Log, capsys: pytest.CaptureFixture[str], hook: str
) -> None:
    with guarded(log) as guard:
        if hook == "main":
            guard.on_main(StubbornError, StubbornError(CANARY))
        elif hook == "thread":
            thread = threading.Thread(target=_raises_stubborn)
            thread.start()
            thread.join()
        else:
            guard.on_unraisable(SimpleNamespace(exc_value=StubbornError(CANARY)))
    assert capsys.readouterr() == ("", "")


def _raises_stubborn() -> None:
    raise StubbornError(CANARY)


def test_what_a_library_prints_of_an_exception_is_class_and_place(
    guard: Guard, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        traceback.print_exc()
        traceback.print_exception(error)
        traceback.print_exception(ValueError, error, error.__traceback__, file=sys.stderr)
        own = io.StringIO()
        traceback.print_exc(file=own)
    assert capsys.readouterr() == ("", "")
    assert CANARY in own.getvalue()
    assert [(event.fields["error"], event.fields["where"]) for event in log.waiting] == [("ValueError", "printed")] * 3
    assert hits(text_of(log)) == []


class HeadstrongLogger(logging.Logger):
    """Of a library that goes to its handlers by itself."""

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging has it
        for handler in self.handlers:
            handler.handle(record)


def test_logger_that_calls_its_handlers_by_itself_is_cut_too(guard: Guard, log: Log) -> None:
    stream = io.StringIO()
    logger = HeadstrongLogger("json.decoder")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error(CANARY)
    assert stream.getvalue() == ""
    assert only(log)["logger"] == "json.decoder"
