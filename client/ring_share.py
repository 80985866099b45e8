"""A site's part of a round in mode ``distributed``: its clipped sum, with its share of the noise, in the ring.

What the site books is what it adds: permit and noise come from one ``RingMechanism``, which the site computes from the
plan and from the cohort that all were told, and from no number that the server states unchecked.

Not handled here: gradients, masks, what is written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedward.common.config import RunPlan, SitePolicy
from fedward.common.distributed_terms import agreed_colluders, cohort_mechanism
from fedward.common.errors import ConfigError, PrivacyError, ProtocolError
from fedward.common.ledger.budget import Permit
from fedward.common.lora.adapters import FACTOR_B, Layout, unflatten
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.distributed import RingMechanism, noisy_ring_vector
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.auxiliary import appended
from fedward.common.secagg.ring import RingVector


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RingShare:
    """Quantised and noised already: what is masked and sent. Not private before it is in a sum."""

    vector: RingVector = field(repr=False)


def site_mechanism(plan: RunPlan, policy: SitePolicy, round_number: int, body: pb.Train) -> RingMechanism:
    """The mechanism of an acceptable ``Train``.

    The shares of a cohort are worth what the least of them is, so all must reckon with the same colluders: those that
    the cohort was told, under masks in its digest. A site that fears more takes no part.

    Args:
        plan: with the clip norm of the round as a number.

    Raises:
        ProtocolError: ``HONEST_FLOOR``: fewer colluders than this site or the plan reckons with, or too few are honest.
    """
    num_sites = len(body.cohort)
    agreed = agreed_colluders(plan, num_sites)
    told = body.assumed_colluders if plan.secagg.is_masked else agreed
    if not max(agreed, policy.assumed_colluders or 0) <= told < num_sites:
        raise ProtocolError("HONEST_FLOOR", "the noise is shared out among more sites than this one believes honest")
    return cohort_mechanism(plan, round_number, num_sites, clip_norm=plan.privacy.resolved_clip_norm, colluders=told)


def noised(
    clipped_sum: NDArray[np.float64],
    mechanism: RingMechanism,
    *,
    permit: Permit,
    sample_rate: float,
    entropy: Entropy,
    tail: Sequence[int] = (),
) -> RingShare:
    """Quantise and add this site's share of the noise.

    Args:
        clipped_sum: (D,) float64, in the layout's order.
        permit: for exactly this mechanism; its sum was taken with it.
        sample_rate: of the plan.
        entropy: gives the keys of dither and noise, each for this vector alone.
        tail: auxiliary coordinates that stand behind, in ring steps, with noise of their own.

    Raises:
        PrivacyError: the permit books something else than what is added.
    """
    if permit.event != mechanism.event(sample_rate) or permit.clip_norm != mechanism.clip_norm:
        raise PrivacyError("the permit was reserved for another mechanism than the noise's")
    if clipped_sum.dtype != np.float64:
        raise ConfigError("a clipped sum must be float64: below, one patient moves it by more than is counted")
    return RingShare(vector=appended(noisy_ring_vector(clipped_sum, mechanism, entropy=entropy), tail))


def joined(layout: Layout, parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Tensors by name one behind the other in the layout's order: (L,) float64."""
    return np.concatenate([np.asarray(parts[spec.name], np.float64).reshape(-1) for spec in layout])


def prefix_alone(layout: Layout, vector: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """A sum with zeros beyond the first ``rank`` columns of B and rows of A: (L,) float64, a copy."""
    parts = unflatten(layout, vector)
    for name, part in parts.items():
        (part[:, rank:] if FACTOR_B in name else part[rank:])[...] = 0
    return joined(layout, parts)


__all__ = ["joined", "noised", "prefix_alone", "RingShare", "site_mechanism"]
