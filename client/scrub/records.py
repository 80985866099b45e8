"""Desensitise the records of one chunk: what a worker does, and the only code that does it.

Invariants: a record is written whole and clean, or not at all; every string of a record is read as free text unless
its column says otherwise; what comes out depends on the chunk, the policy and the key alone. Not handled here:
bytes of a format (``rows``, ``tables``), processes (``pool``).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fedward.client.scrub import fields as paths
from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import MAX_RECORD_BYTES, Setup
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer, Result
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import Surrogates
from fedward.common.desensitize.tally import Tally, audit_handle

_MIN_NUMBER = 10**6
"""Shorter numbers identify nobody by themselves."""
_PATIENT_BYTES = 8
_MAX_NAMES = 10_000
"""Names of fields whose judgement is remembered."""


class Quarantined(NamedTuple):
    """One record that was left out."""

    place: str
    reason: str
    detail: str
    handle: str
    """Keyed, so that who has the key can tell which record it was."""
    text: str | None
    """The record itself, only if asked for."""


@dataclass(slots=True)
class _Task:
    """One record on its way."""

    place: str
    raw: bytes
    record: dict[str, Any] | None
    refusal: RefusalError | None = None
    leaves: list[tuple[paths.Leaf, int, int]] = field(default_factory=list)
    """Each with its first text in the batch and the number of texts, more than one if it was split."""


class RecordScrubber:
    """Desensitises records.

    Args:
        setup: policy, key, fields.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._keys: ScrubKeys = setup.keys
        self._desensitizer = Desensitizer(setup.policy, self._keys, descriptor=setup.key_descriptor)
        self._columns = ColumnActions(setup)
        self._key_names: dict[str, bool] = {}
        self._prose = frozenset(setup.fields.text or paths.TEXT_FIELDS)

    def scrub(
        self, member: str, items: Iterable[tuple[int, str, bytes, dict[str, Any] | None, RefusalError | None]]
    ) -> tuple[list[dict[str, Any] | None], Tally, list[Quarantined]]:
        """The records that may be written, in order; None where one may not.

        Args:
            items: number, place, bytes for the handle, the record, and why it cannot be read.

        Raises:
            RefusalError: a bad record, unless bad ones are skipped.
        """
        tasks: list[_Task] = []
        batch: list[tuple[str, Context]] = []
        layered: list[bool] = []
        for number, place, raw, record, refusal in items:
            task = _Task(place, raw, record, refusal)
            tasks.append(task)
            if refusal is None and record is not None:
                self._plan(task, f"{member}:{number}", batch)
                for leaf, _, count in task.leaves:
                    layered += [leaf.path in self._prose] * count
        results = self._desensitizer.records(batch, layered=layered)
        tally, left_out = Tally(), list[Quarantined]()
        written: list[dict[str, Any] | None] = []
        for task in tasks:
            written.append(self._finish(task, results, tally, left_out))
        return written, tally, left_out

    # ------------------------------------------------------------------------------------------------ one record

    def _plan(self, task: _Task, document_id: str, batch: list[tuple[str, Context]]) -> None:
        """Put the texts of a record into the batch; replace its columns."""
        record, start = task.record or {}, len(batch)
        try:
            self._check_names(record, task.place)
            found = list(paths.leaves(record))
            context = self._context(found, document_id, task.place)
            for leaf in found:
                if not self._columns.replaced(leaf, context, task.place):
                    self._add_texts(task, leaf, context, batch)
        except RefusalError as error:
            task.refusal = RefusalError(error.code, task.place, error.detail)
        except RecursionError:
            task.refusal = RefusalError("bad_json", task.place)
        if task.refusal is not None:
            del batch[start:]

    def _check_names(self, record: dict[str, Any], place: str) -> None:
        """A field's name cannot be replaced, so it must not be an identifier (``{"13800138000": …}``)."""
        for name in paths.keys(record):
            known = self._key_names.get(name)
            if known is None:
                known = self._desensitizer.is_identifier(name)
                if len(self._key_names) < _MAX_NAMES:
                    self._key_names[name] = known
            if known:
                raise RefusalError("key_is_identifier", place)

    def _context(self, found: Sequence[paths.Leaf], document_id: str, place: str) -> Context:
        patient = self._setup.fields.patient
        patient_id = None
        known: dict[EntityType, tuple[str, ...]] = {}
        for leaf in found:
            if patient is not None and leaf.path == patient and leaf.value not in (None, ""):
                patient_id = str(leaf.value).strip()
                known[EntityType.MRN] = (*known.get(EntityType.MRN, ()), patient_id)
            rule = self._columns.rule(leaf.path)
            if rule is None or rule.kind is not ColumnClass.DIRECT or rule.type is None:
                continue
            if isinstance(leaf.value, str | int) and not isinstance(leaf.value, bool) and leaf.value != "":
                known[rule.type] = (*known.get(rule.type, ()), str(leaf.value))
        if patient is not None and not patient_id:
            raise RefusalError("patient_missing", place)
        return Context(document_id=document_id, patient_id=patient_id, known=known)

    def _add_texts(self, task: _Task, leaf: paths.Leaf, context: Context, batch: list[tuple[str, Context]]) -> None:
        text = _as_text(leaf, task.place)
        if text is None:
            return
        if not _is_whole(text):
            raise RefusalError("lone_surrogate", task.place, leaf.path)
        pieces = [text] if _fits(text) else _pieces(text) if self._setup.split else None
        if pieces is None:
            raise RefusalError("too_long", task.place, leaf.path)
        task.leaves.append((leaf, len(batch), len(pieces)))
        batch += [(piece, context) for piece in pieces]

    def _finish(
        self, task: _Task, results: Sequence[Result], tally: Tally, left_out: list[Quarantined]
    ) -> dict[str, Any] | None:
        if task.refusal is None and task.record is None:
            return None
        tally.records += 1
        mine = [results[index] for _, first, count in task.leaves for index in range(first, first + count)]
        if task.refusal is None:
            for result in mine:
                tally.add_result(result, self._keys)
            leaks = sorted({leak for result in mine for leak in result.leaks})
            if leaks:
                task.refusal = RefusalError("leak", task.place, ", ".join(leaks))
            else:
                task.refusal = self._put(task, results)
        if task.refusal is None:
            self._count_columns(task, tally)
            return task.record
        if task.refusal.code == "leak":
            tally.failed += 1
        elif not self._setup.skip_bad:
            raise task.refusal
        else:
            tally.refused += 1
        left_out.append(self._quarantined(task, task.refusal))
        return None

    def _put(self, task: _Task, results: Sequence[Result]) -> RefusalError | None:
        """Write the new values into the record."""
        for leaf, first, count in task.leaves:
            found = results[first : first + count]
            if not any(result.issued for result in found):
                continue
            try:
                leaf.put(_as_value(leaf, "".join(result.text or "" for result in found)))
            except ValueError:
                code = "number_is_identifier" if isinstance(leaf.value, int | float) else "date_is_identifier"
                return RefusalError(code, task.place, leaf.path)
        return None

    def _count_columns(self, task: _Task, tally: Tally) -> None:
        quasi = []
        for leaf in paths.leaves(task.record or {}):
            rule = self._columns.rule(leaf.path)
            if rule is None:
                continue
            tally.columns[leaf.path, rule.action.value] += 1
            if rule.kind is ColumnClass.QUASI:
                quasi.append(f"{leaf.path}={leaf.value}")
        if quasi:
            tally.add_class(audit_handle(self._keys, "QUASI", "\x1f".join(sorted(quasi))))

    def _quarantined(self, task: _Task, refusal: RefusalError) -> Quarantined:
        raw = task.raw.decode("utf-8", "backslashreplace")
        return Quarantined(
            place=task.place,
            reason=refusal.code,
            detail=refusal.detail,
            handle=audit_handle(self._keys, "RECORD", raw),
            text=raw if self._setup.quarantine_text else None,
        )


