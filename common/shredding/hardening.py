"""Keeping keys out of core dumps and swap, each measure saying what it achieved.

``RLIMIT_CORE`` 0 and ``PR_SET_DUMPABLE`` 0 (prctl(2)) for the process; ``mlock`` and ``MADV_DONTDUMP`` for the pages of
keys. ``RLIMIT_MEMLOCK`` is small (8 MiB is common): lock keys, not data. None of it is a guarantee: root reads the
memory of a process, and Python and OpenSSL copy what they work with.

Not handled here: unencrypted swap and hibernation (`site doctor` warns), and what ``cryptography`` keeps.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn

from fedward.common.errors import ShreddingError

MAX_LOCKED_BYTES: Final = 1 << 16
_PR_SET_DUMPABLE = 4
_PR_GET_DUMPABLE = 3
_MADV_WIPEONFORK = 18
"""madvise(2); this Python has no name for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardened:
    """What holds for this process now."""

    has_no_core: bool
    is_undumpable: bool
    """No debugger of the same account, and no core by another way (`/proc/sys/kernel/core_pattern` with a pipe)."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """For a person: what was not reached."""
        missing = []
        if not self.has_no_core:
            missing.append("core dumps are not switched off: set LimitCORE=0 in the unit")
        if not self.is_undumpable:
            missing.append("the process stays dumpable: a debugger of the same account reads its keys")
        return tuple(missing)


def harden() -> Hardened:
    """Switch core dumps off for good, and mark the process as not dumpable. Never raises."""
    return Hardened(has_no_core=_no_core(), is_undumpable=_undumpable())


def _no_core() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    return True


def _undumpable() -> bool:
    prctl = _function("prctl")
    if prctl is None:
        return False
    prctl(_PR_SET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0)))
    return prctl(_PR_GET_DUMPABLE, *map(ctypes.c_ulong, (0, 0, 0, 0))) == 0


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library of this process, or None where there is no such."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found


class LockedBytes:
    """A few bytes on pages of their own: locked where the system allows it, out of dumps, zeroed at ``close``.

    Args:
        size: 1 to ``MAX_LOCKED_BYTES``.

    Raises:
        ShreddingError: another size.
    """

    def __init__(self, size: int) -> None:
        if type(size) is not int or not 1 <= size <= MAX_LOCKED_BYTES:
            raise ShreddingError(f"locked memory holds 1 to {MAX_LOCKED_BYTES} bytes")
        self._size = size
        self._pid = os.getpid()
        self._is_closed = False
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.is_undumped = self._advise()
        """Whether a core dump leaves these pages out."""
        self.is_locked = self._lock("mlock")
        """Whether these pages stay out of swap."""

    @classmethod
    def of(cls, secret: bytes | bytearray) -> LockedBytes:
        """A copy of ``secret``; a bytearray is zeroed, of ``bytes`` Python keeps its own copy until it is collected."""
        locked = cls(len(secret))
        locked.view[:] = secret
        if isinstance(secret, bytearray):
            secret[:] = bytes(len(secret))
        return locked

    @property
    def view(self) -> memoryview:
        """The bytes, writable. A view that outlives ``close`` shows zeros.

        Raises:
            ShreddingError: closed, or in a forked process, where zeros would be taken for the key.
        """
        if self._is_closed:
            raise ShreddingError("this key was destroyed")
        if os.getpid() != self._pid:
            raise ShreddingError("a key does not go over to a forked process")
        return memoryview(self._map)[: self._size]

    def close(self) -> None:
        """Zero, unlock, give back. A second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._map[:] = bytes(self._size)
        if self.is_locked:
            self._lock("munlock")
        with suppress(BufferError):  # somebody holds a view; the pages go with it
            self._map.close()

    def _advise(self) -> bool:
        try:
            # A fork would keep a copy that nobody zeroes.
            for advice in (mmap.MADV_DONTDUMP, _MADV_WIPEONFORK):
                self._map.madvise(advice)
        except (AttributeError, OSError):
            return False
        return True

    def _lock(self, name: str) -> bool:
        function = _function(name)
        if function is None:
            return False
        return function(ctypes.c_void_p(self._address), ctypes.c_size_t(self._size)) == 0

    def __enter__(self) -> LockedBytes:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<{self._size} locked bytes>"

    def __reduce__(self) -> NoReturn:
        raise ShreddingError("a key is not copied or stored")


__all__ = ["harden", "Hardened", "LockedBytes", "MAX_LOCKED_BYTES"]
