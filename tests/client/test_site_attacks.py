"""Hostile requests, one a row: the code that each must get, with no record read and nothing charged."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError, TrainingError
from fedward.common.lora import adapters
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from tests.federation_simulator import (
    LAYOUT,
    NUM_OF_A,
    NUM_TRAINED,
    SITES,
    Federation,
    identity_of,
    make_plan,
    offer_of,
    offer_of_plan,
    refusal_of,
    reply_of,
    untouched,
)

# ---------------------------------------------------------------------------------------------------- hostile offers


@dataclass(frozen=True)
class Case:
    name: str
    code: str
    request: Callable[[Federation], bytes]
    rule: str = ""


def garbled(federation: Federation, raw: bytes) -> bytes:
    body = pb.PlanOffer(
        header=replace(federation.position(), plan_digest=hashlib.sha256(raw).digest()).header(COORDINATOR), plan=raw
    )
    return federation.seal(body)


def lonely_column() -> bytes:
    """A plan in which one site trains the last column; no honest coordinator can even make it."""
    document = json.loads(make_plan().to_bytes())
    for site in document["sites"][:2]:
        site["rank"] = 1
    return json.dumps(document).encode()


def too_many_rows() -> bytes:
    """A plan that asks for two orthonormal rows of one number."""
    document = json.loads(make_plan(lora={"aggregation": "fedsvd"}).to_bytes())
    document["layout"][0]["shape"] = [2, 1]
    return json.dumps(document).encode()


OFFERS = [
    Case("foreign signature", "BAD_SIGNATURE", lambda f: offer_of(f, identity=identity_of("mallory"))),
    Case("signed by another site", "BAD_SIGNATURE", lambda f: offer_of(f, identity=identity_of("beta"))),
    Case("other roster", "ROSTER_MISMATCH", lambda f: offer_of(f, roster_hash=bytes(32))),
    Case("other plan digest", "PLAN_MISMATCH", lambda f: offer_of(f, plan_digest=bytes(32))),
    Case("weaker profile", "PROFILE_FORBIDDEN", lambda f: offer_of(f, profile="weaker"), rule="profile"),
    Case("inside a round", "ROUND_ORDER", lambda f: offer_of(f, round_number=1)),
    Case("at a later attempt", "ROUND_ORDER", lambda f: offer_of(f, attempt=1)),
    Case(
        "plan without this site",
        "UNKNOWN_SITE",
        lambda f: offer_of_plan(f, sites=[{"id": site, "nominal_units": 10} for site in ("beta", "gamma")]),
    ),
    Case(
        "plan with a site outside the roster",
        "UNKNOWN_SITE",
        lambda f: offer_of_plan(f, sites=[{"id": site, "nominal_units": 10} for site in ("alpha", "mallory")]),
    ),
    Case("a rank that is not the layout's", "BAD_ENCODING", lambda f: offer_of_plan(f, lora={"rank": 1})),
    Case("a factor without its other one", "BAD_ENCODING", lambda f: offer_of_plan(f, layout=LAYOUT[1:])),
    Case("too many rounds", "POLICY_REFUSED", lambda f: offer_of_plan(f, rounds=1001), rule="rounds"),
    Case("cohort too small", "COHORT_TOO_SMALL", lambda f: offer_of_plan(f, secagg={"min_cohort": 1}), rule="cohort"),
    Case(
        "naive aggregation",
        "POLICY_REFUSED",
        lambda f: offer_of_plan(f, lora={"aggregation": "naive"}),
        rule="aggregation",
    ),
    Case("column that one site trains alone", "BAD_ENCODING", lambda f: garbled(f, lonely_column())),
    Case("more orthonormal rows than there are", "BAD_ENCODING", lambda f: garbled(f, too_many_rows())),
    Case(
        "noise too small for its epsilon",
        "POLICY_REFUSED",
        lambda f: offer_of_plan(f, privacy={"epsilon": 0.01}),
        rule="epsilon_run",
    ),
    Case(
        "plan beyond all measure",
        "POLICY_REFUSED",
        lambda f: offer_of_plan(
            f, rounds=10_000, training={"steps_per_round": 10_000}, privacy={"noise_multiplier": 0.01}
        ),
        rule="rounds",
    ),
    Case("no plan at all", "BAD_ENCODING", lambda f: garbled(f, b"{}")),
    Case("a reply in place of a request", "BAD_SIGNATURE", lambda f: f.joined("beta").handle(f.offer())),
    Case(
        "message that is not for sites",
        "BAD_ENCODING",
        lambda f: f.seal(pb.PlanAccept(header=f.position().header(COORDINATOR))),
    ),
    Case("nothing", "BAD_ENCODING", lambda f: b""),
]


@pytest.mark.parametrize("case", OFFERS, ids=lambda case: case.name)
def test_hostile_offer_is_refused(case: Case) -> None:
    federation = Federation()
    agent = federation.agent()
    refusal = refusal_of(agent.handle(case.request(federation)))
    assert (refusal.code, refusal.rule) == (case.code, case.rule)
    assert untouched(federation, agent)
    assert federation.trainers["alpha"].checked == 0
    assert refusal_of(agent.handle(federation.train())).code == "PLAN_MISMATCH"


def test_second_plan_under_the_same_run_is_refused() -> None:
    federation = Federation()
    agent = federation.joined()
    assert refusal_of(agent.handle(offer_of_plan(federation, rounds=2))).code == "REPLAY_CONFLICT"


def test_plan_of_another_base_is_refused_with_the_trainers_code() -> None:
    federation = Federation()
    agent = federation.agent()

    def check(plan: object) -> None:
        raise ProtocolError("PLAN_MISMATCH", "another base")

    federation.trainers["alpha"].check = check  # type: ignore[method-assign]
    assert refusal_of(agent.handle(federation.offer())).code == "PLAN_MISMATCH"
    assert refusal_of(agent.handle(federation.train())).code == "PLAN_MISMATCH"


# ---------------------------------------------------------------------------------------------------- hostile rounds


def train_at(federation: Federation, **position: Any) -> bytes:  # noqa: ANN401
    """The first round's request with another header."""
    body, raw = federation.train_body()
    body.header.CopyFrom(replace(federation.position(1), **position).header(COORDINATOR))
    return federation.seal(body, vector=raw)


