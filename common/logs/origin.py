"""Where something happened and what class it is, in words of the program and never of its data.

Every name that leaves here belongs to something loaded: a module with a spec, a class that its module knows by that
name. A name that was made at run time, and so might be made of data, becomes ``other``.

Not handled here: somebody who loads a module, or registers a class, under a secret's name.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType

OTHER = "other"
MAX_NAME_CHARS = 96
MAX_LINE = 1_000_000
OURS = "fedward"
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_MAIN = "__main__"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A line of a loaded module; line 0 of ``other`` where that cannot be told."""

    module: str
    line: int


NOWHERE = Origin(module=OTHER, line=0)


def is_name(text: object) -> bool:
    """Whether ``text`` is a dotted name of plain letters, of a length that a log takes."""
    return type(text) is str and len(text) <= MAX_NAME_CHARS and _DOTTED.fullmatch(text) is not None


def known_module(name: object) -> str:
    """The longest beginning of ``name`` that is a loaded module; ``other`` if there is none."""
    rest = name if type(name) is str and len(name) <= MAX_NAME_CHARS else ""
    while rest:
        # A module that an import system made has a spec; what was merely put there may bear any name.
        if is_name(rest) and (rest == _MAIN or _own(sys.modules.get(rest), "__spec__") is not None):
            return rest
        rest = rest.rpartition(".")[0]
    return OTHER


def class_name(kind: type) -> str:
    """The name of a class that its module knows by that name; ``other`` for one that was made on the way."""
    module, path = type.__getattribute__(kind, "__module__"), type.__getattribute__(kind, "__qualname__")
    found: object = sys.modules.get(module) if type(module) is str else None
    if not is_name(path) or known_module(module) != module:
        return OTHER
    for part in path.split("."):
        found = _own(found, part)
    return str(path).rpartition(".")[2] if found is kind else OTHER


def _own(holder: object, name: str) -> object:
    """An attribute that is there already: asking for others makes lazy modules import, and anything may come of it."""
    return vars(holder).get(name) if isinstance(holder, ModuleType | type) else None


def origin_of(error: BaseException) -> Origin:
    """The deepest of our own lines that the exception passed; the deepest at all if it passed none of ours."""
    found = NOWHERE
    step: TracebackType | None = error.__traceback__
    while step is not None:
        here = _origin(step.tb_frame, step.tb_lineno)
        if _is_ours(here) or not _is_ours(found):
            found = here
        step = step.tb_next
    return found


def origin_in_file(path: object, line: object) -> Origin:
    """The module whose file is ``path``. The path itself stays here."""
    if type(path) is not str or not path:
        return NOWHERE
    for name, module in list(sys.modules.items()):
        if _own(module, "__file__") == path:
            known = known_module(name)
            return Origin(module=known, line=_line(line)) if known == name else NOWHERE
    return NOWHERE


def _origin(frame: FrameType, line: int) -> Origin:
    known = known_module(frame.f_globals.get("__name__"))
    return NOWHERE if known == OTHER else Origin(module=known, line=_line(line))


def _line(line: object) -> int:
    return line if type(line) is int and 0 <= line <= MAX_LINE else 0


def _is_ours(origin: Origin) -> bool:
    return origin.module == OURS or origin.module.startswith(f"{OURS}.")


__all__ = [
    "class_name",
    "is_name",
    "known_module",
    "MAX_LINE",
    "MAX_NAME_CHARS",
    "NOWHERE",
    "Origin",
    "origin_in_file",
    "origin_of",
    "OTHER",
    "OURS",
]
