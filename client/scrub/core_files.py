"""No core file of a process that holds records and a key: a crash must not write them to a disk or to a collector."""

from __future__ import annotations

import resource
from contextlib import suppress


def forbid_core_files() -> None:
    """For this process and those that it starts.

    One byte and not none: Linux gives a core to a collecting program also under a limit of 0, and under 1 never
    (core(5)).
    """
    for limit in (1, 0):  # 0 where a limit of 0 was set by somebody else, which cannot be raised
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
            return


__all__ = ["forbid_core_files"]
