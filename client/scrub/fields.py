"""The values of one record, by path: ``text``, ``messages[*].content``, ``patient.name``.

A path leaves the place in a list out, so that all members of a list are one column. Not handled here: what is done
with a value (``records``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fedward.client.scrub.refusals import RefusalError

MAX_DEPTH = 32
ANY_ITEM = "[*]"
TEXT_FIELDS = ("text", "messages[*].content")
"""What is free text where nobody says otherwise."""


class Leaf(NamedTuple):
    """One value and where to write what replaces it."""

    path: str
    value: Any
    holder: Any
    """The dict or list that holds it."""
    key: Any
    """In ``holder``."""

    def put(self, value: object) -> None:
        """Replace it."""
        self.holder[self.key] = value


def leaves(record: dict[str, Any]) -> Iterator[Leaf]:
    """All values that are no container, in the record's order.

    Raises:
        RecursionError: nested deeper than ``MAX_DEPTH``.
    """
    return _walk(record, "", 0)


def keys(record: object, depth: int = 0) -> Iterator[str]:
    """The names of all fields, with repeats.

    Raises:
        RecursionError: nested deeper than ``MAX_DEPTH``.
        RefusalError: a name is no text, as maps of tables may have.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(record, dict):
        for name, value in record.items():
            if not isinstance(name, str):
                raise RefusalError("map_keys")
            yield name
            yield from keys(value, depth + 1)
    elif isinstance(record, list):
        for value in record:
            if isinstance(value, dict | list):
                yield from keys(value, depth + 1)


def _walk(holder: Any, path: str, depth: int) -> Iterator[Leaf]:  # noqa: ANN401 - any JSON container
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(holder, dict):
        items = ((name, value, f"{path}.{name}" if path else name) for name, value in holder.items())
    else:
        items = ((index, value, path + ANY_ITEM) for index, value in enumerate(holder))
    for key, value, inner in items:
        if isinstance(value, dict | list):
            yield from _walk(value, inner, depth + 1)
        else:
            yield Leaf(inner, value, holder, key)


def column_of(path: str) -> str:
    """The outermost field of a path."""
    return path.replace(ANY_ITEM, "").partition(".")[0]


__all__ = ["ANY_ITEM", "column_of", "keys", "Leaf", "leaves", "MAX_DEPTH", "TEXT_FIELDS"]
