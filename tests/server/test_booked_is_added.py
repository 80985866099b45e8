"""Mode ``distributed`` beside all that may be switched on with it: what a site books is what it adds, in every cohort.

Each ``Train`` that a site answers is read for the numbers that its cohort was told: the honest sites that these leave,
by the protocol's own formula, must carry the booked noise with the shares that were really added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.client import ring_share
from fedward.common.agreement import probe_events
from fedward.common.auxiliary_terms import metric_events
from fedward.common.config import PrivacyUnit, RunPlan, Weighting
from fedward.common.distributed_terms import is_planned_event
from fedward.common.lora.adapters import num_coordinates
from fedward.common.lora.aggregation import trained_layout
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.accounting import PrivacyEvent, history_from_json
from fedward.common.privacy.distributed import RingMechanism, noisy_ring_vector
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.floors import honest_sites
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.thresholds import Profile
from fedward.server.rounds import RunResult
from fedward.simulations.memory_grid import Handler
from tests.distributed_federation import SHARED_NOISE, distributed_federation
from tests.federation_simulator import Federation, Wrap
from tests.masked_federation import POLICY, lost

LENIENT = POLICY.model_copy(
    update={
        "allowed_metrics": ("unit_loss",),
        "units": tuple(PrivacyUnit),
        "weights": get_args(Weighting),
    }
)
FULL_AND_PART = [{"id": name, "nominal_units": 100} for name in ("alpha", "beta", "gamma", "delta")] + [
    {"id": "epsilon", "nominal_units": 100, "rank": 1}
]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One run."""

    profile: str = "resilient"
    num_sites: int = 5
    changes: Mapping[str, Any] = field(default_factory=dict)
    roster: Mapping[str, Any] = field(default_factory=dict)
    lost: Mapping[str, Wrap] = field(default_factory=dict)
    offline: tuple[str, ...] = ()

    def federation(self) -> Federation:
        """Not yet run."""
        made = distributed_federation(self.profile, self.num_sites, policy=LENIENT, **dict(self.changes))
        made.roster = replace(made.roster, **self.roster)
        for trainer in made.trainers.values():
            trainer.gradient = partial(_gradient, made.plan)
        return made


def _gradient(plan: RunPlan, round_number: int, _: object) -> NDArray[np.float64]:
    layout = trained_layout(plan.lora.aggregation, plan.layout, round_number)
    return np.linspace(-0.3, 0.4, num_coordinates(layout))


METRIC = {"weights": "fixed_denominator", "metrics": [{"name": "unit_loss"}]}
TWO_LOST = {"beta": lost(pb.TRAIN, 1, 0), "gamma": lost(pb.TRAIN, 1, 0)}
SCENES: dict[str, Scene] = {
    "strict": Scene(profile="strict"),
    "confirmed": Scene(profile="resilient-malicious"),
    "a smaller cohort than the plan's": Scene(num_sites=7, offline=("beta", "eta")),
    "an absent holder": Scene(num_sites=7, lost={"beta": lost(pb.UNMASK, 1)}),
    "an absent holder, confirmed": Scene(profile="resilient-malicious", num_sites=7, lost={"beta": lost(pb.UNMASK, 1)}),
    "a retry": Scene(lost=TWO_LOST),
    "a retry under strict": Scene(profile="strict", lost={"beta": lost(pb.TRAIN, 2, 0)}),
    "a roster that fears more": Scene(num_sites=7, roster={"assumed_colluders": 2}),
    "a roster that fears more, and a loss": Scene(
        num_sites=7, roster={"assumed_colluders": 2}, lost={"beta": lost(pb.UNMASK, 1)}
    ),
    "more survivors asked for": Scene(num_sites=7, changes={"secagg": {"min_survivors": 7}}),
    "a person at three sites": Scene(changes={"privacy": {"max_sites_per_unit": 3, "epsilon": 4.9}}),
    "a metric": Scene(changes={"secagg": METRIC}),
    "a metric, a retry and a fearful roster": Scene(
        num_sites=7, changes={"secagg": METRIC}, roster={"assumed_colluders": 2}, lost=TWO_LOST
    ),
    "both factors at once": Scene(changes={"lora": {"aggregation": "naive"}}),
    "the factors in turns": Scene(changes={"lora": {"aggregation": "alternate"}}),
    "a singular value decomposition": Scene(changes={"lora": {"aggregation": "fedsvd"}}),
    "a site of a lower rank": Scene(changes={"sites": FULL_AND_PART}),
    "records as units": Scene(changes={"privacy": {"unit": "record"}}),
    "a probe": Scene(changes={"privacy": {**SHARED_NOISE, "clip_norm": "auto"}}),
}


