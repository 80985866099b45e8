"""What the pinned roster asks for binds coordinator and sites, whatever a plan says."""

from dataclasses import replace
from typing import Any

import pytest

from fedward.common.errors import RunError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import Federation, refusal_of
from tests.masked_federation import masked_federation


def federation_of(num_sites: int = 7, **roster: Any) -> Federation:  # noqa: ANN401
    federation = masked_federation("resilient", num_sites, rounds=1)
    federation.roster = replace(federation.roster, **roster)
    return federation


def test_coordinator_states_the_colluders_of_the_roster() -> None:
    stated: list[int] = []

    def listen(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if codec.peek_type(request) == pb.TRAIN:
                body = pb.Train.FromString(pb.Envelope.FromString(request).body)
                stated.append(body.assumed_colluders)
            return honest(request)

        return handle

    federation_of(assumed_colluders=2).run({"alpha": listen})
    federation_of().run({"alpha": listen})
    assert stated == [2, 1]


@pytest.mark.parametrize(
    ("roster", "rule"),
    [
        ({"assumed_colluders": 4}, "HONEST_FLOOR/honest_floor"),
        ({"min_cohort": 4}, "COHORT_TOO_SMALL/cohort"),
        ({"profiles": ("strict",)}, "PROFILE_FORBIDDEN/profile"),
    ],
)
def test_plan_below_the_roster_is_refused_by_every_site(roster: dict[str, Any], rule: str) -> None:
    with pytest.raises(RunError, match=f"0 sites accept.*{rule}"):
        federation_of(**roster).run()


def test_site_with_a_stricter_roster_refuses_the_offer_of_a_server_with_a_laxer_plan() -> None:
    federation = federation_of(profiles=("strict",))
    assert refusal_of(federation.agent().handle(federation.offer())).code == "PROFILE_FORBIDDEN"
