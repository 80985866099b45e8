"""A site's vector in a profile without masks: for simulations, as a real site has no such profile."""

from __future__ import annotations

from fedward.client.duties import Part
from fedward.client.ring_share import RingShare
from fedward.common.errors import ConfigError
from fedward.common.secagg.aggregator import Aggregator
from fedward.common.secagg.auxiliary import appended
from fedward.common.secagg.ring import RingVector
from fedward.common.secagg.transcript import CohortFacts


def in_the_open(aggregator: Aggregator, site_id: str, facts: CohortFacts, part: Part) -> RingVector:
    """What is sent where nothing is masked: (L,) uint32.

    Raises:
        ConfigError: the trainer's vector is not as long as the facts say.
    """
    if isinstance(part, RingShare):
        vector = part.vector
    else:
        if part.update.shape != (facts.num_coordinates - len(part.tail),):
            raise ConfigError("the trainer's vector has another length than the plan's")
        participant = aggregator.participant(site_id)
        vector = participant.vector(facts, part.update, weight=part.weight, dither_key=part.dither_key)
        vector = appended(vector, part.tail)
    if vector.shape != (facts.num_coordinates,):
        raise ConfigError("the trainer's vector has another length than the plan's")
    return vector


__all__ = ["in_the_open"]
