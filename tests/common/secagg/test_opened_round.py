"""The evidence of an opened round: what travels gives the cohort's own digest, and floors that no message can lower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedward.common.agreement import plan_position
from fedward.common.errors import ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.run_terms import run_terms
from fedward.common.secagg.opened_round import OpenedRound, check_evidence, least_survivors, ring_of
from fedward.common.secagg.statements import Survivor
from fedward.common.secagg.terms import Terms
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import CohortFacts
from fedward.simulations.attacks.cohort import RUN_ID
from fedward.simulations.attacks.wired import WiredScene


def terms_of(scene: WiredScene) -> Terms:
    position = plan_position(scene.plan.to_bytes(), run_id=RUN_ID, roster_hash=scene.roster.hash)
    return run_terms(scene.plan, position, scene.roster, clip_norm=1.0)


@pytest.mark.parametrize("profile", Profile)
def test_what_travels_gives_the_digest_that_the_survivors_signed(profile: Profile) -> None:
    scene = WiredScene(profile)
    body, _ = scene.train()
    opened = OpenedRound.from_wire(terms_of(scene), body.previous)
    check_evidence(terms_of(scene), opened)
    assert opened.to_wire(1.0) == body.previous
    assert opened.position == (2, 0)
    assert ring_of(terms_of(scene), opened).num_coordinates == opened.facts.num_coordinates


def test_hash_of_a_sum_has_a_known_answer() -> None:
    facts = CohortFacts(
        run_id=b"\x11" * 16,
        roster_hash=b"\x22" * 32,
        plan_digest=b"\x44" * 32,
        profile="resilient",
        round_number=7,
        attempt=0,
        model_digest=b"\x55" * 32,
        previous_sum_hash=b"\x66" * 32,
        layout_digest=b"\x77" * 32,
        num_coordinates=10,
        ring_bits=32,
        scale_log2=24,
        clamp_log2=24,
        min_survivors=2,
        bundles={"alpha": b"\x88" * 32, "beta": b"\x99" * 32},
    )
    survivors = tuple(Survivor(site_id=name, vector_hash=b"\xaa" * 32, proof=bytes(64)) for name in facts.bundles)
    opened = OpenedRound(facts=facts, survivors=survivors)
    found = opened.sum_hash(b"\xbb" * 32)
    assert found.hex() == "1998757d27676c1f01029b60e78e6781159681550578e97aa606ee6dbe681048"
    assert found != opened.sum_hash(b"\xbc" * 32)
    assert found != replace(opened, survivors=survivors[:1]).sum_hash(b"\xbb" * 32)
    assert found != replace(opened, facts=replace(facts, attempt=1)).sum_hash(b"\xbb" * 32)


REFUSED: dict[str, tuple[Callable[[pb.OpenedRound], object], str]] = {
    "round 0": (lambda w: setattr(w, "round", 0), "ROUND_ORDER"),
    "a stranger": (lambda w: w.cohort.append("z"), "UNKNOWN_SITE"),
    "nobody": (lambda w: w.ClearField("cohort"), "COHORT_MALFORMED"),
    "twice the same": (lambda w: w.cohort.append(w.cohort[-1]), "COHORT_MALFORMED"),
    "no bundles": (lambda w: w.ClearField("bundle_digests"), "BAD_ENCODING"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_round_that_cannot_have_been_is_refused(name: str) -> None:
    change, code = REFUSED[name]
    scene = WiredScene(Profile.RESILIENT)
    wire = scene.train()[0].previous
    change(wire)
    with pytest.raises(ProtocolError) as caught:
        OpenedRound.from_wire(terms_of(scene), wire)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("profile", "stated", "expected"),
    [
        (Profile.STRICT, 1, 5),
        (Profile.RESILIENT, 1, 4),
        (Profile.RESILIENT, 5, 5),
        (Profile.RESILIENT_MALICIOUS, 0, 4),
    ],
)
def test_a_message_can_raise_the_floor_and_never_lower_it(profile: Profile, stated: int, expected: int) -> None:
    scene = WiredScene(profile)
    facts = replace(scene.opened(scene.train()[0]).facts, min_survivors=stated)
    assert least_survivors(terms_of(scene), facts) == expected
