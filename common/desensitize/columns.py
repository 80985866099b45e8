"""Whole columns of a table: kept, encrypted, replaced, generalised or dropped, by the policy.

Invariants: a column's surrogate is the one that the same value has in a text of the same patient; a direct identifier
is never kept; a column that the policy does not name is text, which the pipeline reads. No value shows in an error.
Not handled here: files, nested fields and texts (``client.scrub``, ``pipeline``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError, DataError

KNOWN_TYPES = frozenset(
    {
        EntityType.PERSON, EntityType.PHONE, EntityType.EMAIL, EntityType.ID_CN, EntityType.SSN,
        EntityType.NATIONAL_ID, EntityType.PASSPORT, EntityType.LICENCE, EntityType.MRN, EntityType.HEALTH_PLAN,
        EntityType.CARD, EntityType.ACCOUNT, EntityType.IBAN, EntityType.PLATE, EntityType.VIN, EntityType.DEVICE,
        EntityType.HANDLE, EntityType.ORG_ID, EntityType.ADDRESS,
    }
)  # fmt: skip
"""Columns of these types tell the pipeline what to look for in the record's texts."""
_NEEDS_TYPE = frozenset({Action.SURROGATE, Action.FPE, Action.GENERALISE, Action.PLACEHOLDER})


class Replaced(Protocol):
    """One replacement."""

    @property
    def text(self) -> str:
        """Stands in the output."""

    @property
    def action(self) -> Action:
        """What was done."""


class ReplacesInDocument(Protocol):
    """Surrogates of one record."""

    def replace(self, type_: EntityType, original: str) -> Replaced:
        """What stands in the place of ``original``."""


class Replaces(Protocol):
    """Surrogates under one policy."""

    def for_document(self, context: Context) -> ReplacesInDocument:
        """Those of one record."""


SurrogatesOf = Callable[[DesensitizePolicy, ScrubKeys], Replaces]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScrubbedRow:
    """A row after its columns were done.

    Args:
        values: every column, in the order of the row; texts as they came, dropped ones None.
        texts: names of the columns that the pipeline reads.
        actions: what was done to each of the others.
    """

    values: Mapping[str, object] = field(repr=False)
    texts: tuple[str, ...]
    actions: Mapping[str, Action]


class ColumnScrubber:
    """Applies the column rules of one policy under one key.

    Args:
        policy: with ``columns``.
        keys: those of the pipeline, so that text and column agree.
        descriptor: of the key, where a column has the action ``fpe``.
        surrogates_of: for tests; None: keyed surrogates.

    Raises:
        ConfigError: a rule that cannot be or would keep a direct identifier.
    """

    def __init__(
        self,
        policy: DesensitizePolicy,
        keys: ScrubKeys,
        *,
        descriptor: KeyDescriptor | None = None,
        surrogates_of: SurrogatesOf | None = None,
    ) -> None:
        self._policy = policy
        self._surrogates: dict[tuple[EntityType, Action], Replaces] = {}
        for name, rule in policy.columns.items():
            _check(name, rule, policy)
            if rule.type is not None and rule.kind is not ColumnClass.TEXT and rule.action in _NEEDS_TYPE:
                changed = _policy_for(policy, rule.type, rule.action)
                self._surrogates[rule.type, rule.action] = (
                    surrogates_of(changed, keys) if surrogates_of else _keyed(changed, keys, descriptor)
                )

    def row(self, row: Mapping[str, object], context: Context) -> ScrubbedRow:
        """Apply the rules to one row.

        Args:
            context: the one that the row's texts are read with: its known values decide about redraws.

        Raises:
            DataError: a value whose type cannot take its surrogate; it names the column only.
        """
        values: dict[str, object] = {}
        texts: list[str] = []
        actions: dict[str, Action] = {}
        documents: dict[tuple[EntityType, Action], ReplacesInDocument] = {}
        for name, value in row.items():
            rule = self._policy.columns.get(name)
            if rule is None or rule.kind is ColumnClass.TEXT:
                values[name] = value
                texts.append(name)
            else:
                values[name] = self._value(name, value, rule, context, documents)
                actions[name] = rule.action
        return ScrubbedRow(values=values, texts=tuple(texts), actions=actions)

    def known(self, row: Mapping[str, object]) -> dict[EntityType, tuple[str, ...]]:
        """The values of the row's own identifying columns, for ``Context.known``: plaintext, for memory alone."""
        found: dict[EntityType, list[str]] = {}
        for name, value in row.items():
            rule = self._policy.columns.get(name)
            if rule is not None and rule.kind is ColumnClass.DIRECT and rule.type in KNOWN_TYPES:
                text = _as_text(name, value).strip()
                if text:
                    found.setdefault(rule.type, []).append(text)
        return {type_: tuple(some) for type_, some in found.items()}

    def _value(
        self,
        name: str,
        value: object,
        rule: ColumnPolicy,
        context: Context,
        documents: dict[tuple[EntityType, Action], ReplacesInDocument],
    ) -> object:
        if rule.action is Action.DROP:
            return None
        if rule.action is Action.KEEP or value is None or value == "":
            return value
        assert rule.type is not None  # noqa: S101 - _check has refused all others
        text = _as_text(name, value)
        if not text.strip():
            return value
        key = (rule.type, rule.action)
        if key not in documents:
            documents[key] = self._surrogates[key].for_document(context)
        new = documents[key].replace(rule.type, text).text
        return _as_type(name, value, new, rule.action)


