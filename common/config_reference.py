"""``docs/plan.md``, written from the settings themselves: ``python -m fedward.common.config_reference``.

Every setting carries its own docstring; a test compares the page with what this module would write.
"""

from __future__ import annotations

import enum
import typing
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fedward.common.config import MetricPlan, RunPlan, Settings, SitePlan, SitePolicy
from fedward.common.desensitize.policy import CanaryTargets, ColumnPolicy, DesensitizePolicy

_HEAD = """\
# Plan and policy

A **plan** says what a consortium runs; a **policy** says what one site allows. Both are TOML, strict: an unknown key, a
`nan`, a `true` where a number belongs is refused by name. This page is written from the code (`make docs`); do not edit
it by hand.

A **recipe** (`fedward simulate RECIPE.toml`) is a plan with `schema = "fedward.recipe/1"` and, beside it, where the
simulated sites' files lie: see [data.md](data.md).
"""


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD]
    parts.append(_table("The plan", RunPlan))
    for name, field in RunPlan.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            parts.append(_table(f"`[{name}]`", field.annotation))
    parts.append(_table("`[[secagg.metrics]]`", MetricPlan))
    parts.append(_table("`[[sites]]`", SitePlan))
    parts.append(_table("The site's policy", SitePolicy))
    return "\n".join(parts).replace("``", "`")


def scrub_tables() -> str:
    """The settings of ``policy.toml``, for ``docs/desensitization.md``."""
    tables = (("policy.toml", DesensitizePolicy), ("[columns.NAME]", ColumnPolicy), ("[canaries]", CanaryTargets))
    return "\n".join(_table(f"`{title}`", model) for title, model in tables).replace("``", "`")


def _table(title: str, model: type[Settings]) -> str:
    rows = [_row(name, field) for name, field in model.model_fields.items() if not _is_section(field)]
    note = " ".join((model.__doc__ or "").split())
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {title}", "", note, "", *head, *rows, ""])


def _is_section(field: FieldInfo) -> bool:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Settings):
        return True
    return any(isinstance(part, type) and issubclass(part, Settings) for part in get_args(kind))


def _row(name: str, field: FieldInfo) -> str:
    is_required = field.default is PydanticUndefined and field.default_factory is None
    default = "required" if is_required else _value("" if field.default is PydanticUndefined else field.default)
    meaning = " ".join((field.description or "").split())
    return f"| `{field.alias or name}` | {_type(field.annotation)}{_bounds(field)} | {default} | {meaning} |"


def _value(value: Any) -> str:  # noqa: ANN401 - any default
    if isinstance(value, enum.Enum):
        return f"`{value.value}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(str(getattr(item, "value", item)) for item in value) + "]`"
    return "none" if value is None else f"`{value}`" if value != "" else "empty"


def _type(kind: Any) -> str:  # noqa: ANN401 - any annotation
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (typing.Union, UnionType):
        return " or ".join(_type(part) for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(kind, "table")


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {getattr(item, key)}"
        for item in field.metadata
        for key, sign in signs.items()
        if getattr(item, key, None) is not None
    ]
    return f", {' and '.join(found)}" if found else ""


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is its purpose
