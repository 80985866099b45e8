"""The closed set of types that a logged field can have. None of them can hold text, a real number or a list.

Each turns a value into what is stored (``plain``), or refuses it, and says of stored values whether they can be its own
(``holds``). A stored word always comes from our own table or from the program's names, never from the value.

Not handled here: a caller who hands over 16 secret bytes as a run id. A digest proves nothing but its length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fedward.common.logs.origin import MAX_LINE, OTHER, class_name, is_name, known_module

Plain = str | int
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)


class FieldType(Protocol):
    """What one field takes."""

    @property
    def label(self) -> str:
        """For the documentation."""
        ...

    @property
    def is_word(self) -> bool:
        """Whether it says what happened, in a word of ours: such fields may stand in the system's own journal."""
        ...

    def plain(self, value: object) -> Plain | None:
        """What is stored; None: ``value`` is not of this type."""
        ...

    def holds(self, stored: object) -> bool:
        """Whether ``plain`` can have given ``stored``."""
        ...


class Choice:
    """One of a few words."""

    is_word = True

    def __init__(self, words: Iterable[str], *, label: str = "") -> None:
        self._words = {word: word for word in words}
        self.label = label or "enum: " + ", ".join(self._words)

    @property
    def words(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._words)

    def plain(self, value: object) -> Plain | None:
        """Our own word, not the caller's object that equals it."""
        return self._words.get(value) if isinstance(value, str) else None

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return type(stored) is str and stored in self._words


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds; no boolean."""

    low: int
    high: int
    is_word: bool = False

    @property
    def label(self) -> str:
        """See ``FieldType.label``."""
        return f"integer {self.low:,} … {self.high:,}"

    def plain(self, value: object) -> Plain | None:
        """See ``FieldType.plain``."""
        return value if type(value) is int and self.low <= value <= self.high else None

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return self.plain(stored) is not None


@dataclass(frozen=True, slots=True)
class Digest:
    """Bytes of one length: a run id or a hash. Stored as hex."""

    num_bytes: int
    what: str
    is_word: bool = False

    @property
    def label(self) -> str:
        """See ``FieldType.label``."""
        return f"{self.what}, {self.num_bytes} bytes as hex"

    def plain(self, value: object) -> Plain | None:
        """See ``FieldType.plain``."""
        return value.hex() if type(value) is bytes and len(value) == self.num_bytes else None

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return type(stored) is str and len(stored) == 2 * self.num_bytes and _HEX.fullmatch(stored) is not None


class Duration:
    """Seconds, in steps so coarse that the amount of work behind them does not show."""

    is_word = False
    _STEPS = ((0.1, "<=0.1s"), (1, "<=1s"), (10, "<=10s"), (60, "<=1min"), (600, "<=10min"), (3600, "<=1h"))
    _LONGER = ">1h"

    @property
    def label(self) -> str:
        """See ``FieldType.label``."""
        return "duration: " + ", ".join([*(word for _, word in self._STEPS), self._LONGER])

    def plain(self, value: object) -> Plain | None:
        """See ``FieldType.plain``."""
        if type(value) not in (int, float) or not (isinstance(value, int | float) and 0 <= value < math.inf):
            return None
        return next((word for limit, word in self._STEPS if value <= limit), self._LONGER)

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return type(stored) is str and stored in {*(word for _, word in self._STEPS), self._LONGER}


class ErrorClass:
    """The class of an exception or a warning, by its name. Its text and its arguments are not looked at."""

    is_word = True
    label = "error class"

    def plain(self, value: object) -> Plain | None:
        """See ``FieldType.plain``."""
        kind: type = value if isinstance(value, type) and issubclass(type(value), type) else type(value)
        return class_name(kind) if issubclass(kind, BaseException) else None

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return is_name(stored)


class ModuleName:
    """A loaded module, or ``other``."""

    is_word = False
    label = f"name of a loaded module, or `{OTHER}`"

    def plain(self, value: object) -> Plain | None:
        """See ``FieldType.plain``."""
        return known_module(value) if type(value) is str else None

    def holds(self, stored: object) -> bool:
        """See ``FieldType.holds``."""
        return is_name(stored)


RUN_ID = Digest(16, "run id")
HASH = Digest(32, "SHA-256")
COUNT = Whole(0, (1 << 32) - 1)
ERROR = ErrorClass()
MODULE = ModuleName()
LINE = Whole(0, MAX_LINE)

__all__ = [
    "Choice",
    "COUNT",
    "Digest",
    "Duration",
    "ERROR",
    "ErrorClass",
    "FieldType",
    "HASH",
    "LINE",
    "MODULE",
    "ModuleName",
    "Plain",
    "RUN_ID",
    "Whole",
]
