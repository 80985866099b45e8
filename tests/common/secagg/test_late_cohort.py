"""``strict`` with a late cohort: who fails while training costs nothing."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.journal import EntryKind
from fedward.common.secagg.participant import Step
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.state import Phase, State, restored
from fedward.common.secagg.terms import RoundPosition, Terms
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import CohortFacts
from tests.secagg_cohort import FIRST, MODEL, Cohort, play, unchecked


def late_train(cohort: Cohort, at: RoundPosition = FIRST) -> pb.Train:
    body = cohort.train(at)
    body.next.CopyFrom(cohort.target(at))
    return body


def receive(cohort: Cohort, name: str, body: codec.Body) -> Step:
    site = cohort.sites[name]
    return site.participant.receive(site.state, cohort.sealed(body), check=unchecked)


def train_all(cohort: Cohort, names: Iterable[str], at: RoundPosition = FIRST) -> PrekeyShelf:
    """All these sites train, and say that they are ready."""
    body = late_train(cohort, at)
    shelf = PrekeyShelf(terms=cohort.terms, target=body.next)
    for name in names:
        site = cohort.sites[name]
        assert site.take(receive(cohort, name, body)) is None
        reply = site.take(site.participant.ready(site.state))
        assert reply is not None
        ready = cohort.opened(name, reply).body
        assert isinstance(ready, pb.Ready)
        shelf.put(name, ready.dealing)
    return shelf


def late(count: int = 5) -> Cohort:
    return Cohort(Profile.STRICT, count, late_cohort=True)


def refusal_code(act: Callable[[], object]) -> str:
    with pytest.raises(ProtocolError) as caught:
        act()
    return caught.value.code


def vectors_of(cohort: Cohort, mask: pb.Mask) -> dict[str, bytes]:
    vectors = {}
    for name in mask.cohort:
        assert cohort.sites[name].take(receive(cohort, name, mask)) is None
        vectors[name] = cohort.send(name)
    return vectors


@pytest.mark.parametrize("num_ready", [3, 4, 5])
def test_sum_is_that_of_the_sites_that_were_ready(num_ready: int) -> None:
    cohort = late()
    shelf = train_all(cohort, cohort.names[:num_ready])
    coordinator = cohort.coordinator(shelf)
    outcome = play(cohort, coordinator, vectors_of(cohort, coordinator.mask_for()))
    assert outcome.total is not None
    assert np.array_equal(outcome.total.total, cohort.plain_sum(cohort.names[:num_ready], num_ready))


def test_site_lost_after_the_cohort_was_told_voids_the_attempt_and_a_retry_has_new_keys() -> None:
    cohort = late()
    shelf = train_all(cohort, cohort.names)
    coordinator = cohort.coordinator(shelf)
    vectors = vectors_of(cohort, coordinator.mask_for())
    del vectors[cohort.names[0]]
    assert play(cohort, coordinator, vectors).void == "ROUND_VOID"
    again = train_all(cohort, cohort.names, (1, 1))
    assert {again.bundle(name).mask_key for name in cohort.names}.isdisjoint(
        {shelf.bundle(name).mask_key for name in cohort.names}
    )
    retry = cohort.coordinator(again)
    assert play(cohort, retry, vectors_of(cohort, retry.mask_for())).total is not None


def test_position_is_written_down_before_training_and_the_vector_before_it_leaves() -> None:
    cohort = late()
    coordinator = cohort.coordinator(train_all(cohort, cohort.names))
    vectors_of(cohort, coordinator.mask_for())
    entries = cohort.sites[cohort.names[0]].journal.entries(cohort.terms.run_id)
    assert [entry.kind for entry in entries] == [EntryKind.ACCEPTED, EntryKind.PREKEY, EntryKind.SENT]
    assert entries[2].digest == coordinator.facts.digest()


def test_callers_check_sees_the_model_before_any_data_is_read() -> None:
    cohort = late()
    site = cohort.sites[cohort.names[0]]
    seen: list[CohortFacts] = []
    site.participant.receive(site.state, cohort.sealed(late_train(cohort)), check=seen.append)
    assert [facts.model_digest for facts in seen] == [MODEL]


def with_cohort(cohort: Cohort, body: pb.Train) -> None:
    body.cohort[:] = cohort.names


def for_another_position(cohort: Cohort, body: pb.Train) -> None:
    body.next.attempt = 1


def without_target(cohort: Cohort, body: pb.Train) -> None:
    body.ClearField("next")


def other_layout(cohort: Cohort, body: pb.Train) -> None:
    body.layout_digest = bytes(32)


def other_length(cohort: Cohort, body: pb.Train) -> None:
    body.num_coordinates += 1


def other_threshold(cohort: Cohort, body: pb.Train) -> None:
    body.next.threshold -= 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_cohort, "BAD_ENCODING"),
        (for_another_position, "BAD_ENCODING"),
        (without_target, "BAD_ENCODING"),
        (other_layout, "PLAN_MISMATCH"),
        (other_length, "PLAN_MISMATCH"),
        (other_threshold, "THRESHOLD_MISMATCH"),
    ],
)
def test_hostile_train_is_refused(change: Callable[[Cohort, pb.Train], None], code: str) -> None:
    cohort = late()
    body = late_train(cohort)
    change(cohort, body)
    assert refusal_code(lambda: receive(cohort, cohort.names[0], body)) == code


def mask_and_victim() -> tuple[Cohort, pb.Mask, str]:
    cohort = late()
    coordinator = cohort.coordinator(train_all(cohort, cohort.names))
    return cohort, coordinator.mask_for(), cohort.names[0]


def other_model(body: pb.Mask) -> None:
    body.model_digest = bytes(32)


def other_sum(body: pb.Mask) -> None:
    body.previous_sum_hash = b"\x01" * 32


def other_clamp(body: pb.Mask) -> None:
    body.clamp_log2 -= 1


def fewer_survivors(body: pb.Mask) -> None:
    body.min_survivors -= 1


def swapped_key(body: pb.Mask) -> None:
    body.bundles[0].mask_key, body.bundles[1].mask_key = body.bundles[1].mask_key, body.bundles[0].mask_key


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (other_model, {"MODEL_MISMATCH"}),
        (other_sum, {"MODEL_MISMATCH"}),
        (other_clamp, {"PLAN_MISMATCH"}),
        (fewer_survivors, {"HONEST_FLOOR"}),
        (swapped_key, {"BAD_SIGNATURE", "OWN_BUNDLE_ALTERED"}),
    ],
)
def test_hostile_cohort_is_refused(change: Callable[[pb.Mask], None], codes: set[str]) -> None:
    cohort, body, victim = mask_and_victim()
    change(body)
    assert refusal_code(lambda: receive(cohort, victim, body)) in codes


def test_second_cohort_for_one_position_is_refused() -> None:
    cohort, body, victim = mask_and_victim()
    cohort.sites[victim].take(receive(cohort, victim, body))
    other = pb.Mask()
    other.CopyFrom(body)
    other.assumed_colluders += 1
    assert refusal_code(lambda: receive(cohort, victim, other)) == "REPLAY_CONFLICT"


def test_same_requests_get_the_same_replies() -> None:
    cohort, body, victim = mask_and_victim()
    site = cohort.sites[victim]
    assert receive(cohort, victim, late_train(cohort)).reply == next(iter(site.state.answers.values()))
    site.take(receive(cohort, victim, body))
    vector = cohort.send(victim)
    again = receive(cohort, victim, body)
    assert (again.reply, again.entries) == (vector, ())


def test_cohort_before_the_site_is_ready_or_for_another_position_is_refused() -> None:
    cohort, body, victim = mask_and_victim()
    site = cohort.sites[victim]
    site.state = State()
    assert refusal_code(lambda: receive(cohort, victim, body)) == "PREKEY_UNKNOWN"
    site.state = State(last=(2, 0))
    assert refusal_code(lambda: receive(cohort, victim, body)) == "ROUND_ORDER"


def test_site_restarted_while_training_gives_nothing_for_that_position() -> None:
    cohort, body, victim = mask_and_victim()
    site = cohort.sites[victim]
    site.state = restored(site.journal.entries(cohort.terms.run_id))
    assert refusal_code(lambda: receive(cohort, victim, body)) == "PREKEY_UNKNOWN"
    assert refusal_code(lambda: receive(cohort, victim, late_train(cohort))) == "REPLAY_CONFLICT"
    assert receive(cohort, victim, late_train(cohort, (1, 1))).state.phase is Phase.TRAINING


def test_site_that_has_abandoned_the_training_is_never_ready() -> None:
    cohort = late()
    step = receive(cohort, cohort.names[0], late_train(cohort))
    participant = cohort.sites[cohort.names[0]].participant
    assert refusal_code(lambda: participant.ready(step.state.abandoned())) == "ATTEMPT_CLOSED"
    assert refusal_code(lambda: participant.ready(State())) == "ATTEMPT_CLOSED"


def test_without_late_cohort_there_is_no_mask_message() -> None:
    _, body, victim = mask_and_victim()
    other = Cohort(Profile.STRICT, 5)
    assert refusal_code(lambda: receive(other, victim, body)) == "BAD_ENCODING"


def test_late_cohort_is_for_strict_alone() -> None:
    terms = late().terms
    with pytest.raises(ConfigError, match="late_cohort"):
        Terms(
            run_id=terms.run_id,
            roster=terms.roster,
            plan_digest=terms.plan_digest,
            num_rounds=1,
            max_attempts=1,
            floors=Floors(profile=Profile.RESILIENT),
            ring=terms.ring,
            late_cohort=True,
        )


def test_cohort_at_a_position_that_was_not_trained_for_is_refused() -> None:
    cohort = late()
    names = cohort.names
    shelf = cohort.shelf((2, 0))  # laid in ahead, by the ordinary trip
    train_all(cohort, names)
    body = cohort.coordinator(shelf).mask_for()
    assert refusal_code(lambda: receive(cohort, names[0], body)) == "PREKEY_UNKNOWN"