def train_with(**values: Any) -> Callable[[Federation], bytes]:  # noqa: ANN401
    """The first round's request with other fields."""

    def change(body: pb.Train) -> None:
        for name, value in values.items():
            if isinstance(value, list):
                del getattr(body, name)[:]
                getattr(body, name).extend(value)
            else:
                setattr(body, name, value)

    return lambda federation: federation.train(change=change)


def train_with_vector(federation: Federation, raw: bytes, *, model: bytes | None = None) -> bytes:
    """The first round's request with another vector, signed; its digest as stated before, or ``model``."""
    body, _ = federation.train_body()
    body.vector_hash = codec.vector_hash(raw)
    if model is not None:
        body.model_digest = model
    return federation.seal(body, vector=raw)


def nan_vector(federation: Federation) -> bytes:
    """NaN in the vector, and a digest that agrees with it."""
    vector = np.zeros(NUM_TRAINED, np.float32)
    vector[2] = math.nan
    start = adapters.initial_adapter(federation.plan.layout, federation.plan.seed)
    whole = {**start, **adapters.unflatten(federation.plan.layout[1:], vector)}
    return train_with_vector(federation, vector.tobytes(), model=adapters.adapter_digest(federation.plan.layout, whole))


def half_of_the_adapter(federation: Federation) -> bytes:
    """B alone where the method changes A too, with the digest of the adapter that the site would put together."""
    plan = federation.plan
    start = adapters.initial_adapter(plan.layout, plan.seed, orthonormal=plan.lora.starts_orthonormal)
    model = adapters.adapter_digest(plan.layout, start)
    return train_with_vector(federation, bytes(4 * NUM_TRAINED), model=model)


def whole_adapter_of_ffa(federation: Federation) -> bytes:
    """A too, where the method freezes it."""
    layout = federation.plan.layout
    start = adapters.initial_adapter(layout, federation.plan.seed)
    raw = adapters.vector_to_bytes(adapters.flatten(layout, start))
    return train_with_vector(federation, raw, model=adapters.adapter_digest(layout, start))


def as_in_round(number: int) -> Callable[[Federation], bytes]:
    """The first round's request, but with the factor that another round trains."""

    def request(federation: Federation) -> bytes:
        other, _ = federation.train_body(number)
        values = {"layout_digest": other.layout_digest, "num_coordinates": other.num_coordinates}
        return train_with(**values)(federation)

    return request


