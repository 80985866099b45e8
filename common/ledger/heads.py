"""Heads that others hold: what a party states of its own chain, the set of all statements, and proof of two sets.

::

    head    = H("fedward/ledger/v1/head", ledger_id, run_id, round, attempt, head)           signed as type "head"
    headset = H("fedward/ledger/v1/heads", run_id, number, id_1, head_1, …)                   signed as type "heads"
    answer  = H("fedward/ledger/v1/answer", subject id, nonce, statement)                     signed as type "answer"

A statement carries no number of entries: how busy a site is, is nobody's business. A set holds the newest statement of
each site in bytewise order of their ids, the coordinator's own last. Sets are numbered through a run from 1: where a
round is tried twice, or its vectors and its shares each bring heads, it has more sets than one, and two sets under one
number, both signed by the coordinator, are proof that it told two stories. An answer says what its signer has recorded
of another site; an empty statement is "none".

Pure. Not handled here: who may state what when (``witness``), and how it travels (``messages.witness``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fedward.common.config import COORDINATOR
from fedward.common.errors import LedgerError
from fedward.common.identity import Identity, check_site_id, verify
from fedward.common.ledger.chain import ID_BYTES
from fedward.common.secagg.transcript import digest, transcript

HEAD_BYTES = 32
NONCE_BYTES = 16
SIGNATURE_BYTES = 64
MAX_STATEMENTS = 1025
"""The largest cohort with shares, and the coordinator."""
MAX_NUMBER = 2**32 - 1


def _require_sizes(*sized: tuple[bytes, int]) -> None:
    if any(len(value) != size for value, size in sized):
        raise LedgerError("a part of a head statement has the wrong length")


def check_party(name: str) -> None:
    """Refuse what is neither a site id nor the coordinator's name.

    Raises:
        IdentityError: such a name.
    """
    if name != COORDINATOR:
        check_site_id(name)


def head_digest(ledger_id: bytes, run_id: bytes, round_number: int, attempt: int, head: bytes) -> bytes:
    """What a party signs of its own chain."""
    return digest("fedward/ledger/v1/head", ledger_id, run_id, round_number, attempt, head)


def headset_digest(run_id: bytes, number: int, heads: Iterable[tuple[str, bytes]]) -> bytes:
    """What coordinator and sites sign of a set.

    Args:
        run_id: of the run.
        number: of the set in it.
        heads: id and head, in the set's order.
    """
    return digest("fedward/ledger/v1/heads", run_id, number, *(part for pair in heads for part in pair))


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadStatement:
    """A party's word for the head of its chain at a moment of a run.

    Raises:
        LedgerError, IdentityError: a part that cannot be.
    """

    site_id: str
    """Or the coordinator's name."""
    ledger_id: bytes
    run_id: bytes
    round_number: int
    attempt: int
    head: bytes
    signature: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_party(self.site_id)
        sizes = ((self.ledger_id, ID_BYTES), (self.run_id, ID_BYTES), (self.head, HEAD_BYTES))
        _require_sizes(*sizes, (self.signature, SIGNATURE_BYTES))
        if not (0 <= self.round_number <= MAX_NUMBER and 0 <= self.attempt <= MAX_NUMBER):
            raise LedgerError("round or attempt of a head statement cannot be")

    @property
    def position(self) -> tuple[int, int]:
        """Round and attempt."""
        return self.round_number, self.attempt

    @property
    def digest(self) -> bytes:
        """What is signed."""
        return head_digest(self.ledger_id, self.run_id, self.round_number, self.attempt, self.head)

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether it is the word of that key's owner."""
        return verify(public_key, self.signature, "ledger", "head", self.digest)

    def to_bytes(self) -> bytes:
        """All of it, for an answer's digest."""
        place = (self.run_id, self.round_number, self.attempt)
        return transcript(
            "fedward/ledger/v1/statement", self.site_id, self.ledger_id, *place, self.head, self.signature
        )


