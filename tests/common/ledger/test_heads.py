"""Statements, sets, answers: their published bytes, and that no part of one can be changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.config import COORDINATOR
from fedward.common.errors import IdentityError, LedgerError
from fedward.common.ledger.anchor import Anchor
from fedward.common.ledger.chain import Draft, Entry, Head, before_genesis, link
from fedward.common.ledger.head_entries import (
    Confirmed,
    SetReader,
    confirmed_drafts,
    read_confirmed,
    read_recovered,
    recorded_drafts,
    recovered_drafts,
    statement_fields,
)
from fedward.common.ledger.heads import (
    Equivocation,
    HeadSet,
    HeadStatement,
    Question,
    headset_digest,
    signed_answer,
    signed_set,
    stated_head,
)
from fedward.common.messages.witness import SitePart
from tests.heads import IDENTITIES, KEYS, RUN, set_of, stated
from tests.ledgers import IDENTITY, LEDGER_ID

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/ledger_v1.json").read_text("utf-8"))
HEADS = VECTORS["heads"]
HEAD = bytes.fromhex(VECTORS["entries"][3]["hash"])


def published() -> HeadStatement:
    run_id = bytes.fromhex(HEADS["run_id"])
    return stated_head(IDENTITY, "alpha", ledger_id=LEDGER_ID, run_id=run_id, round_number=1, attempt=0, head=HEAD)


def test_the_published_statement_and_set() -> None:
    assert published().signature.hex() == HEADS["statement_signature"]
    pairs = [("alpha", HEAD), ("beta", bytes.fromhex(HEADS["beta_head"]))]
    assert headset_digest(bytes.fromhex(HEADS["run_id"]), HEADS["number"], pairs).hex() == HEADS["headset"]


def test_the_pinned_answers_anchor_and_part() -> None:
    question = Question(subject="alpha", nonce=bytes.fromhex(HEADS["nonce"]))
    assert signed_answer(IDENTITY, "beta", question, published()).signature.hex() == HEADS["answer_signature"]
    assert signed_answer(IDENTITY, "beta", question, None).signature.hex() == HEADS["none_signature"]
    anchor = Anchor.of(Head(ledger_id=LEDGER_ID, seq=3, hash=HEAD), IDENTITY)
    assert anchor.to_bytes().decode() == HEADS["anchor"]
    assert SitePart(head=published(), nonce=question.nonce).to_bytes().hex() == HEADS["part"]


CHANGES: list[dict[str, Any]] = [
    {"ledger_id": bytes(16)},
    {"run_id": bytes(16)},
    {"round_number": 2},
    {"attempt": 1},
    {"head": bytes(32)},
    {"signature": bytes(64)},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_statement_with_one_part_changed_is_nobodys(change: dict[str, Any]) -> None:
    assert stated("alpha").is_signed_by(KEYS["alpha"])
    assert not replace(stated("alpha"), **change).is_signed_by(KEYS["alpha"])
    assert not stated("alpha").is_signed_by(KEYS["beta"])


@pytest.mark.parametrize(
    "change",
    [{"ledger_id": bytes(15)}, {"head": bytes(33)}, {"signature": b""}, {"attempt": 2**32}, {"run_id": b""}],
    ids=str,
)
def test_a_statement_of_another_shape_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        replace(stated("alpha"), **change)


def test_a_statement_of_no_party_cannot_be() -> None:
    with pytest.raises(IdentityError):
        replace(stated("alpha"), site_id="two words")


def test_a_set_has_the_coordinator_last_and_each_once() -> None:
    heads = set_of(1, stated("beta"), stated("alpha"))
    assert [one.site_id for one in heads.statements] == ["alpha", "beta", COORDINATOR]
    with pytest.raises(LedgerError, match="in order"):
        replace(heads, statements=heads.statements[::-1])
    with pytest.raises(LedgerError, match="in order"):
        replace(heads, statements=(heads.statements[0], *heads.statements))


def test_a_set_holds_one_run() -> None:
    with pytest.raises(LedgerError, match="another run"):
        set_of(1, stated("alpha", run=bytes(16)))


def test_who_is_not_in_the_roster_or_signed_nothing_is_named() -> None:
    heads = set_of(1, stated("alpha"), stated("beta"))
    assert heads.unsigned_party(KEYS) is None
    assert heads.unsigned_party({**KEYS, "beta": KEYS["gamma"]}) == "beta"
    assert heads.unsigned_party({name: key for name, key in KEYS.items() if name != "alpha"}) == "alpha"


def test_two_sets_of_one_number_are_proof_and_nothing_else_is() -> None:
    first, second = set_of(3, stated("alpha", 1)), set_of(3, stated("alpha", 2))
    key = KEYS[COORDINATOR]
    assert Equivocation(first=first, second=second).holds(key)
    assert not Equivocation(first=first, second=first).holds(key)
    assert not Equivocation(first=first, second=set_of(4, stated("alpha", 2))).holds(key)
    assert not Equivocation(first=first, second=second).holds(KEYS["alpha"])
    forged = signed_set(IDENTITIES["beta"], RUN, 3, second.statements)
    assert not Equivocation(first=first, second=forged).holds(key)


def linked(drafts: Any) -> list[Entry]:  # noqa: ANN401
    head, entries = before_genesis(LEDGER_ID), []
    for number, draft in enumerate(drafts):
        entries.append(link(head, draft, identity=IDENTITY, at_ms=0, nonce=bytes([number]) * 16))
        head = Head(ledger_id=LEDGER_ID, seq=entries[-1].seq, hash=entries[-1].hash)
    return entries


def large_set() -> HeadSet:
    names = [f"site-{number:04}" for number in range(300)]
    statements = [replace(stated("alpha"), site_id=name) for name in names]
    return signed_set(IDENTITIES[COORDINATOR], RUN, 7, [*statements, stated(COORDINATOR)])


@pytest.mark.parametrize("heads", [set_of(1, stated("alpha")), large_set()], ids=["small", "large"])
def test_a_set_is_read_as_it_was_written(heads: HeadSet) -> None:
    reader = SetReader()
    found = [reader.take(entry) for entry in linked(recorded_drafts(heads))]
    assert found == [*[None] * (len(found) - 1), heads]


def test_a_set_with_a_part_missing_is_refused() -> None:
    first, _, last = linked(recorded_drafts(large_set()))
    reader = SetReader()
    reader.take(first)
    with pytest.raises(LedgerError, match="stands alone"):
        reader.take(last)


SET_FIELDS = dict(recorded_drafts(set_of(1, stated("alpha")))[0].fields)
MALFORMED: list[dict[str, Any]] = [
    {"part": -1},
    {"parts": "1"},
    {"part": 1},
    {"parts": 0},
    {"run": "2"},
    {"headset": "00" * 32},
    {"signature": "XX"},
    {"signature": 5},
    {"set": 0},
    {"statements": "none"},
    {"statements": ["none"]},
    {"statements": [{"site": "alpha"}]},
    {"statements": [{**statement_fields(stated("alpha")), "site": "two words"}]},
    {"statements": [{**statement_fields(stated("alpha")), "round": True}]},
    {"statements": [statement_fields(stated("alpha"))] * 129},
]


@pytest.mark.parametrize("change", MALFORMED, ids=lambda change: str(change)[:40])
def test_an_entry_that_is_no_set_is_refused(change: dict[str, Any]) -> None:
    (entry,) = linked([Draft(kind="heads.recorded", fields={**SET_FIELDS, **change})])
    with pytest.raises(LedgerError):
        SetReader().take(entry)


@pytest.mark.parametrize("signatures", [["alpha"], [["alpha"]], [["alpha", 5]], [["alpha", "0"]], "none"], ids=str)
def test_an_entry_that_is_no_confirmation_is_refused(signatures: Any) -> None:  # noqa: ANN401
    fields = {"run": RUN.hex(), "set": 1, "headset": "00" * 32, "signatures": signatures}
    (entry,) = linked([Draft(kind="heads.confirmed", fields=fields)])
    with pytest.raises(LedgerError):
        read_confirmed(entry)


def test_confirmations_and_lost_heads_are_read_as_they_were_written() -> None:
    confirmed = Confirmed(run_id=RUN, number=2, headset=bytes(32), signatures=(("alpha", bytes(64)),))
    assert [read_confirmed(entry) for entry in linked(confirmed_drafts(confirmed))] == [confirmed]
    (entry,) = linked(recovered_drafts([stated("alpha", 1), stated("alpha", 2)], "an old file"))
    assert read_recovered(entry) == (stated("alpha", 1), stated("alpha", 2))


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=6)
pairs = st.lists(st.tuples(names, st.binary(min_size=1, max_size=4)), max_size=4)


@given(st.tuples(st.integers(0, 3), pairs), st.tuples(st.integers(0, 3), pairs))
def test_two_sets_of_heads_have_two_digests(one: Any, other: Any) -> None:  # noqa: ANN401
    digests = [headset_digest(RUN, number, heads) for number, heads in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)