def quasi_columns(policy: DesensitizePolicy) -> Sequence[str]:
    """The columns that k-anonymity counts, in the policy's order; dropped ones cannot tell people apart."""
    return [
        n for n, rule in policy.columns.items() if rule.kind is ColumnClass.QUASI and rule.action is not Action.DROP
    ]


def _policy_for(policy: DesensitizePolicy, type_: EntityType, action: Action) -> DesensitizePolicy:
    """The text's policy but for the action of one type; encryption of another type has no place in it."""
    others = {t: a for t, a in policy.actions.items() if a is not Action.FPE}
    return policy.model_copy(update={"actions": {**others, type_: action}})


def _keyed(policy: DesensitizePolicy, keys: ScrubKeys, descriptor: KeyDescriptor | None) -> Replaces:
    from fedward.common.desensitize.surrogates import Surrogates

    return Surrogates(policy, keys, descriptor=descriptor if Action.FPE in policy.actions.values() else None)


def _check(name: str, rule: ColumnPolicy, policy: DesensitizePolicy) -> None:
    where = f"columns.{name}"
    if rule.kind is ColumnClass.DIRECT and rule.action is Action.KEEP:
        raise ConfigError(
            f"{where}: a direct identifier cannot be kept",
            hint='Take "surrogate", "fpe", "placeholder" or "drop"; kind = "technical" if it points to nobody.',
        )
    if rule.kind is not ColumnClass.TEXT and rule.action in _NEEDS_TYPE and rule.type is None:
        raise ConfigError(f"{where}: {rule.action.value} needs a type", hint='Name it, for example type = "PHONE".')
    if policy.safe_harbor and rule.action is Action.FPE:
        raise ConfigError(f"{where}: safe_harbor allows no format-preserving encryption")


def _as_text(name: str, value: object) -> str:
    """A value as it is written in a text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise DataError(f"column {name!r}: true or false is no identifier", hint="Correct the column's rule.")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        raise DataError(
            f"column {name!r}: an identifier stored as a floating-point number has lost digits",
            hint="Store the column as text.",
        )
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return str(isoformat())
    raise DataError(f"column {name!r}: a {type(value).__name__} cannot be replaced", hint="Store the column as text.")


def _as_type(name: str, value: object, new: str, action: Action) -> object:
    """``new`` in the type of ``value``, so that a table keeps its schema."""
    if isinstance(value, str) or action in (Action.PLACEHOLDER, Action.GENERALISE):
        return new
    try:
        if isinstance(value, int | float):
            number = int(new)
            if str(number) == new:
                return type(value)(number)
        else:
            return type(value).fromisoformat(new)  # type: ignore[attr-defined]
    except ValueError:
        pass
    raise DataError(
        f"column {name!r}: a surrogate cannot be stored as {type(value).__name__} (a zero in front would be lost)",
        hint="Store the column as text.",
    )


__all__ = [
    "ColumnScrubber",
    "KNOWN_TYPES",
    "quasi_columns",
    "Replaced",
    "Replaces",
    "ReplacesInDocument",
    "ScrubbedRow",
    "SurrogatesOf",
]
