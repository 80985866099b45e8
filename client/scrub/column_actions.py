"""What is done to whole columns: by the policy, else by what the column's name says it is.

Invariants: a bare name under 姓名 has no cue a detector could see, so a column that is named like a direct identifier
is treated as one unless the policy says what it is; a value that has not the form which the name promises is read as
free text instead. Not handled here: free text (``records``) and flat tables without files (``desensitize.columns``).
"""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any, NamedTuple

from fedward.client.scrub import fields as paths
from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import Setup
from fedward.common.desensitize import checksums
from fedward.common.desensitize.column_guess import ColumnGuess, guess_column
from fedward.common.desensitize.columns import KNOWN_TYPES, ColumnScrubber
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import Surrogates
from fedward.common.errors import DesensitizationError

MIN_NUMBER = 10**6
"""Shorter numbers in unnamed columns identify nobody by themselves."""
_MAX_VALUE_CHARS = 64
"""A longer value is prose, whatever its column is called."""
_PATIENT_BYTES = 8
_MAX_PATHS = 10_000
_ID_LENGTH = 18
_WITHOUT_DIGITS = frozenset(
    {
        EntityType.PERSON,
        EntityType.HANDLE,
        EntityType.EMAIL,
        EntityType.URL,
        EntityType.SECRET,
        EntityType.ADDRESS,
        EntityType.LOC,
        EntityType.ORG,
        EntityType.DATE,
        EntityType.AGE,
        EntityType.IMAGE,
    }
)
"""Types whose values need not hold a digit."""
_MIN_DIGITS = 4
"""Of a number that tells who somebody is: iPhone 13 is no telephone number, and 3 accounts are none."""
_NO_VALUES = frozenset(
    (
        "n/a",
        "na",
        "nil",
        "none",
        "null",
        "no",
        "yes",
        "unknown",
        "-",
        "--",
        "/",
        "无",
        "否",
        "是",
        "有",
        "不详",
        "未知",
        "空",
    )
)
"""What is written where there is nothing to write; by itself it tells about nobody."""
_NEVER_NUMBERS = frozenset(
    {
        EntityType.PERSON,
        EntityType.EMAIL,
        EntityType.URL,
        EntityType.ADDRESS,
        EntityType.LOC,
        EntityType.ORG,
        EntityType.IMAGE,
    }
)
"""Under such a name a number counts something: url_count, photos."""


class ColumnRule(NamedTuple):
    """What a column is, and who says so."""

    policy: ColumnPolicy
    is_guess: bool
    """By its name alone."""


class ColumnActions:
    """Carries out what is done to columns.

    Args:
        setup: with the policy and the key.

    Raises:
        ConfigError: a rule of the policy that cannot be, or would keep a direct identifier.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._keys = setup.keys
        self._rules: dict[str, ColumnRule | None] = {}
        self._quasi: dict[str, bool] = {}
        self._surrogates: dict[tuple[EntityType, Action], Surrogates] = {}
        ColumnScrubber(setup.policy, self._keys, surrogates_of=self._keyed)  # checks the rules

    def rule(self, path: str) -> ColumnRule | None:
        """The rule of a column; None: it is read as free text."""
        if path not in self._rules:
            _make_room(self._rules)
            self._rules[path] = self._found(path)
        return self._rules[path]

    def _found(self, path: str) -> ColumnRule | None:
        columns = self._setup.policy.columns
        stated = columns.get(path) or columns.get(paths.column_of(path))
        if stated is not None:
            return None if stated.kind is ColumnClass.TEXT else ColumnRule(stated, is_guess=False)
        if path in (self._setup.fields.text or paths.TEXT_FIELDS):
            return None
        guess = self._guessed(path)
        if guess.type is None or guess.action is Action.KEEP:
            return None
        action = self._setup.policy.action_of(guess.type)
        if guess.kind not in (ColumnClass.DIRECT, ColumnClass.QUASI) or action is Action.KEEP:
            return None
        return ColumnRule(ColumnPolicy(kind=guess.kind, action=action, type=guess.type), is_guess=True)

    def is_quasi(self, path: str) -> bool:
        """Whether k-anonymity counts a column."""
        if path not in self._quasi:
            _make_room(self._quasi)
            columns = self._setup.policy.columns
            stated = columns.get(path) or columns.get(paths.column_of(path))
            kind = stated.kind if stated is not None else self._guessed(path).kind
            self._quasi[path] = kind is ColumnClass.QUASI and (stated is None or stated.action is not Action.DROP)
        return self._quasi[path]

    def _guessed(self, path: str) -> ColumnGuess:
        return guess_column(path.replace(paths.ANY_ITEM, "").rpartition(".")[2], ())[0]

    def known(self, leaf: paths.Leaf) -> EntityType | None:
        """The type under which a column's value is looked for in the record's texts."""
        rule = self.rule(leaf.path)
        if rule is None or rule.policy.kind is not ColumnClass.DIRECT or rule.policy.type not in KNOWN_TYPES:
            return None
        if rule.is_guess and not _has_form(leaf.value, rule.policy.type):
            return None
        value = leaf.value
        is_value = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
        return rule.policy.type if is_value and len(str(value)) <= _MAX_VALUE_CHARS else None

    def replaced(self, leaf: paths.Leaf, context: Context, place: str) -> Action | None:
        """Carry the column's action out; None: the value is to be read as free text.

        Raises:
            RefusalError: a value that cannot be replaced as the policy asks.
        """
        if leaf.path == self._setup.fields.patient:
            leaf.put(self._token(leaf.value))
            return Action.SURROGATE
        rule = self.rule(leaf.path)
        if rule is None:
            return None
        action = rule.policy.action
        if leaf.value in (None, "") or action is Action.KEEP:
            return Action.KEEP
        if rule.is_guess and not _has_form(leaf.value, rule.policy.type):
            return None
        if action is Action.DROP:
            leaf.put("" if isinstance(leaf.value, str) else None)
            return action
        if rule.policy.type is None:
            raise RefusalError("surrogates", place, leaf.path)
        return self._replace(leaf, rule, rule.policy.type, context, place)

    def _replace(
        self, leaf: paths.Leaf, rule: ColumnRule, type_: EntityType, context: Context, place: str
    ) -> Action | None:
        text = as_text(leaf, place, every_number=True)
        if text is None:
            return Action.KEEP
        code = None
        try:
            done = self._of(type_, rule.policy.action).for_document(context).replace(type_, text)
            if rule.is_guess and done.issue is not None:
                return None
            leaf.put(as_value(leaf, done.text, type_, exact=done.action is Action.FPE))
        except ValueError:
            if isinstance(leaf.value, datetime.date) or (rule.is_guess and type_ is EntityType.SECRET):
                leaf.put(None)
                return Action.DROP
            code = "number_is_identifier"
        except DesensitizationError:
            code = "surrogates"
        if code is not None:
            raise RefusalError(code, place, leaf.path)
        return done.action

    def _of(self, type_: EntityType, action: Action) -> Surrogates:
        if (type_, action) not in self._surrogates:
            policy = self._setup.policy
            changed = policy.model_copy(update={"actions": {**policy.actions, type_: action}})
            self._surrogates[type_, action] = self._keyed(changed, self._keys)
        return self._surrogates[type_, action]

    def _keyed(self, policy: DesensitizePolicy, keys: ScrubKeys) -> Surrogates:
        return Surrogates(policy, keys, descriptor=self._setup.key_descriptor)

    def _token(self, value: object) -> object:
        """A keyed stand-in for a patient's id: the same in every file of this key, and of no use without it."""
        draw = self._keys.draw("PATIENT", "site", "", str(value).strip())
        if isinstance(value, int) and not isinstance(value, bool):
            return int.from_bytes(draw[:6], "big")
        return f"p{draw[:_PATIENT_BYTES].hex()}"


