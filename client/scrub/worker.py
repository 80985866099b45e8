"""A worker's process: ``python -m fedward.client.scrub.worker``, fed through its standard input.

It opens no file of the run and no socket. The key comes through the pipe; what goes wrong goes back as a code.
"""

from __future__ import annotations

import os
import signal
import sys

from fedward.client.scrub import frames
from fedward.client.scrub.core_files import forbid_core_files
from fedward.client.scrub.settings import Setup
from fedward.client.scrub.work import ChunkWorker, code_of
from fedward.common.errors import FedwardError
from fedward.common.settings import validated


def main() -> None:
    """Answer chunk after chunk until the pipe closes."""
    forbid_core_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run; the run ends its workers
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between two messages, and no text of a record to a terminal.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    first = frames.receive(incoming)
    if first is None:
        return
    try:
        worker = ChunkWorker(validated(Setup, first[1], "the worker's setup"))
    except FedwardError as error:
        frames.send(outgoing, {"failed": {"code": "setup", "message": error.message, "hint": error.advice}})
        return
    frames.send(outgoing, {"ready": True})
    while (message := frames.receive(incoming)) is not None:
        head, body = message
        try:
            done = worker.process(head["member"], head["number"], body)
        except Exception as error:  # noqa: BLE001 - it crosses as a code, for its text may quote a record
            frames.send(outgoing, {"error": code_of(error)})
            continue
        frames.send(outgoing, done.describe(), done.body)


if __name__ == "__main__":
    main()
