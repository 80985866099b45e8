"""The coordinator's witness machine: which heads go round, whose signatures, and who is asked about whom."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity
from fedward.common.ledger.coordinator_witness import MAX_ASKED, CoordinatorWitness
from fedward.common.ledger.heads import Answer, HeadStatement, Question, signed_answer, stated_head
from fedward.common.messages.witness import MAX_QUESTIONS, SitePart
from tests.heads import IDENTITIES, KEYS, NAMES, RUN, SECRET, stated

NONCE = b"\x55" * 16


def coordinator(names: tuple[str, ...] = NAMES) -> CoordinatorWitness:
    keys = {name: Identity.simulated(SECRET, name).public_key for name in names}
    return CoordinatorWitness(identity=IDENTITIES[COORDINATOR], keys=keys, run_id=RUN)


def heard(machine: CoordinatorWitness, *statements: HeadStatement) -> CoordinatorWitness:
    for statement in statements:
        machine.hear(statement.site_id, SitePart(head=statement), statement.position)
    return machine


def confirmation(machine: CoordinatorWitness, name: str) -> SitePart:
    """A site's signature over the present set."""
    heads = machine.part_for(name).heads
    assert heads is not None
    return SitePart(confirmed_number=heads.number, confirmation=IDENTITIES[name].sign("ledger", "heads", heads.digest))


def replace_ledger(statement: HeadStatement) -> HeadStatement:
    """The same of another ledger, signed."""
    return stated_head(
        IDENTITIES[statement.site_id],
        statement.site_id,
        ledger_id=bytes(16),
        run_id=statement.run_id,
        round_number=statement.round_number,
        attempt=statement.attempt,
        head=statement.head,
    )


def test_nothing_is_said_before_anything_was_stated() -> None:
    machine = coordinator()
    assert not machine.is_due
    assert machine.part_for("alpha").to_bytes() == b""
    assert machine.last_drafts() == ()


def test_a_set_holds_the_newest_of_each_and_is_made_when_something_is_new() -> None:
    machine = heard(coordinator(), stated("alpha", 1), stated("beta", 1), stated("alpha", 2, at=(2, 0)))
    assert machine.is_due
    assert machine.position == (2, 0)
    assert [draft.kind for draft in machine.make_set(stated(COORDINATOR, 1))] == ["heads.recorded"]
    heads = machine.part_for("gamma").heads
    assert heads is not None
    assert [one.head for one in heads.statements] == [
        one.head for one in (stated("alpha", 2), stated("beta", 1), stated(COORDINATOR, 1))
    ]
    assert heads.is_signed_by(KEYS[COORDINATOR])
    assert not heard(machine, stated("alpha", 2, at=(2, 0))).is_due
    assert heard(machine, stated("beta", 2)).is_due


@pytest.mark.parametrize(
    "false",
    [
        replace(stated("alpha"), signature=bytes(64)),
        stated("beta"),
        stated("alpha", run=bytes(16)),
        stated("alpha", at=(2, 0)),
    ],
    ids=["unsigned", "another's", "of another run", "of another place"],
)
def test_a_false_statement_goes_to_nobody(false: HeadStatement) -> None:
    machine = coordinator()
    machine.hear("alpha", SitePart(head=false), (1, 0))
    assert not machine.is_due


@pytest.mark.parametrize(
    "back",
    [stated("alpha", 1, at=(2, 0)), stated("alpha", 3, at=(0, 0)), replace_ledger(stated("alpha", 3, at=(2, 0)))],
    ids=["an old head", "an old place", "another ledger"],
)
def test_a_site_that_goes_back_makes_no_set_that_others_refuse(back: HeadStatement) -> None:
    machine = heard(coordinator(), stated("alpha", 1), stated("alpha", 2, at=(2, 0)))
    machine.make_set(stated(COORDINATOR, 1))
    assert not heard(machine, back).is_due


def test_a_head_that_stands_still_is_stated_anew_at_a_later_place() -> None:
    machine = heard(coordinator(), stated("alpha", 1))
    machine.make_set(stated(COORDINATOR, 1))
    assert heard(machine, stated("alpha", 1, at=(1, 1))).is_due