def _make_room(remembered: dict[str, Any]) -> None:
    """Forget all when there are too many: records may each have names of their own, and memory must stay flat."""
    if len(remembered) >= _MAX_PATHS:
        remembered.clear()


def _has_form(value: object, type_: EntityType | None) -> bool:
    """Whether a value may be what the name of its column promises: account_status is no account."""
    if isinstance(value, bytes):
        return type_ is EntityType.IMAGE
    text = str(value)
    if isinstance(value, bool) or len(text) > _MAX_VALUE_CHARS:
        return False
    if isinstance(value, int | float | decimal.Decimal) and type_ in _NEVER_NUMBERS:
        return False
    if text.strip().lower() in _NO_VALUES:
        return False
    num_digits = sum(character.isdigit() for character in text)
    return type_ in _WITHOUT_DIGITS or num_digits >= (1 if type_ is EntityType.MRN else _MIN_DIGITS)


def as_text(leaf: paths.Leaf, place: str, *, every_number: bool = False) -> str | None:
    """A value as the detectors read it; None: nothing that could be an identifier."""
    value = leaf.value
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value) if every_number or abs(value) >= MIN_NUMBER else None
    if isinstance(value, float | decimal.Decimal):
        if not math.isfinite(value) or value != int(value):
            return None
        return str(int(value)) if every_number or abs(int(value)) >= MIN_NUMBER else None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time | datetime.timedelta):
        return None
    raise RefusalError("binary" if isinstance(value, bytes) else "unknown_type", place, leaf.path)


def as_value(leaf: paths.Leaf, text: str, type_: EntityType | None = None, *, exact: bool = True) -> object:
    """A text in the type of the value it replaces.

    Args:
        exact: the text is a code that is to come back; else a resident id whose check character is no digit gives way
            to the next one that has a digit, for a number has no X.

    Raises:
        ValueError: it cannot be one.
    """
    value = leaf.value
    if isinstance(value, bool | str):
        return text
    if isinstance(value, int | float | decimal.Decimal):
        text = text if exact else _without_x(text)
        # An age above 89 is written 90+; a number holds the 90.
        number = int(text.removesuffix("+") if type_ is EntityType.AGE else text)
        if type_ is not EntityType.AGE and str(number) != text:
            raise ValueError
        return type(value)(number)
    return type(value).fromisoformat(text)


def _without_x(text: str) -> str:
    """A resident id that ends in a digit: the next sequence of the same parity, hence sex, that has one."""
    if len(text) != _ID_LENGTH or not text.isascii() or not text[:-1].isdigit() or text[-1] not in "Xx":
        return text
    head, sequence = text[:14], int(text[14:17])
    bodies = (f"{head}{(sequence + step) % 1000:03d}" for step in range(2, 1000, 2) if (sequence + step) % 1000)
    return next((body + digit for body in bodies if (digit := checksums.id_cn_digit(body)) != "X"), text)


__all__ = ["as_text", "as_value", "ColumnActions", "ColumnRule", "MIN_NUMBER"]
