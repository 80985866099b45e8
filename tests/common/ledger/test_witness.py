"""A site's witness machine: what it records, what it refuses, and when it trains."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import verify
from fedward.common.ledger.heads import Answer, HeadSet, HeadStatement, Question, signed_answer, signed_set
from fedward.common.ledger.witness import SiteWitness
from fedward.common.messages.witness import Confirmation, CoordinatorPart
from tests.heads import IDENTITIES, KEYS, RUN, head_of, set_of, stated

NONCE = b"\x55" * 16
CHAIN = {head_of("alpha", number) for number in range(1, 10)}
OTHER_CHAIN = head_of("alpha", 99)


def site(**changes: Any) -> SiteWitness:  # noqa: ANN401
    """Alpha after a start, in a run."""
    parts: dict[str, Any] = {"min_witnesses": 1, "nonce": NONCE, "is_new": False, **changes}
    found = SiteWitness(site_id="alpha", keys=KEYS, own_keys=frozenset({KEYS["alpha"]}), **parts)
    return found.in_run(RUN)


def hear(state: SiteWitness, **part: Any) -> SiteWitness:  # noqa: ANN401
    return state.hear(CoordinatorPart(**part), RUN, CHAIN.__contains__)[0]


def code_of(act: Callable[[], object]) -> str:
    """The code of a refusal, or nothing."""
    try:
        act()
    except ProtocolError as error:
        return error.code
    return ""


def answer(
    witness: str = "beta", statement: HeadStatement | None = None, *, nonce: bytes = NONCE, subject: str = "alpha"
) -> Answer:
    question = Question(subject=subject, nonce=nonce)
    return signed_answer(IDENTITIES[witness], witness, question, statement)


def spoken(
    number: int = 1, *, at: tuple[int, int] = (1, 0), is_vector: bool = True, state: SiteWitness | None = None
) -> SiteWitness:
    """Alpha, which has stated that head."""
    own = stated("alpha", number, at=at)
    return (state or site()).speak(IDENTITIES["alpha"], own, is_vector=is_vector)[0]


# ---------------------------------------------------------------------------------------------------- answers

ANSWERS: list[tuple[str, Answer, bool]] = [
    ("none", answer(), True),
    ("a head of this chain", answer(statement=stated("alpha", 3)), True),
    ("an old answer, replayed", answer(nonce=bytes(16)), False),
    ("about another", answer(subject="gamma"), False),
    ("its own", answer("alpha"), False),
    ("forged", replace(answer(), witness="gamma"), False),
    ("a head that this site never signed", answer(statement=replace(stated("alpha", 99), signature=bytes(64))), False),
]


@pytest.mark.parametrize(("found", "counts"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_counts_only_if_it_is_a_peers_word_under_this_nonce(found: Answer, counts: bool) -> None:
    state = hear(site(), answers=(found,))
    assert state.is_vouched is counts
    assert code_of(state.require_witnesses) == ("" if counts else "WITNESS_MISSING")


def test_two_answers_of_one_peer_are_one_witness() -> None:
    state = hear(site(min_witnesses=2), answers=(answer(), answer(statement=stated("alpha", 3))))
    assert code_of(state.require_witnesses) == "WITNESS_MISSING"
    assert not code_of(hear(state, answers=(answer("gamma"),)).require_witnesses)


def test_a_head_that_is_not_on_the_chain_is_a_rollback() -> None:
    lost = answer("gamma", stated("alpha", 99))
    assert code_of(lambda: hear(site(), answers=(answer(), lost))) == "LEDGER_ROLLED_BACK"


@pytest.mark.parametrize("signature", [stated("alpha", 99).signature, bytes(64)], ids=["signed", "by another key"])
def test_a_new_chain_takes_no_head_of_before(signature: bytes) -> None:
    lost = answer(statement=replace(stated("alpha", 99), signature=signature))
    assert code_of(lambda: hear(site(is_new=True), answers=(lost,))) == "LEDGER_ROLLED_BACK"
    assert hear(site(is_new=True), answers=(answer(),)).is_vouched


def test_what_was_rolled_back_takes_part_in_nothing() -> None:
    assert code_of(lambda: site().rolled_back().require_sound(RUN)) == "LEDGER_ROLLED_BACK"


def test_the_nonce_is_said_until_it_is_answered() -> None:
    _, part = site().speak(IDENTITIES["alpha"], None, is_vector=False)
    assert part.nonce == NONCE
    _, part = hear(site(), answers=(answer(),)).speak(IDENTITIES["alpha"], None, is_vector=False)
    assert part.nonce == b""


def test_a_question_is_answered_once_with_the_newest_recorded_head() -> None:
    state = hear(hear(site(), heads=set_of(1, stated("beta", 1))), heads=set_of(2, stated("beta", 2)))
    questions = tuple(Question(subject=name, nonce=bytes(16)) for name in ("beta", "gamma", "alpha", "stranger"))
    state, part = hear(state, questions=questions).speak(IDENTITIES["alpha"], None, is_vector=False)
    assert [(one.subject, one.statement) for one in part.answers] == [("beta", stated("beta", 2)), ("gamma", None)]
    assert all(one.is_signed_by(KEYS["alpha"]) for one in part.answers)
    assert not state.speak(IDENTITIES["alpha"], None, is_vector=False)[1].answers


# ---------------------------------------------------------------------------------------------------- sets


def test_a_set_is_recorded_and_then_signed() -> None:
    heads = set_of(1, stated("alpha", 1), stated("beta", 1))
    state, drafts = spoken().hear(CoordinatorPart(heads=heads), RUN, CHAIN.__contains__)
    assert [draft.kind for draft in drafts] == ["heads.recorded"]
    assert state.recorded["beta"] == stated("beta", 1)
    _, part = state.speak(IDENTITIES["alpha"], None, is_vector=False)
    assert part.confirmed_number == 1
    assert verify(KEYS["alpha"], part.confirmation, "ledger", "heads", heads.digest)


def test_a_set_that_comes_again_is_recorded_once() -> None:
    heads = set_of(1, stated("alpha", 1))
    state = hear(spoken(), heads=heads)
    assert state.hear(CoordinatorPart(heads=heads), RUN, CHAIN.__contains__)[1] == ()


def test_a_set_outside_the_sites_run_is_passed_over() -> None:
    part = CoordinatorPart(heads=set_of(1, stated("alpha", 99)))
    assert spoken().hear(part, b"", CHAIN.__contains__)[1] == ()


def test_an_overtaken_set_is_passed_over() -> None:
    state = hear(spoken(), heads=set_of(5, stated("alpha", 1)))
    part = CoordinatorPart(heads=set_of(4, stated("alpha", 1)))
    assert state.hear(part, RUN, CHAIN.__contains__)[1] == ()


def with_signature(heads: HeadSet, name: str) -> HeadSet:
    """Signed by another than the coordinator."""
    return signed_set(IDENTITIES[name], heads.run_id, heads.number, heads.statements)


def altered(statement: HeadStatement) -> HeadStatement:
    return replace(statement, head=bytes(32))


WITHOUT_OWN = signed_set(IDENTITIES[COORDINATOR], RUN, 2, [stated("alpha", 2), stated("beta", 2)])
SETS: list[tuple[str, HeadSet, str]] = [
    ("its statement dropped", set_of(2, stated("beta", 2)), "HEADS_CONFLICT"),
    ("its statement altered", set_of(2, altered(stated("alpha", 2))), "BAD_SIGNATURE"),
    ("another's altered", set_of(2, stated("alpha", 2), altered(stated("beta", 2))), "BAD_SIGNATURE"),
    ("an old one of its own", set_of(2, stated("alpha", 5, at=(0, 0))), "HEADS_CONFLICT"),
    ("an old one of another", set_of(2, stated("alpha", 2), stated("beta", 0, at=(0, 0))), "HEADS_CONFLICT"),
    ("signed by a site", with_signature(set_of(2, stated("alpha", 2)), "beta"), "BAD_SIGNATURE"),
    ("without the coordinator's head", WITHOUT_OWN, "HEADS_CONFLICT"),
    ("of another run", set_of(2, stated("alpha", 2, run=bytes(16)), run=bytes(16)), "BAD_SIGNATURE"),
]


@pytest.mark.parametrize(("heads", "code"), [row[1:] for row in SETS], ids=[row[0] for row in SETS])
def test_a_false_set_is_refused(heads: HeadSet, code: str) -> None:
    state = hear(spoken(1), heads=set_of(1, stated("alpha", 1), stated("beta", 1)))
    state = spoken(2, at=(2, 0), state=state)
    assert code_of(lambda: hear(state, heads=heads)) == code


def test_a_head_that_was_replaced_does_not_come_back() -> None:
    state = site()
    for number in (1, 2):
        state = hear(state, heads=set_of(number, stated("beta", number)))
    assert code_of(lambda: hear(state, heads=set_of(3, stated("beta", 1)))) == "HEADS_CONFLICT"


def test_a_set_in_which_only_the_coordinators_head_is_new_is_not_written_down() -> None:
    state = hear(spoken(), heads=set_of(1, stated("alpha", 1), stated("beta", 1)))
    for number in range(2, 5):
        again = CoordinatorPart(heads=set_of(number, stated("alpha", 1), stated("beta", 1)))
        state, drafts = state.hear(again, RUN, CHAIN.__contains__)
        assert drafts == ()
    news = CoordinatorPart(heads=set_of(5, stated("alpha", 1), stated("beta", 2)))
    assert len(state.hear(news, RUN, CHAIN.__contains__)[1]) == 1


def test_a_later_position_with_the_same_head_is_news_once() -> None:
    state = hear(spoken(), heads=set_of(1, stated("alpha", 1), stated("beta", 1)))
    later, sizes = spoken(1, at=(2, 0), state=state), []
    for number, at in enumerate(((2, 0), (1, 0), (2, 0)), 2):
        part = CoordinatorPart(heads=set_of(number, stated("alpha", 1, at=at), stated("beta", 1)))
        try:
            later, drafts = later.hear(part, RUN, CHAIN.__contains__)
        except ProtocolError:
            drafts = ()
        sizes.append(len(drafts))
    assert sizes == [1, 0, 0]
    assert not code_of(lambda: later.require_in_set((2, 0)))


def test_two_sets_of_one_number_are_both_recorded_and_the_run_is_void() -> None:
    state = hear(spoken(), heads=set_of(1, stated("alpha", 1), stated("beta", 1)))
    second = CoordinatorPart(heads=set_of(1, stated("alpha", 1), stated("beta", 2)))
    state, drafts = state.hear(second, RUN, CHAIN.__contains__)
    assert [draft.kind for draft in drafts] == ["heads.recorded"]
    assert code_of(lambda: state.require_sound(RUN)) == "HEADS_CONFLICT"
    assert not code_of(lambda: state.require_sound(bytes(16)))


def test_a_run_that_the_chain_shows_to_be_void_stays_void() -> None:
    assert code_of(lambda: site(void_runs=frozenset({RUN})).require_sound(RUN)) == "HEADS_CONFLICT"


def test_a_first_statement_that_was_lost_on_its_way_keeps_nobody_out() -> None:
    state = hear(spoken(1), heads=set_of(1, stated("beta", 1)))
    assert code_of(lambda: state.require_in_set((1, 0))) == "WITNESS_MISSING"
    assert not code_of(lambda: state.require_in_set(None))


def test_a_statement_of_before_the_start_must_be_on_the_chain() -> None:
    assert not code_of(lambda: hear(site(), heads=set_of(1, stated("alpha", 3))))
    assert code_of(lambda: hear(site(), heads=set_of(1, stated("alpha", 99)))) == "LEDGER_ROLLED_BACK"


def test_a_lost_reply_leaves_an_earlier_statement_in_the_set() -> None:
    state = spoken(2, at=(2, 0), state=spoken(1))
    state = hear(state, heads=set_of(1, stated("alpha", 1)))
    assert code_of(lambda: state.require_in_set((2, 0))) == "WITNESS_MISSING"
    assert not code_of(lambda: hear(state, heads=set_of(2, stated("alpha", 2, at=(2, 0)))).require_in_set((2, 0)))


def test_who_has_the_vector_has_the_head() -> None:
    state = spoken(1)
    assert code_of(lambda: state.require_in_set((1, 0))) == "WITNESS_MISSING"
    assert not code_of(lambda: state.require_in_set((1, 1)))
    assert not code_of(lambda: hear(state, heads=set_of(1, stated("alpha", 1))).require_in_set((1, 0)))


# ---------------------------------------------------------------------------------------------------- confirmations


def confirmation(name: str, heads: HeadSet) -> Confirmation:
    return Confirmation(site_id=name, signature=IDENTITIES[name].sign("ledger", "heads", heads.digest))


def test_the_others_signatures_are_recorded_once() -> None:
    heads = set_of(1, stated("alpha", 1))
    state = hear(spoken(), heads=heads)
    part = CoordinatorPart(
        confirmations=(confirmation("alpha", heads), confirmation("beta", heads)), confirmations_number=1
    )
    state, drafts = state.hear(part, RUN, CHAIN.__contains__)
    assert [draft.kind for draft in drafts] == ["heads.confirmed"]
    assert drafts[0].fields["signatures"] == [["beta", confirmation("beta", heads).signature.hex()]]
    assert state.hear(part, RUN, CHAIN.__contains__)[1] == ()


def test_a_signature_over_another_set_shows_two_stories() -> None:
    state = hear(spoken(), heads=set_of(1, stated("alpha", 1)))
    other = confirmation("beta", set_of(1, stated("alpha", 1), stated("beta", 1)))
    part = CoordinatorPart(confirmations=(other,), confirmations_number=1)
    assert code_of(lambda: state.hear(part, RUN, CHAIN.__contains__)) == "HEADS_CONFLICT"


def test_a_reply_that_is_given_again_brings_the_same_statement() -> None:
    own = stated("alpha", 1)
    state, first = site().speak(IDENTITIES["alpha"], own, is_vector=True)
    state, again = state.speak(IDENTITIES["alpha"], own, is_vector=True)
    assert first.head == again.head == own
    assert len(state.run.stated) == 1