def test_signatures_go_round_with_the_next_set_and_only_those_that_hold() -> None:
    machine = heard(coordinator(), stated("alpha"))
    machine.make_set(stated(COORDINATOR, 1))
    for name in ("beta", "alpha"):
        machine.hear(name, confirmation(machine, name), (1, 0))
    machine.hear("gamma", replace(confirmation(machine, "gamma"), confirmation=bytes(64)), (1, 0))
    drafts = heard(machine, stated("alpha", 2)).make_set(stated(COORDINATOR, 2))
    assert [draft.kind for draft in drafts] == ["heads.confirmed", "heads.recorded"]
    part = machine.part_for("gamma")
    assert (part.confirmations_number, [one.site_id for one in part.confirmations]) == (1, ["alpha", "beta"])


def test_a_signature_over_an_earlier_set_comes_too_late() -> None:
    machine = heard(coordinator(), stated("alpha"))
    machine.make_set(stated(COORDINATOR, 1))
    late = confirmation(machine, "beta")
    heard(machine, stated("alpha", 2)).make_set(stated(COORDINATOR, 2))
    machine.hear("beta", late, (1, 0))
    assert machine.last_drafts() == ()


def test_the_last_signatures_are_kept_at_the_end() -> None:
    machine = heard(coordinator(), stated("alpha"))
    machine.make_set(stated(COORDINATOR, 1))
    machine.hear("beta", confirmation(machine, "beta"), (0, 0))
    assert [draft.kind for draft in machine.last_drafts()] == ["heads.confirmed"]


# ---------------------------------------------------------------------------------------------------- answers


def asking(machine: CoordinatorWitness, name: str = "alpha", nonce: bytes = NONCE) -> CoordinatorWitness:
    machine.hear(name, SitePart(nonce=nonce), (0, 0))
    return machine


def answer(witness: str, *, nonce: bytes = NONCE, subject: str = "alpha") -> Answer:
    return signed_answer(IDENTITIES[witness], witness, Question(subject=subject, nonce=nonce), None)


def test_a_question_goes_to_the_peers_and_their_answers_to_who_asked() -> None:
    machine = asking(coordinator())
    assert machine.is_asked
    assert machine.part_for("alpha").questions == ()
    assert machine.part_for("beta").questions == (Question(subject="alpha", nonce=NONCE),)
    machine.hear("beta", SitePart(answers=(answer("beta"),)), (0, 0))
    assert not machine.is_asked
    assert machine.part_for("alpha").answers == (answer("beta"),)
    assert machine.part_for("beta").questions == ()
    assert machine.part_for("gamma").answers == ()


@pytest.mark.parametrize(
    "false",
    [answer("gamma"), answer("beta", nonce=bytes(16)), answer("beta", subject="gamma")],
    ids=["another's", "of another start", "about who did not ask"],
)
def test_a_false_answer_is_not_passed_on(false: Answer) -> None:
    machine = asking(coordinator())
    machine.hear("beta", SitePart(answers=(false,)), (0, 0))
    assert machine.is_asked


def test_a_new_start_asks_anew_and_an_answered_one_no_more() -> None:
    machine = asking(coordinator())
    machine.hear("beta", SitePart(answers=(answer("beta"),)), (0, 0))
    asking(machine, nonce=b"\x66" * 16)
    assert machine.part_for("alpha").answers == ()
    machine.hear("alpha", SitePart(), (1, 0))
    assert not machine.is_asked
    assert machine.part_for("beta").questions == ()


MANY = tuple(f"site-{number:03}" for number in range(60))


def test_so_many_peers_are_asked_and_another_where_one_is_lost() -> None:
    machine = asking(coordinator(MANY), MANY[0])
    asked = [name for name in MANY[1:] if machine.part_for(name).questions]
    assert len(asked) == MAX_ASKED
    machine.lost(asked[0])
    assert machine.part_for(MANY[50]).questions


@given(st.permutations(MANY))
def test_in_any_order_of_trips_each_start_finds_peers_and_none_is_asked_too_much(order: list[str]) -> None:
    machine = coordinator(MANY)
    for name in MANY:
        asking(machine, name)
    asked: dict[str, int] = {}
    for peer in order:
        questions = machine.part_for(peer).questions
        assert len(questions) <= MAX_QUESTIONS
        for question in questions:
            assert question.subject != peer
            asked[question.subject] = asked.get(question.subject, 0) + 1
    assert asked.keys() == set(MANY)
    assert set(asked.values()) == {MAX_ASKED}
