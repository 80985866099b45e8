"""Desensitise the records of one chunk: what a worker does, and the only code that does it.

Invariants: a record is written whole and clean, or not at all; every string of a record is read as free text unless
its column says otherwise; what comes out depends on the chunk, the policy and the key alone. Not handled here:
bytes of a format (``rows``, ``tables``), processes (``pool``).
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fedward.client.scrub import fields as paths
from fedward.client.scrub.column_actions import ColumnActions, as_text, as_value
from fedward.client.scrub.refusals import RefusalError
from fedward.client.scrub.settings import MAX_RECORD_BYTES, Setup
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import QUASI_TYPES, Desensitizer, Result
from fedward.common.desensitize.policy import Action
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.tally import Tally, audit_handle

_MIN_TELLING = 5
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
    columns: list[tuple[str, Action]] = field(default_factory=list)
    """What was done to values of whole columns."""
    names: str = field(default="", repr=False)
    """Of its fields, in one text."""
    known: Mapping[EntityType, tuple[str, ...]] = field(default_factory=dict, repr=False)
    patient: str | None = field(default=None, repr=False)


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
        self._texts = frozenset(member.name for member in setup.members if member.kind == "text")
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
                self._plan(task, member, number, batch)
                for leaf, _, count in task.leaves:
                    layered += [leaf.path in self._prose] * count
        results = self._desensitizer.records(batch, layered=layered)
        tally, left_out = Tally(), list[Quarantined]()
        written: list[dict[str, Any] | None] = []
        for task in tasks:
            written.append(self._finish(task, results, tally, left_out))
        return written, tally, left_out

    # ------------------------------------------------------------------------------------------------ one record

    def _plan(self, task: _Task, member: str, number: int, batch: list[tuple[str, Context]]) -> None:
        """Put the texts of a record into the batch; replace its columns."""
        record, start = task.record or {}, len(batch)
        try:
            task.names = self._checked_names(record, task.place)
            found = list(paths.leaves(record))
            context = self._context(found, member, number, task.place)
            task.known, task.patient = context.known, context.patient_id
            for leaf in found:
                action = self._columns.replaced(leaf, context, task.place)
                if action is not None:
                    task.columns.append((leaf.path, action))
                else:
                    self._add_texts(task, leaf, context, batch)
        except RefusalError as error:
            task.refusal = RefusalError(error.code, task.place, error.detail)
        except RecursionError:
            task.refusal = RefusalError("bad_json", task.place)
        if task.refusal is not None:
            del batch[start:]
            task.leaves.clear()

    def _checked_names(self, record: dict[str, Any], place: str) -> str:
        """A field's name cannot be replaced, so it must not be an identifier (``{"13800138000": …}``)."""
        names = list(paths.keys(record))
        for name in names:
            known = self._key_names.get(name)
            if known is None:
                if not _is_whole(name):
                    raise RefusalError("lone_surrogate", place)
                known = self._desensitizer.is_identifier(name)
                if len(self._key_names) < _MAX_NAMES:
                    self._key_names[name] = known
            if known:
                raise RefusalError("key_is_identifier", place)
        return "\n".join(names)

    def _context(self, found: Sequence[paths.Leaf], member: str, number: int, place: str) -> Context:
        patient = self._setup.fields.patient
        # The paragraphs of a text are about one matter: its dates must move together, and its people stay themselves.
        patient_id = f"file {member}" if member in self._texts else None
        known: dict[EntityType, tuple[str, ...]] = {}
        for leaf in found:
            if patient is not None and leaf.path == patient and leaf.value not in (None, ""):
                patient_id = str(leaf.value).strip()
                known[EntityType.MRN] = (*known.get(EntityType.MRN, ()), patient_id)
            type_ = self._columns.known(leaf)
            if type_ is not None:
                known[type_] = (*known.get(type_, ()), str(leaf.value))
        if patient is not None and not patient_id:
            raise RefusalError("patient_missing", place)
        return Context(
            document_id=f"{member}:{number}", patient_id=patient_id, known=known, record_date=self._setup.record_date
        )

    def _add_texts(self, task: _Task, leaf: paths.Leaf, context: Context, batch: list[tuple[str, Context]]) -> None:
        text = as_text(leaf, task.place)
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
            if not leaks and (type_ := _value_in_names(task, mine)) is not None:
                leaks = [f"field name {type_.value}"]
                tally.leaks.update(leaks)
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
            if not any(result.issued or result.words_changed for result in found):
                continue
            try:
                is_exact = any(item.action is Action.FPE for result in found for item in result.issued)
                leaf.put(as_value(leaf, "".join(result.text or "" for result in found), exact=is_exact))
            except ValueError:
                if not isinstance(leaf.value, datetime.date):
                    return RefusalError("number_is_identifier", task.place, leaf.path)
                # A date that gives an age above 89 away, or an impossible one: a column of dates holds no placeholder.
                leaf.put(None)
                task.columns.append((leaf.path, Action.DROP))
        return None

    def _count_columns(self, task: _Task, tally: Tally) -> None:
        tally.columns.update((path, action.value) for path, action in task.columns)
        quasi = []
        for leaf in paths.leaves(task.record or {}):
            if self._columns.is_quasi(leaf.path):
                quasi.append(f"{leaf.path}={leaf.value}")
                tally.quasi[leaf.path] += 1
        if quasi:
            person = audit_handle(self._keys, "PATIENT", task.patient) if task.patient else ""
            tally.add_class(audit_handle(self._keys, "QUASI", "\x1f".join(sorted(quasi))), person)

    def _quarantined(self, task: _Task, refusal: RefusalError) -> Quarantined:
        raw = task.raw.decode("utf-8", "backslashreplace")
        return Quarantined(
            place=task.place,
            reason=refusal.code,
            detail=refusal.detail,
            handle=audit_handle(self._keys, "RECORD", raw),
            text=raw if self._setup.quarantine_text else None,
        )


def _value_in_names(task: _Task, results: Sequence[Result]) -> EntityType | None:
    """The type of a replaced or known value that stands in the name of a field: ``{"张三": "胃癌"}``."""
    found = ((type_, value) for type_, values in task.known.items() for value in values)
    issued = (
        (item.span.type, result.source[item.span.start : item.span.end]) for result in results for item in result.issued
    )
    for type_, value in itertools.chain(found, issued):
        if value in task.names and type_ not in QUASI_TYPES and _is_telling(value):
            return type_
    return None


def _is_telling(value: str) -> bool:
    """Long enough to be no word that happens to be a field's name; of Latin letters a name in full."""
    if not value.isascii():
        return len(value) > 1
    return len(value) >= _MIN_TELLING and (" " in value or any(map(str.isdigit, value)))


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


__all__ = ["Quarantined", "RecordScrubber"]
