"""A consortium in memory under masks: the federation of ``federation_simulator`` with four sites and more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedward.client.site import SiteAgent
from fedward.common.config import PrivacyMode, SitePolicy
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.privacy.noise import Entropy
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import Federation, Wrap, identity_of, make_plan, type_of

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")
MASKED = ("strict", "resilient", "resilient-malicious")
POLICY = SitePolicy(
    profiles=(*MASKED, "plain_ring"),
    privacy_modes=tuple(PrivacyMode),
    aggregations=("ffa", "fedsvd", "alternate", "naive"),
    min_cohort=2,
)
WITHOUT_DP = {"mode": "none", "noise_multiplier": None}


def masked_federation(
    profile: str,
    num_sites: int = 4,
    *,
    policy: SitePolicy = POLICY,
    **changes: Any,  # noqa: ANN401
) -> Federation:
    """Like ``Federation``, for one profile; ``secagg`` among the changes is laid over it."""
    names = NAMES[:num_sites] if num_sites <= len(NAMES) else tuple(f"site-{i:03}" for i in range(num_sites))
    secagg = {"profile": profile, "min_cohort": 3, "reply_timeout_s": 100.0, **changes.pop("secagg", {})}
    sites = changes.pop("sites", [{"id": site, "nominal_units": 100 * (i + 1)} for i, site in enumerate(names)])
    federation = Federation(make_plan(secagg=secagg, sites=sites, **changes), policy=policy, sites=names)
    for index, site in enumerate(names):
        federation.trainers[site].move = movement_of(federation, index)
    return federation


def movement_of(federation: Federation, index: int) -> Callable[[int, object], NDArray[np.float32]]:
    """A movement of the round's length that no two sites, and no two rounds, have in common."""
    from fedward.common.lora.adapters import num_coordinates
    from fedward.common.lora.aggregation import trained_layout

    def move(round_number: int, _: object) -> NDArray[np.float32]:
        layout = trained_layout(federation.plan.lora.aggregation, federation.plan.layout, round_number)
        return np.float32(0.01) * np.arange(num_coordinates(layout), dtype=np.float32) * (index + 1) - round_number / 16

    return move


def on(kind: int, answer: Callable[[bytes, Handler], bytes], *, at: Callable[[bytes], bool] = lambda _: True) -> Wrap:
    """A site that is honest but for its answer to one kind of message, at some positions."""

    def wrap(honest: Handler) -> Handler:
        return lambda request: answer(request, honest) if type_of(request) == kind and at(request) else honest(request)

    return wrap


def at_position(round_number: int, attempt: int | None = None) -> Callable[[bytes], bool]:
    """Whether a message is for that round, and that attempt."""

    def holds(request: bytes) -> bool:
        header = codec.TYPES[type_of(request)].FromString(pb.Envelope.FromString(request).body).header
        return header.round == round_number and attempt in (None, header.attempt)

    return holds


def lost(kind: int, round_number: int, attempt: int | None = None) -> Wrap:
    """A site whose process dies on one message."""

    def dies(request: bytes, honest: Handler) -> bytes:
        raise OSError("the process died")

    return on(kind, dies, at=at_position(round_number, attempt))


class _StopError(BaseException):
    """Ends a run where a test wants it; nothing in between catches it."""


def agent_of(federation: Federation, site: str = "alpha", **parts: Any) -> SiteAgent:  # noqa: ANN401
    """A site as a hospital runs it: without the profile for simulations, with the parts that a test brings."""
    return SiteAgent(
        desensitized=DesensitizePolicy(),
        site_id=site,
        identity=identity_of(site),
        roster=federation.roster,
        policy=federation.policy,
        trainer=federation.trainers[site],
        entropy_for=lambda number, attempt: Entropy.seeded(f"{site}/{number}/{attempt}".encode().ljust(16, b".")),
        **parts,
    )


def stopped_at(
    federation: Federation, kind: int, agent: SiteAgent, *, at: Callable[[bytes], bool] = lambda _: True
) -> bytes:
    """Run until ``agent`` would get a message of that kind, and return the message; the others are honest."""
    found: list[bytes] = []

    def stop(_: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            if type_of(request) == kind and at(request):
                found.append(request)
                raise _StopError
            return agent.handle(request)

        return handle

    with suppress(_StopError):
        federation.run({agent.site_id: stop})
    return found[0]


def counted(into: list[int]) -> Wrap:
    """Notes the types of all messages that a site gets."""

    def wrap(honest: Handler) -> Handler:
        def handle(request: bytes) -> bytes:
            into.append(type_of(request))
            return honest(request)

        return handle

    return wrap


__all__ = [
    "agent_of",
    "at_position",
    "counted",
    "lost",
    "MASKED",
    "masked_federation",
    "NAMES",
    "on",
    "POLICY",
    "stopped_at",
    "WITHOUT_DP",
]