def stranger_signs(federation: Federation) -> bytes:
    body, raw = federation.train_body()
    return federation.seal(body, vector=raw, identity=identity_of("mallory"))


TRAINS = [
    Case("foreign signature", "BAD_SIGNATURE", stranger_signs),
    Case("other roster", "ROSTER_MISMATCH", lambda f: train_at(f, roster_hash=bytes(32))),
    Case("other run", "PLAN_MISMATCH", lambda f: train_at(f, run_id=bytes(16))),
    Case("other plan", "PLAN_MISMATCH", lambda f: train_at(f, plan_digest=bytes(32))),
    Case("other profile", "PROFILE_FORBIDDEN", lambda f: train_at(f, profile="weaker")),
    Case("round 0", "ROUND_ORDER", lambda f: train_at(f, round_number=0)),
    Case("round after the last", "ROUND_ORDER", lambda f: train_at(f, round_number=4)),
    Case("attempt over the limit", "ATTEMPT_LIMIT", lambda f: train_at(f, attempt=2)),
    Case("unsorted cohort", "COHORT_MALFORMED", train_with(cohort=["beta", "alpha", "gamma"])),
    Case("repeated site", "COHORT_MALFORMED", train_with(cohort=["alpha", "alpha", "beta"])),
    Case("cohort without this site", "COHORT_MALFORMED", train_with(cohort=["beta", "gamma"])),
    Case("empty cohort", "COHORT_MALFORMED", train_with(cohort=[])),
    Case("cohort of one", "COHORT_TOO_SMALL", train_with(cohort=["alpha"])),
    Case("stranger in the cohort", "UNKNOWN_SITE", train_with(cohort=["alpha", "beta", "mallory"])),
    Case("changed clamp", "PLAN_MISMATCH", train_with(clamp_log2=25)),
    Case("changed scale", "PLAN_MISMATCH", train_with(scale_log2=23)),
    Case("changed survivors", "PLAN_MISMATCH", train_with(min_survivors=1)),
    Case("changed layout", "PLAN_MISMATCH", train_with(layout_digest=bytes(32))),
    Case("changed coordinates", "PLAN_MISMATCH", train_with(num_coordinates=5)),
    Case("wrong model digest", "MODEL_MISMATCH", train_with(model_digest=bytes(32))),
    Case("other vector", "MODEL_MISMATCH", lambda f: train_with_vector(f, bytes(20) + b"\0\0\x80\x3f")),
    Case("short vector", "MODEL_MISMATCH", lambda f: train_with_vector(f, bytes(20))),
    Case("no vector", "MODEL_MISMATCH", lambda f: train_with_vector(f, b"")),
    Case("NaN in the vector", "MODEL_MISMATCH", nan_vector),
    Case("vector that was not signed", "BAD_ENCODING", train_with(vector_hash=bytes(32))),
]


@pytest.mark.parametrize("case", TRAINS, ids=lambda case: case.name)
def test_hostile_round_is_refused_before_data_is_read(case: Case) -> None:
    federation = Federation()
    agent = federation.joined()
    refusal = refusal_of(agent.handle(case.request(federation)))
    assert refusal.code == case.code
    assert untouched(federation, agent)
    assert reply_of(agent.handle(federation.train()), pb.TrainReply), "the honest request must still be answered"


METHODS = {
    "ffa": [Case("A as well", "MODEL_MISMATCH", whole_adapter_of_ffa)],
    "fedsvd": [
        Case("B alone", "MODEL_MISMATCH", half_of_the_adapter),
        Case("factor A", "PLAN_MISMATCH", train_with(num_coordinates=NUM_OF_A)),
    ],
    "alternate": [
        Case("B alone", "MODEL_MISMATCH", half_of_the_adapter),
        Case("factor of an even round", "PLAN_MISMATCH", as_in_round(2)),
        Case("both factors", "PLAN_MISMATCH", train_with(num_coordinates=NUM_OF_A + NUM_TRAINED)),
    ],
}


