"""The ``Witness`` part beside a message: heads of ledgers, who has recorded them, and what was asked of whom.

It lies in the same frame as a message and outside its signature; each thing in it is signed by itself, so a relay can
leave it out and cannot make it. Read strictly and bounded: an encoding that this version does not write, a field of the
other side, too many of anything are ``BAD_ENCODING``. Not handled here: what any of it means (``ledger.witness``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fedward.common.errors import IdentityError, LedgerError, ProtocolError
from fedward.common.ledger.heads import (
    MAX_STATEMENTS,
    NONCE_BYTES,
    SIGNATURE_BYTES,
    Answer,
    HeadSet,
    HeadStatement,
    Question,
    check_party,
)
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb

MAX_QUESTIONS = 16
"""In one message; also of answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """A signature over a set."""

    site_id: str
    signature: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_party(self.site_id)
        if len(self.signature) != SIGNATURE_BYTES:
            raise LedgerError("a confirmation has the wrong length")


@dataclass(frozen=True, kw_only=True, slots=True)
class SitePart:
    """What a site says beside its reply."""

    head: HeadStatement | None = None
    nonce: bytes = b""
    """Of this start of the site; empty once it is answered."""
    confirmed_number: int = 0
    confirmation: bytes = field(default=b"", repr=False)
    """Over the set of that number; empty: none is new."""
    answers: tuple[Answer, ...] = ()

    def to_bytes(self) -> bytes:
        """As it travels; empty if there is nothing to say."""
        part = pb.Witness(nonce=self.nonce, confirmed_number=self.confirmed_number, confirmation=self.confirmation)
        if self.head is not None:
            part.head.CopyFrom(_statement_to_wire(self.head))
        part.answers.extend(map(_answer_to_wire, self.answers))
        return part.SerializeToString(deterministic=True)

    @classmethod
    def from_bytes(cls, raw: bytes) -> SitePart:
        """The inverse of ``to_bytes``.

        Raises:
            ProtocolError: ``BAD_ENCODING``.
        """
        part = _parsed(raw)
        if part.HasField("heads") or part.confirmations or part.confirmations_number or part.questions:
            raise _bad("a field of the coordinator's from a site")
        if len(part.nonce) not in (0, NONCE_BYTES) or len(part.confirmation) not in (0, SIGNATURE_BYTES):
            raise _bad("a nonce or a signature of another length")
        if bool(part.confirmation) != bool(part.confirmed_number):
            raise _bad("a signature without the number of its set")
        try:
            return cls(
                head=_statement(part.head) if part.HasField("head") else None,
                nonce=part.nonce,
                confirmed_number=part.confirmed_number,
                confirmation=part.confirmation,
                answers=_answers(part),
            )
        except (LedgerError, IdentityError) as error:
            raise _bad(error.message) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordinatorPart:
    """What the coordinator says beside its request."""

    heads: HeadSet | None = None
    confirmations: tuple[Confirmation, ...] = ()
    """Of the set of ``confirmations_number``, in bytewise order of their ids."""
    confirmations_number: int = 0
    questions: tuple[Question, ...] = ()
    answers: tuple[Answer, ...] = ()

    def to_bytes(self) -> bytes:
        """As it travels; empty if there is nothing to say."""
        part = pb.Witness(confirmations_number=self.confirmations_number)
        if self.heads is not None:
            part.heads.CopyFrom(_set_to_wire(self.heads))
        part.confirmations.extend(
            pb.HeadConfirmation(site_id=one.site_id, signature=one.signature) for one in self.confirmations
        )
        part.questions.extend(pb.HeadQuestion(subject=one.subject, nonce=one.nonce) for one in self.questions)
        part.answers.extend(map(_answer_to_wire, self.answers))
        return part.SerializeToString(deterministic=True)

    @classmethod
    def from_bytes(cls, raw: bytes) -> CoordinatorPart:
        """The inverse of ``to_bytes``.

        Raises:
            ProtocolError: ``BAD_ENCODING``.
        """
        part = _parsed(raw)
        if part.HasField("head") or part.nonce or part.confirmed_number or part.confirmation:
            raise _bad("a field of a site's from the coordinator")
        names = [one.site_id for one in part.confirmations]
        if names != sorted(set(names), key=str.encode) or bool(names) != bool(part.confirmations_number):
            raise _bad("confirmations out of order, or of no set")
        try:
            return cls(
                heads=_set(part.heads) if part.HasField("heads") else None,
                confirmations=tuple(
                    Confirmation(site_id=one.site_id, signature=one.signature) for one in part.confirmations
                ),
                confirmations_number=part.confirmations_number,
                questions=tuple(Question(subject=one.subject, nonce=one.nonce) for one in part.questions),
                answers=_answers(part),
            )
        except (LedgerError, IdentityError) as error:
            raise _bad(error.message) from error


def _parsed(raw: bytes) -> pb.Witness:
    if len(raw) > codec.MAX_WITNESS_BYTES:
        raise _bad("too long")
    part = codec.strict(pb.Witness, raw)
    if max(len(part.questions), len(part.answers)) > MAX_QUESTIONS:
        raise _bad("too many questions or answers")
    if max(len(part.confirmations), len(part.heads.statements)) > MAX_STATEMENTS:
        raise _bad("too many heads or signatures")
    return part


def _answers(part: pb.Witness) -> tuple[Answer, ...]:
    return tuple(
        Answer(
            subject=one.subject,
            witness=one.witness,
            nonce=one.nonce,
            statement=_statement(one.statement) if one.HasField("statement") else None,
            signature=one.signature,
        )
        for one in part.answers
    )


def _answer_to_wire(answer: Answer) -> pb.HeadAnswer:
    wire = pb.HeadAnswer(subject=answer.subject, witness=answer.witness, nonce=answer.nonce, signature=answer.signature)
    if answer.statement is not None:
        wire.statement.CopyFrom(_statement_to_wire(answer.statement))
    return wire


def _statement(wire: pb.HeadStatement) -> HeadStatement:
    return HeadStatement(
        site_id=wire.site_id,
        ledger_id=wire.ledger_id,
        run_id=wire.run_id,
        round_number=wire.round,
        attempt=wire.attempt,
        head=wire.head,
        signature=wire.signature,
    )


def _statement_to_wire(statement: HeadStatement) -> pb.HeadStatement:
    return pb.HeadStatement(
        site_id=statement.site_id,
        ledger_id=statement.ledger_id,
        run_id=statement.run_id,
        round=statement.round_number,
        attempt=statement.attempt,
        head=statement.head,
        signature=statement.signature,
    )


def _set(wire: pb.HeadSet) -> HeadSet:
    if len(wire.signature) != SIGNATURE_BYTES:
        raise LedgerError("the signature of a head set has the wrong length")
    statements: Iterable[HeadStatement] = map(_statement, wire.statements)
    return HeadSet(run_id=wire.run_id, number=wire.number, statements=tuple(statements), signature=wire.signature)


def _set_to_wire(heads: HeadSet) -> pb.HeadSet:
    statements = map(_statement_to_wire, heads.statements)
    return pb.HeadSet(run_id=heads.run_id, number=heads.number, statements=statements, signature=heads.signature)


def _bad(why: str) -> ProtocolError:
    return ProtocolError("BAD_ENCODING", f"witness part refused: {why}")


__all__ = ["Confirmation", "CoordinatorPart", "MAX_QUESTIONS", "SitePart"]