def stated_head(
    identity: Identity, site_id: str, *, ledger_id: bytes, run_id: bytes, round_number: int, attempt: int, head: bytes
) -> HeadStatement:
    """One's own head, signed."""
    signature = identity.sign("ledger", "head", head_digest(ledger_id, run_id, round_number, attempt, head))
    return HeadStatement(
        site_id=site_id,
        ledger_id=ledger_id,
        run_id=run_id,
        round_number=round_number,
        attempt=attempt,
        head=head,
        signature=signature,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSet:
    """All statements of a moment, as the coordinator passes them on.

    Raises:
        LedgerError: statements out of order, repeated, of another run, or too many; a number that cannot be.
    """

    run_id: bytes
    number: int
    statements: tuple[HeadStatement, ...] = field(repr=False)
    signature: bytes = field(repr=False)
    """The coordinator's, over the digest; empty only while it is made."""

    def __post_init__(self) -> None:
        names = [statement.site_id for statement in self.statements]
        if names != sorted(set(names), key=_order) or not 0 < len(names) <= MAX_STATEMENTS:
            raise LedgerError("the statements of a head set are not in order, or each once")
        if any(statement.run_id != self.run_id for statement in self.statements) or len(self.run_id) != ID_BYTES:
            raise LedgerError("a head set holds a statement of another run")
        if not 0 < self.number <= MAX_NUMBER or len(self.signature) not in (0, SIGNATURE_BYTES):
            raise LedgerError("number or signature of a head set cannot be")

    @property
    def digest(self) -> bytes:
        """The headset."""
        return headset_digest(self.run_id, self.number, ((one.site_id, one.head) for one in self.statements))

    def of(self, site_id: str) -> HeadStatement | None:
        """A party's statement."""
        return next((statement for statement in self.statements if statement.site_id == site_id), None)

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether the coordinator of that key gave it out."""
        return verify(public_key, self.signature, "ledger", "heads", self.digest)

    def unsigned_party(self, keys: Mapping[str, bytes]) -> str | None:
        """The first party that is a stranger or whose signature does not hold; None: all is well.

        Args:
            keys: party to public key, the coordinator's among them.
        """
        for statement in self.statements:
            key = keys.get(statement.site_id)
            if key is None or not statement.is_signed_by(key):
                return statement.site_id
        return None


def _order(name: str) -> tuple[bool, bytes]:
    """Sites bytewise, the coordinator behind them."""
    return name == COORDINATOR, name.encode()


def signed_set(identity: Identity, run_id: bytes, number: int, statements: Iterable[HeadStatement]) -> HeadSet:
    """A set of these statements, put in order and signed by the coordinator."""
    ordered = tuple(sorted(statements, key=lambda statement: _order(statement.site_id)))
    unsigned = HeadSet(run_id=run_id, number=number, statements=ordered, signature=b"")
    return replace(unsigned, signature=identity.sign("ledger", "heads", unsigned.digest))


def answer_digest(subject: str, nonce: bytes, statement: HeadStatement | None) -> bytes:
    """What a witness signs."""
    return digest("fedward/ledger/v1/answer", subject, nonce, b"" if statement is None else statement.to_bytes())


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A site has started and asks what others have recorded of it."""

    subject: str
    nonce: bytes

    def __post_init__(self) -> None:
        check_site_id(self.subject)
        _require_sizes((self.nonce, NONCE_BYTES))


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A witness's word for the newest statement that it has recorded of a site."""

    subject: str
    witness: str
    nonce: bytes
    statement: HeadStatement | None
    """None: it has recorded none."""
    signature: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_site_id(self.subject)
        check_site_id(self.witness)
        _require_sizes((self.nonce, NONCE_BYTES), (self.signature, SIGNATURE_BYTES))
        if self.statement is not None and self.statement.site_id != self.subject:
            raise LedgerError("an answer holds a statement of another site")

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether it is the word of that key's owner."""
        expected = answer_digest(self.subject, self.nonce, self.statement)
        return verify(public_key, self.signature, "ledger", "answer", expected)


def signed_answer(identity: Identity, witness: str, question: Question, statement: HeadStatement | None) -> Answer:
    """What ``witness`` has recorded of the asking site."""
    signature = identity.sign("ledger", "answer", answer_digest(question.subject, question.nonce, statement))
    return Answer(
        subject=question.subject, witness=witness, nonce=question.nonce, statement=statement, signature=signature
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Equivocation:
    """Two sets under one number: proof that the coordinator told two stories, for anyone who knows its key."""

    first: HeadSet
    second: HeadSet

    def holds(self, coordinator_key: bytes) -> bool:
        """Whether both are the coordinator's, of one place, and differ."""
        places = {(one.run_id, one.number) for one in (self.first, self.second)}
        are_different = self.first.digest != self.second.digest
        return len(places) == 1 and are_different and self._are_signed_by(coordinator_key)

    def _are_signed_by(self, coordinator_key: bytes) -> bool:
        return self.first.is_signed_by(coordinator_key) and self.second.is_signed_by(coordinator_key)


__all__ = [
    "Answer",
    "answer_digest",
    "check_party",
    "Equivocation",
    "head_digest",
    "HeadSet",
    "headset_digest",
    "HeadStatement",
    "MAX_NUMBER",
    "MAX_STATEMENTS",
    "NONCE_BYTES",
    "Question",
    "SIGNATURE_BYTES",
    "signed_answer",
    "signed_set",
    "stated_head",
]