@pytest.mark.parametrize(("method", "case"), [(m, c) for m, cases in METHODS.items() for c in cases], ids=str)
def test_request_that_is_not_the_methods_is_refused_before_data_is_read(method: str, case: Case) -> None:
    federation = Federation(make_plan(lora={"aggregation": method}))
    agent = federation.joined()
    assert refusal_of(agent.handle(case.request(federation))).code == case.code
    assert untouched(federation, agent)
    assert reply_of(agent.handle(federation.train()), pb.TrainReply), "the honest request must still be answered"


def test_even_round_of_alternate_is_not_answered_with_factor_b() -> None:
    federation = Federation(make_plan(lora={"aggregation": "alternate"}))
    agent = federation.joined()
    odd, _ = federation.train_body(1)

    def back(body: pb.Train) -> None:
        body.layout_digest, body.num_coordinates = odd.layout_digest, odd.num_coordinates

    assert refusal_of(agent.handle(federation.train(2, change=back))).code == "PLAN_MISMATCH"
    assert untouched(federation, agent)


MIXED = make_plan(sites=[{"id": s, "nominal_units": 9, "rank": r} for s, r in zip(SITES, (1, 2, 2), strict=True)])
COHORTS = [
    Case("one site left for the last column", "COHORT_TOO_SMALL", train_with(cohort=["alpha", "beta"])),
    Case("fewer survivors than the columns need", "PLAN_MISMATCH", train_with(min_survivors=2)),
]


@pytest.mark.parametrize("case", COHORTS, ids=lambda case: case.name)
@pytest.mark.parametrize("site", ["alpha", "beta"])
def test_sum_in_which_a_column_may_have_one_site_is_refused(case: Case, site: str) -> None:
    federation = Federation(MIXED)
    agent = federation.joined(site)
    assert refusal_of(agent.handle(case.request(federation)), site).code == case.code
    assert untouched(federation, agent, site)
    assert reply_of(agent.handle(federation.train()), pb.TrainReply, site)


def test_round_before_any_plan_is_refused() -> None:
    federation = Federation()
    agent = federation.agent()
    assert refusal_of(agent.handle(federation.train())).code == "PLAN_MISMATCH"
    assert untouched(federation, agent)


@pytest.mark.parametrize(("round_number", "attempt"), [(1, 0), (1, 1), (2, 0)])
def test_going_back_is_refused(round_number: int, attempt: int) -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train(2, 1))
    assert refusal_of(agent.handle(federation.train(round_number, attempt))).code == "ROUND_ORDER"
    assert len(agent.history) == 1


def test_identical_request_gets_the_identical_reply_without_training_or_charge() -> None:
    federation = Federation()
    agent = federation.joined()
    first, second = agent.handle(federation.train()), agent.handle(federation.train())
    assert first == second
    assert len(federation.trainers["alpha"].calls) == len(agent.history) == 1


def test_other_request_for_the_same_position_is_refused() -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train())
    other = federation.train(change=lambda body: body.cohort.remove("gamma"))
    assert refusal_of(agent.handle(other)).code == "REPLAY_CONFLICT"
    assert len(agent.history) == 1


def test_position_is_used_up_by_a_training_that_failed() -> None:
    federation = Federation()
    agent = federation.joined()
    federation.trainers["alpha"].error = TrainingError("no memory")
    assert refusal_of(agent.handle(federation.train())).code == "ABSTAIN"
    federation.trainers["alpha"].error = None
    assert refusal_of(agent.handle(federation.train())).code == "REPLAY_CONFLICT"
    assert reply_of(agent.handle(federation.train(1, 1)), pb.TrainReply)


def test_retry_gives_another_vector_and_is_charged_again() -> None:
    federation = Federation()
    agent = federation.joined()
    first = reply_of(agent.handle(federation.train(1, 0)), pb.TrainReply)
    second = reply_of(agent.handle(federation.train(1, 1)), pb.TrainReply)
    assert first.vector != second.vector
    assert len(agent.history) == 2


def test_later_run_does_not_open_an_earlier_one_again() -> None:
    federation = Federation()
    agent = federation.joined()
    agent.handle(federation.train())
    agent.handle(offer_of(federation, run_id=b"\x99" * 16))
    refusal = refusal_of(agent.handle(federation.offer()))
    assert refusal.code == "REPLAY_CONFLICT"
    assert refusal_of(agent.handle(federation.train()))
    assert len(federation.trainers["alpha"].calls) == 1
