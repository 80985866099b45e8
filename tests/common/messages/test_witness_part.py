"""What lies beside a message: read as it was written, and nothing else is read."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import LedgerError, ProtocolError
from fedward.common.ledger.heads import Question, signed_answer
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.witness import MAX_QUESTIONS, Confirmation, CoordinatorPart, SitePart
from tests.heads import IDENTITIES, set_of, stated

NONCE = b"\x55" * 16
QUESTION = Question(subject="alpha", nonce=NONCE)
ANSWER = signed_answer(IDENTITIES["beta"], "beta", QUESTION, stated("alpha"))
NONE = signed_answer(IDENTITIES["gamma"], "gamma", QUESTION, None)
SITE = SitePart(
    head=stated("alpha"), nonce=NONCE, confirmed_number=3, confirmation=b"\x01" * 64, answers=(ANSWER, NONE)
)
COORDINATOR_PART = CoordinatorPart(
    heads=set_of(4, stated("alpha"), stated("beta")),
    confirmations=(
        Confirmation(site_id="alpha", signature=bytes(64)),
        Confirmation(site_id="beta", signature=bytes(64)),
    ),
    confirmations_number=3,
    questions=(QUESTION,),
    answers=(ANSWER, NONE),
)


@pytest.mark.parametrize("part", [SITE, SitePart(), SitePart(nonce=NONCE)])
def test_a_sites_part_is_read_as_it_was_written(part: SitePart) -> None:
    assert SitePart.from_bytes(part.to_bytes()) == part


@pytest.mark.parametrize("part", [COORDINATOR_PART, CoordinatorPart()])
def test_the_coordinators_part_is_read_as_it_was_written(part: CoordinatorPart) -> None:
    assert CoordinatorPart.from_bytes(part.to_bytes()) == part


def test_nothing_to_say_takes_no_bytes() -> None:
    assert SitePart().to_bytes() == CoordinatorPart().to_bytes() == b""


def wire(part: SitePart | CoordinatorPart, change: Callable[[pb.Witness], object]) -> bytes:
    found = pb.Witness.FromString(part.to_bytes())
    change(found)
    return found.SerializeToString(deterministic=True)


SITE_FAULTS: dict[str, Callable[[pb.Witness], object]] = {
    "a set": lambda w: w.heads.CopyFrom(pb.Witness.FromString(COORDINATOR_PART.to_bytes()).heads),
    "a question": lambda w: w.questions.add(subject="beta", nonce=NONCE),
    "a confirmation of others": lambda w: w.confirmations.add(site_id="beta", signature=bytes(64)),
    "a short nonce": lambda w: setattr(w, "nonce", bytes(15)),
    "a short signature": lambda w: setattr(w, "confirmation", bytes(63)),
    "a signature over no set": lambda w: setattr(w, "confirmed_number", 0),
    "a short head": lambda w: setattr(w.head, "head", bytes(31)),
    "a head of nobody": lambda w: setattr(w.head, "site_id", ""),
    "a head without a signature": lambda w: setattr(w.head, "signature", b""),
    "an answer about another": lambda w: setattr(w.answers[0], "subject", "gamma"),
    "too many answers": lambda w: w.answers.extend([w.answers[0]] * MAX_QUESTIONS),
}
COORDINATOR_FAULTS: dict[str, Callable[[pb.Witness], object]] = {
    "a head": lambda w: w.head.CopyFrom(pb.Witness.FromString(SITE.to_bytes()).head),
    "a nonce": lambda w: setattr(w, "nonce", NONCE),
    "set number 0": lambda w: setattr(w.heads, "number", 0),
    "a set without a signature": lambda w: setattr(w.heads, "signature", b""),
    "a set of nobody": lambda w: w.heads.ClearField("statements"),
    "a statement twice": lambda w: w.heads.statements.add().CopyFrom(w.heads.statements[-1]),
    "a statement of another run": lambda w: setattr(w.heads.statements[0], "run_id", bytes(16)),
    "confirmations out of order": lambda w: w.confirmations.add(site_id="alpha", signature=bytes(64)),
    "confirmations of no set": lambda w: setattr(w, "confirmations_number", 0),
    "a short confirmation": lambda w: setattr(w.confirmations[0], "signature", b"x"),
    "a question about nobody": lambda w: setattr(w.questions[0], "subject", ""),
    "too many questions": lambda w: w.questions.extend([w.questions[0]] * MAX_QUESTIONS),
}


@pytest.mark.parametrize("fault", SITE_FAULTS)
def test_a_sites_part_with_a_fault_is_refused(fault: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        SitePart.from_bytes(wire(SITE, SITE_FAULTS[fault]))
    assert caught.value.code == "BAD_ENCODING"


@pytest.mark.parametrize("fault", COORDINATOR_FAULTS)
def test_a_coordinators_part_with_a_fault_is_refused(fault: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        CoordinatorPart.from_bytes(wire(COORDINATOR_PART, COORDINATOR_FAULTS[fault]))
    assert caught.value.code == "BAD_ENCODING"


def outcome_of(kind: type[SitePart] | type[CoordinatorPart], raw: bytes) -> str | bytes:
    """The code of the refusal, or what the part that was read is written as."""
    try:
        return kind.from_bytes(raw).to_bytes()
    except ProtocolError as error:
        return error.code


@given(st.binary(max_size=200))
def test_any_bytes_are_a_part_in_its_one_form_or_refused(raw: bytes) -> None:
    for kind in (SitePart, CoordinatorPart):
        assert outcome_of(kind, raw) in ("BAD_ENCODING", raw)


@given(st.data())
def test_a_part_with_one_bit_turned_is_refused_or_another_part(data: st.DataObject) -> None:
    raw = bytearray(COORDINATOR_PART.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome_of(CoordinatorPart, bytes(raw)) in ("BAD_ENCODING", bytes(raw))


def test_a_part_over_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_WITNESS_BYTES", len(SITE.to_bytes()) - 1)
    monkeypatch.setattr(codec, "strict", lambda *_: pytest.fail("parsed"))
    with pytest.raises(ProtocolError, match="too long"):
        SitePart.from_bytes(SITE.to_bytes())


def test_an_answer_without_a_witness_cannot_be() -> None:
    with pytest.raises(LedgerError):
        replace(ANSWER, signature=b"")
