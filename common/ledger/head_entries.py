"""The entries in which a chain keeps the heads of others: sets, the signatures of those who recorded them, recovery.

A set is written with all its statements and signatures, so that whoever holds the chain can prove what it was told; a
long one takes several entries in a row, appended together. None of the kinds says anything of records, and an export
without bodies keeps theirs: the form that is given to another party must show which heads its owner holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fedward.common.errors import IdentityError, LedgerError
from fedward.common.ledger.body import Value
from fedward.common.ledger.chain import Draft, Entry
from fedward.common.ledger.heads import HeadSet, HeadStatement

Item = TypeVar("Item")

HEADS_RECORDED = "heads.recorded"
HEADS_CONFIRMED = "heads.confirmed"
RECOVERED = "ledger.recovered"
BACKUP = "ledger.backup"
RESTORED = "ledger.restored"
_PER_ENTRY = 128
"""Statements or signatures: about 45,000 of the 65,536 bytes that a body may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """Who else signed a set."""

    run_id: bytes
    number: int
    headset: bytes
    signatures: tuple[tuple[str, bytes], ...] = field(repr=False)


def recorded_drafts(heads: HeadSet) -> tuple[Draft, ...]:
    """The entries of a set; to be appended together."""
    pieces = _pieces(heads.statements)
    return tuple(
        Draft(
            kind=HEADS_RECORDED,
            fields={
                "run": heads.run_id.hex(),
                "set": heads.number,
                "headset": heads.digest.hex(),
                "signature": heads.signature.hex(),
                "part": index,
                "parts": len(pieces),
                "statements": [statement_fields(statement) for statement in piece],
            },
        )
        for index, piece in enumerate(pieces)
    )


def confirmed_drafts(confirmed: Confirmed) -> tuple[Draft, ...]:
    """The entries of signatures over a set."""
    return tuple(
        Draft(
            kind=HEADS_CONFIRMED,
            fields={
                "run": confirmed.run_id.hex(),
                "set": confirmed.number,
                "headset": confirmed.headset.hex(),
                "signatures": [[name, signature.hex()] for name, signature in piece],
            },
        )
        for piece in _pieces(confirmed.signatures)
    )


def recovered_drafts(lost: Sequence[HeadStatement], reason: str) -> tuple[Draft, ...]:
    """The entries that own up to heads which this chain has lost, one at least: from then on they count as its own."""
    return tuple(
        Draft(kind=RECOVERED, fields={"reason": reason, "lost": [statement_fields(one) for one in piece]})
        for piece in _pieces(lost) or [()]
    )


def _pieces(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + _PER_ENTRY] for start in range(0, len(items), _PER_ENTRY)]


def statement_fields(statement: HeadStatement) -> dict[str, Value]:
    """A statement as a body holds it."""
    return {
        "site": statement.site_id,
        "ledger": statement.ledger_id.hex(),
        "run": statement.run_id.hex(),
        "round": statement.round_number,
        "attempt": statement.attempt,
        "head": statement.head.hex(),
        "signature": statement.signature.hex(),
    }


def read_statement(value: object) -> HeadStatement:
    """The inverse of ``statement_fields``.

    Raises:
        LedgerError: not such an object.
    """
    names = {"site", "ledger", "run", "round", "attempt", "head", "signature"}
    if not isinstance(value, dict) or value.keys() != names:
        raise LedgerError("a head statement of the ledger has other fields")
    try:
        return HeadStatement(
            site_id=_text(value, "site"),
            ledger_id=_hex(value, "ledger"),
            run_id=_hex(value, "run"),
            round_number=_number(value, "round"),
            attempt=_number(value, "attempt"),
            head=_hex(value, "head"),
            signature=_hex(value, "signature"),
        )
    except IdentityError as error:
        raise LedgerError(error.message) from error


def read_recovered(entry: Entry) -> tuple[HeadStatement, ...]:
    """The lost statements that an entry owns up to.

    Raises:
        LedgerError: not such an entry.
    """
    return tuple(read_statement(value) for value in _list(entry.fields, "lost"))


def read_confirmed(entry: Entry) -> Confirmed:
    """The inverse of ``confirmed_drafts``, for one entry.

    Raises:
        LedgerError: not such an entry.
    """
    fields = entry.fields
    pairs = []
    for pair in _list(fields, "signatures"):
        if not isinstance(pair, list) or [type(part) for part in pair] != [str, str]:
            raise LedgerError("a signature of the ledger has no name")
        pairs.append((pair[0], _unhex(pair[1])))
    return Confirmed(
        run_id=_hex(fields, "run"),
        number=_number(fields, "set"),
        headset=_hex(fields, "headset"),
        signatures=tuple(pairs),
    )


class SetReader:
    """Puts sets together again that may lie in several entries."""

    def __init__(self) -> None:
        self._begun: tuple[object, ...] = ()
        self._statements: list[HeadStatement] = []
        self._next_seq = -1

    def take(self, entry: Entry) -> HeadSet | None:
        """The set that ends with this entry of kind ``heads.recorded``; None: more of it follows.

        Raises:
            LedgerError: not such an entry, or not the one that had to follow.
        """
        fields = entry.fields
        part, parts = _number(fields, "part"), _number(fields, "parts")
        run, number, stated = _hex(fields, "run"), _number(fields, "set"), _hex(fields, "headset")
        signature = _hex(fields, "signature")
        common = (run, number, stated, signature, parts)
        if part == 0:
            self._begun, self._statements = common, []
        elif common != self._begun or entry.seq != self._next_seq:
            raise LedgerError("a part of a head set stands alone")
        self._statements += [read_statement(value) for value in _list(fields, "statements")]
        self._next_seq = entry.seq + 1
        if part + 1 < parts:
            return None
        self._begun = ()
        heads = HeadSet(run_id=run, number=number, statements=tuple(self._statements), signature=signature)
        if part + 1 != parts or heads.digest != stated:
            raise LedgerError("a head set of the ledger is not what it says")
        return heads


def _text(fields: Mapping[str, Value], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise LedgerError(f"an entry of heads has no {name}")
    return value


def _hex(fields: Mapping[str, Value], name: str) -> bytes:
    return _unhex(_text(fields, name))


def _unhex(text: str) -> bytes:
    if len(text) % 2 or set(text) - set("0123456789abcdef"):
        raise LedgerError("an entry of heads holds what is no hex")
    return bytes.fromhex(text)


def _number(fields: Mapping[str, Value], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise LedgerError(f"an entry of heads has no {name}")
    return value


def _list(fields: Mapping[str, Value], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > _PER_ENTRY:
        raise LedgerError(f"an entry of heads has no {name}, or too many")
    return value


__all__ = [
    "BACKUP",
    "Confirmed",
    "confirmed_drafts",
    "HEADS_CONFIRMED",
    "HEADS_RECORDED",
    "read_confirmed",
    "read_recovered",
    "read_statement",
    "recorded_drafts",
    "RECOVERED",
    "recovered_drafts",
    "RESTORED",
    "SetReader",
    "statement_fields",
]
