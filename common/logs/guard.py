"""What does not come through the logger, caught: uncaught exceptions, warnings, the loggers of libraries.

While ``guarded`` lasts, ``sys.excepthook``, ``sys.unraisablehook``, ``threading.excepthook``, ``warnings.showwarning``
and asyncio's handler give the class, module and line, and nothing else is written anywhere. Records of ``logging`` are
cut to WARNING and to (logger, level, location): not by a handler on the root, which libraries walk past with loggers
that do not propagate and handlers that they add themselves, but where a logger would call its handlers, and where a
handler takes a record. So there is no other handler, now or later. What ``logging`` would print when a handler fails,
record and all, is off. ``traceback.print_exc`` to the console says class and place: libraries call it, and
``multiprocessing`` in forked children. No hook raises: Python prints the text that a failing one was called for.

Not handled here: what a library writes to stderr itself, in Python or in C, what a new interpreter does (a subprocess,
``multiprocessing`` by spawn), and a ``SystemExit`` with a text.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO, TypeVar, cast

from fedward.common.logs.logger import Log
from fedward.common.logs.origin import origin_in_file

_Replace = Callable[[object, str, object], None]


@contextmanager
def guarded(log: Log) -> Iterator[Guard]:
    """Let ``log`` have whatever else would be printed; all is put back at the end."""
    guard = Guard(log)
    with ExitStack() as undo:

        def replace(owner: object, name: str, value: object) -> None:
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        replace(sys, "excepthook", guard.on_main)
        replace(sys, "unraisablehook", guard.on_unraisable)
        replace(threading, "excepthook", guard.on_thread)
        replace(warnings, "showwarning", guard.on_warning)
        replace(traceback, "print_exception", _printing(guard, traceback.print_exception))
        _take_logging(guard, replace, undo)
        yield guard


def _take_logging(guard: Guard, replace: _Replace, undo: ExitStack) -> None:
    replace(logging.Logger, "callHandlers", lambda _, record: guard.on_record(record))
    replace(
        logging.Handler, "handle", lambda _, record: guard.on_record(record)
    )  # of a logger that overrides the above
    replace(logging, "lastResort", None)
    replace(logging, "raiseExceptions", False)
    undo.callback(logging.disable, logging.root.manager.disable)
    logging.disable(max(logging.root.manager.disable, logging.INFO))
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            replace(logger, "handlers", [])  # a handler that buffers would write at the end


def _printing(guard: Guard, original: Callable[..., None]) -> Callable[..., None]:
    """``traceback.print_exception``; to the console, class and place alone."""

    @functools.wraps(original)
    def call(exc: object, /, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as the original
        file = named.get("file", arguments[3] if len(arguments) > 3 else None)
        if file is None or any(file is one for one in (sys.stderr, sys.__stderr__, sys.stdout, sys.__stdout__)):
            guard.on_printed(named.get("value", arguments[0] if arguments else exc))
        else:  # somebody's own string
            original(exc, *arguments, **named)

    return call


_Hook = TypeVar("_Hook", bound=Callable[..., None])


def _quiet(hook: _Hook) -> _Hook:
    """``hook``, raising nothing: of one that fails Python prints the error, and then the text it was called for."""

    @functools.wraps(hook)
    def call(*arguments: Any, **named: Any) -> None:  # noqa: ANN401 - stands for any hook
        with suppress(Exception):
            hook(*arguments, **named)

    return cast(_Hook, call)


class Guard:
    """The hooks. Each takes what Python gives it and reads no message of it."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @_quiet
    def on_main(self, kind: type[BaseException], error: BaseException, trace: object = None) -> None:
        """See ``sys.excepthook``."""
        self._log.failure("error.uncaught", error, where="main")

    @_quiet
    def on_thread(self, args: threading.ExceptHookArgs) -> None:
        """See ``threading.excepthook``."""
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self._log.failure("error.uncaught", args.exc_value, where="thread")

    @_quiet
    def on_unraisable(self, args: sys.UnraisableHookArgs) -> None:
        """See ``sys.unraisablehook``."""
        if args.exc_value is not None:
            self._log.failure("error.uncaught", args.exc_value, where="finaliser")

    @_quiet
    def on_printed(self, error: object) -> None:
        """What would have been printed by ``traceback``."""
        if isinstance(error, BaseException):
            self._log.failure("error.uncaught", error, where="printed")

    @_quiet
    def on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """See ``warnings.showwarning``."""
        origin = origin_in_file(filename, lineno)
        self._log.event("warning.raised", error=category, module=origin.module, line=origin.line)

    @_quiet
    def on_record(self, record: logging.LogRecord) -> None:
        """A library's record; neither its message nor its arguments are read."""
        if record.levelno < logging.WARNING:
            return
        severity = "WARNING" if record.levelno < logging.ERROR else "ERROR"
        origin = origin_in_file(record.pathname, record.lineno)
        error = record.exc_info[1] if record.exc_info else None
        self._log.event(
            "library.logged",
            logger=record.name,
            severity="CRITICAL" if record.levelno >= logging.CRITICAL else severity,
            module=origin.module,
            line=origin.line,
            error=error,
        )

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be the loop's exception handler."""
        loop.set_exception_handler(self.on_loop)

    @_quiet
    def on_loop(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """See ``loop.set_exception_handler``. Without an exception there is but a message, which stays unread."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            self._log.failure("error.uncaught", error, where="task")
        else:
            self._log.event("library.logged", logger="asyncio", severity="ERROR", module="asyncio", line=0)


__all__ = ["Guard", "guarded"]
