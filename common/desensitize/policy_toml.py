"""A policy as TOML, with comments, for a person to read, correct and sign.

Invariants: ``load_policy`` reads back the policy that was written. Not handled here: what the policy should say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from fedward.common.desensitize.policy import DesensitizePolicy

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(policy: DesensitizePolicy, comments: Mapping[str, str] | None = None, head: Sequence[str] = ()) -> str:
    """TOML of every setting that differs from its default, and of every column.

    Args:
        comments: by the dotted name of a setting (``levels.PHONE``, ``columns.姓名``), set above it.
        head: lines of comment at the top.
    """
    values = policy.model_dump(mode="json")
    plain = DesensitizePolicy().model_dump(mode="json")
    notes = comments or {}
    lines = [f"# {_one_line(line)}".rstrip() for line in head]
    tables: list[str] = []
    for name, value in values.items():
        if value == plain[name] and name not in notes:
            continue
        if isinstance(value, dict):
            tables += ["", *_table(name, value, notes, plain[name])]
        else:
            lines += [*_comment(notes.get(name)), f"{_key(name)} = {_value(value)}"]
    return "\n".join([*lines, *tables]).strip() + "\n"


def _table(
    name: str, table: Mapping[str, object], notes: Mapping[str, str], plain: Mapping[str, object]
) -> Iterator[str]:
    yield from _comment(notes.get(name))
    if not any(isinstance(value, dict) for value in table.values()):
        yield f"[{_key(name)}]"
    for key, value in table.items():
        dotted = f"{name}.{key}"
        if isinstance(value, dict):
            yield from ("", *_comment(notes.get(dotted)), f"[{_key(name)}.{_key(key)}]")
            yield from (f"{_key(inner)} = {_value(some)}" for inner, some in value.items() if some is not None)
        elif value is not None and (value != plain.get(key) or dotted in notes):
            yield from _comment(notes.get(dotted))
            yield f"{_key(key)} = {_value(value)}"


def _comment(text: str | None) -> list[str]:
    return [] if text is None else [f"# {_one_line(text)}"]


def _one_line(text: str) -> str:
    """A line break or another control character would end the comment, and begin a setting that nobody chose."""
    return "".join(character if character.isprintable() else " " for character in text)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a basic string of TOML but for DEL, which JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"a {type(value).__name__} has no form in a policy")


__all__ = ["to_toml"]
