"""Hostile ``Train`` messages about what rides beside the updates: weights and metrics that the plan does not have.

A metric of another clamp or without noise would tell of a single patient what nobody was charged for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import auxiliary, ring
from fedward.common.secagg.auxiliary import Coordinate
from fedward.common.secagg.terms import RingTerms, Terms
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import LAYOUT, Cohort
from fedward.simulations.attacks.cohort_rows import told
from fedward.simulations.attacks.holes import without
from fedward.simulations.attacks.scene import COUNT, SIZE, Scene
from fedward.simulations.attacks.table import Attack

WEIGHT = Coordinate(name="weight", steps=1, unit=1.0, low=1, high=1000)
METRIC = Coordinate(name="unit_loss", steps=1 << 10, unit=8.0, low=-(1 << 20), high=1 << 20, sigma_steps=1 << 12)
AGREED = (WEIGHT, METRIC)
"""In the plan of these plays."""


@dataclass
class RidingCohort(Cohort):
    """A cohort whose vectors end in a private weight and a metric."""

    @cached_property
    def terms(self) -> Terms:
        """As of ``Cohort``, with another layout."""

        def ring_of(_: int, num_sites: int) -> RingTerms:
            clamp = ring.default_clamp_log2(num_sites)
            return RingTerms(
                layout_digest=auxiliary.layout_digest(LAYOUT, AGREED),
                num_coordinates=self.size,
                scale_log2=clamp,
                clamp_log2=clamp,
            )

        return replace(super().terms, ring=ring_of)


def riding(profile: Profile) -> Scene:
    """Five sites under a plan with a private weight and a metric."""
    return Scene(profile, RidingCohort(profile, COUNT, size=SIZE))


def with_coordinates(*coordinates: Coordinate) -> Callable[[Scene, pb.Train], None]:
    """The request for a layout with these behind the model."""

    def change(_: Scene, body: pb.Train) -> None:
        body.layout_digest = auxiliary.layout_digest(LAYOUT, coordinates)
        body.num_coordinates = SIZE - len(AGREED) + len(coordinates)

    return change


PART = "the plan changed, a weaker profile"
CHANGES: dict[str, tuple[Coordinate, ...]] = {
    "a metric with a wider clamp than the plan's": (WEIGHT, replace(METRIC, unit=800.0)),
    "a metric without its noise": (WEIGHT, replace(METRIC, sigma_steps=0)),
    "a metric that the plan does not have": (*AGREED, replace(METRIC, name="loss_of_one")),
    "a metric left out": (WEIGHT,),
    "weights in finer steps": (replace(WEIGHT, steps=1000, high=1_000_000), METRIC),
    "another rule for weights": (METRIC,),
    "weight and metric in another order": (METRIC, WEIGHT),
}
ATTACKS = tuple(
    Attack(
        name=name,
        part=PART,
        play=told(with_coordinates(*coordinates)),
        expected="PLAN_MISMATCH",
        holes=[without(Terms, "check_ring", "PLAN_MISMATCH")],
        scene=riding,
    )
    for name, coordinates in CHANGES.items()
)

__all__ = ["ATTACKS"]