@dataclass
class Added:
    """What one site's shares were made with, and what their cohorts were told."""

    mechanisms: list[RingMechanism] = field(default_factory=list)
    told: list[pb.Train] = field(default_factory=list)


def played(scene: Scene, patch: pytest.MonkeyPatch) -> tuple[Federation, RunResult, dict[str, Added]]:
    """The run, and what each site added in it."""
    federation, turn = scene.federation(), [""]
    added: dict[str, Added] = {}
    honest = noisy_ring_vector

    def noted(clipped: NDArray[Any], mechanism: RingMechanism, *, entropy: Entropy) -> RingVector:
        added[turn[0]].mechanisms.append(mechanism)
        return honest(clipped, mechanism, entropy=entropy)

    def watched(site: str, around: Wrap | None) -> Wrap:
        note = added.setdefault(site, Added())

        def wrap(agent: Handler) -> Handler:
            def handle(request: bytes) -> bytes:
                before, turn[0] = len(note.mechanisms), site
                reply = agent(request)
                if codec.peek_type(request) == pb.TRAIN and len(note.mechanisms) > before:
                    note.told.append(pb.Train.FromString(pb.Envelope.FromString(request).body))
                return reply

            return around(handle) if around else handle

        return wrap

    patch.setattr(ring_share, "noisy_ring_vector", noted)
    wraps = {site.id: watched(site.id, scene.lost.get(site.id)) for site in federation.plan.sites}
    return federation, federation.run(wraps, offline=scene.offline), added


@pytest.mark.parametrize("name", SCENES)
def test_what_a_site_books_is_what_the_honest_shares_carry(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SCENES[name]
    federation, result, added = played(scene, monkeypatch)
    plan, profile = federation.plan, Profile(scene.profile)
    assert len(result.rounds) == plan.rounds
    assert set(result.refusals) <= set(scene.offline)
    rate = plan.training.resolved_sample_rate
    for site, note in added.items():
        assert len(note.told) == len(note.mechanisms)
        for body, made in zip(note.told, note.mechanisms, strict=True):
            count = len(body.cohort)
            honest = honest_sites(
                profile,
                num_cohort=count,
                num_holders=count,  # at least so many: with more there are as many honest sites or more
                min_survivors=body.min_survivors,
                colluders=body.assumed_colluders,
            )
            event = made.event(rate)
            steps = plan.privacy.max_sites_per_unit
            # The whole noise over what one site's unit can move: sqrt(m) of the multiplier goes into each of m steps.
            booked = Fraction(event.noise_multiplier) ** 2 / steps
            reach = Fraction(2**made.scale_log2) + Fraction(made.num_coordinates) ** Fraction(1, 2)
            assert honest * made.sigma_steps**2 - 16 >= booked * (Fraction(steps) * Fraction(reach)) ** 2
            assert is_planned_event(plan, event)
        if site in result.events:
            history = Counter(history_from_json(result.events[site]))
            expected: Counter[PrivacyEvent] = Counter(made.event(rate) for made in note.mechanisms)
            expected += Counter(event for event in metric_events(plan) for _ in note.mechanisms)
            expected += Counter(probe_events(plan))
            assert history == expected