class ColumnActions:
    """What is done to whole columns, by the policy.

    Args:
        setup: with the policy and the key.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._keys = setup.keys
        self._rules: dict[str, ColumnPolicy | None] = {}
        self._surrogates: dict[tuple[EntityType, Action], Surrogates] = {}

    def rule(self, path: str) -> ColumnPolicy | None:
        """The rule of a column; None: it is read as free text."""
        if path not in self._rules:
            columns: Mapping[str, ColumnPolicy] = self._setup.policy.columns
            rule = columns.get(path) or columns.get(paths.column_of(path))
            self._rules[path] = rule
        rule = self._rules[path]
        return None if rule is None or rule.kind is ColumnClass.TEXT else rule

    def replaced(self, leaf: paths.Leaf, context: Context, place: str) -> bool:
        """Carry the column's action out; False: the value is to be read as free text."""
        if leaf.path == self._setup.fields.patient:
            leaf.put(self._token(leaf.value))
            return True
        rule = self.rule(leaf.path)
        if rule is None:
            return False
        if leaf.value in (None, "") or rule.action is Action.KEEP:
            return True
        if rule.action is Action.DROP:
            leaf.put("" if isinstance(leaf.value, str) else None)
            return True
        if rule.type is None:
            raise RefusalError("surrogates", place, leaf.path)
        self._replace(leaf, rule.type, rule.action, context, place)
        return True

    def _replace(self, leaf: paths.Leaf, type_: EntityType, action: Action, context: Context, place: str) -> None:
        text = _as_text(leaf, place, every_number=True)
        if text is None:
            return
        try:
            leaf.put(_as_value(leaf, self._of(type_, action).for_document(context).replace(type_, text).text))
        except ValueError:
            raise RefusalError("number_is_identifier", place, leaf.path) from None

    def _of(self, type_: EntityType, action: Action) -> Surrogates:
        if (type_, action) not in self._surrogates:
            policy = self._setup.policy
            changed = policy.model_copy(update={"actions": {**policy.actions, type_: action}})
            self._surrogates[type_, action] = Surrogates(changed, self._keys, descriptor=self._setup.key_descriptor)
        return self._surrogates[type_, action]

    def _token(self, value: object) -> object:
        """A keyed stand-in for a patient's id: the same in every file of this key, and of no use without it."""
        draw = self._keys.draw("PATIENT", "site", "", str(value).strip())
        if isinstance(value, int) and not isinstance(value, bool):
            return int.from_bytes(draw[:6], "big")
        return f"p{draw[:_PATIENT_BYTES].hex()}"


