"""The table of events for docs/logs.md, made from the schemas: ``python -m fedward.common.logs.reference``."""

from __future__ import annotations

from fedward.common.logs.events import EVENTS, Schema
from fedward.common.logs.fields import Digest, Duration, FieldType, ModuleName, Whole


def table() -> str:
    """All events as a table in Markdown."""
    head = ["| event | level | says | fields |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *map(_row, EVENTS.values())]) + "\n"


def _row(schema: Schema) -> str:
    fields = [_field(name, kind) for name, kind in schema.fields.items()]
    fields += [f"{_field(name, kind)}, may be missing" for name, kind in schema.may_have.items()]
    mark = " *" if schema.is_told else ""
    return f"| `{schema.name}`{mark} | {schema.level.value} | {schema.means} | {'; '.join(fields) or '–'} |"


def _field(name: str, kind: FieldType) -> str:
    short = {Whole: "integer", Duration: "duration", ModuleName: "module"}.get(type(kind), kind.label)
    return f"`{name}` ({kind.what if isinstance(kind, Digest) else short})"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201 - this is its purpose

__all__ = ["table"]