def _as_text(leaf: paths.Leaf, place: str, *, every_number: bool = False) -> str | None:
    """A value as the detectors read it; None: nothing that could be an identifier."""
    value = leaf.value
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return str(value) if every_number or abs(value) >= _MIN_NUMBER else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and (every_number or abs(value) >= _MIN_NUMBER) else None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        raise RefusalError("binary", place, leaf.path)
    return None


def _as_value(leaf: paths.Leaf, text: str) -> object:
    """A text in the type of the value it replaces.

    Raises:
        ValueError: it cannot be one.
    """
    value = leaf.value
    if isinstance(value, bool | str):
        return text
    if isinstance(value, int | float):
        number = int(text)
        if str(number) != text:
            raise ValueError
        return type(value)(number)
    return type(value).fromisoformat(text)


def _is_whole(text: str) -> bool:
    """No half of a surrogate pair; JSON can spell one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(text: str) -> bool:
    return len(text) <= MAX_RECORD_BYTES // 4 or len(text.encode()) <= MAX_RECORD_BYTES


def _pieces(text: str) -> list[str]:
    """Pieces of at most a quarter of the limit in characters, cut behind paragraphs, else lines, else anywhere."""
    size, pieces = MAX_RECORD_BYTES // 4, []
    while len(text) > size:
        cut = max(text.rfind("\n\n", 0, size) + 2, 0)
        if cut < size // 2:
            cut = text.rfind("\n", 0, size) + 1
        cut = cut if cut >= size // 2 else size
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


__all__ = ["ColumnActions", "Quarantined", "RecordScrubber"]
