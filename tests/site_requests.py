"""Requests of a coordinator and the agents that answer them, for tests of what stands around an agent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fedward.client.daemon.voice import Voice
from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb

SITE = "alpha"
SITE_KEY = Identity.simulated(b"s" * 32, SITE)
COORDINATOR_KEY = Identity.simulated(b"s" * 32, COORDINATOR)
ROSTER = Roster(coordinator_key=COORDINATOR_KEY.public_key, members={SITE: SITE_KEY.public_key})
VOICE = Voice(site_id=SITE, identity=SITE_KEY, roster=ROSTER)
RUN = b"r" * 16


def position(
    round_number: int = 1, attempt: int = 0, *, run_id: bytes = RUN, profile: str = "resilient"
) -> codec.Position:
    return codec.Position(
        run_id=run_id,
        roster_hash=ROSTER.hash,
        plan_digest=b"p" * 32,
        profile=profile,
        round_number=round_number,
        attempt=attempt,
    )


def sealed(body: codec.Body, *, vector: bytes = b"", identity: Identity = COORDINATOR_KEY) -> bytes:
    return codec.seal(identity, body, vector=vector)


def train(at: codec.Position | None = None, *, clip_norm: float = 1.0, vector: bytes = b"") -> bytes:
    stated = codec.vector_hash(vector) if vector else b""
    body = pb.Train(header=(at or position()).header(COORDINATOR), clip_norm=clip_norm, vector_hash=stated)
    return sealed(body, vector=vector)


def unmask(at: codec.Position | None = None) -> bytes:
    return sealed(pb.Unmask(header=(at or position()).header(COORDINATOR), cohort_digest=b"c" * 32))


def offer(plan: bytes = b"{}", at: codec.Position | None = None) -> bytes:
    return sealed(pb.PlanOffer(header=(at or position(0)).header(COORDINATOR), plan=plan))


def run_end(at: codec.Position | None = None) -> bytes:
    return sealed(pb.RunEnd(header=(at or position(0)).header(COORDINATOR)))


def collect(request: bytes, at: codec.Position | None = None) -> bytes:
    body_hash, _ = codec.hashes_of(request)
    return sealed(pb.Collect(header=(at or position()).header(COORDINATOR), request_hash=body_hash))


def opened(raw: bytes) -> codec.Opened[Any]:
    """What the site said, verified."""
    return codec.open_message(raw, None, sender=SITE, public_key=SITE_KEY.public_key)


def said(raw: bytes) -> str:
    """The type of what the site said; of a refusal its code."""
    body = opened(raw).body
    return str(body.code) if isinstance(body, pb.Refusal) else type(body).__name__


def reply_to(request: bytes) -> bytes:
    """What an agent answers: the vector that came, or the code ``NOT_NOW`` where the round is 13."""
    got = codec.open_message(request, None, sender=COORDINATOR, public_key=COORDINATOR_KEY.public_key)
    header, vector = got.position.header(SITE), bytes(got.vector)
    if got.position.round_number == 13:
        return sealed(pb.Refusal(header=header, request_hash=got.body_hash, code="NOT_NOW"), identity=SITE_KEY)
    if isinstance(got.body, pb.Train):
        body = pb.TrainReply(
            header=header, cohort_digest=b"c" * 32, vector_hash=codec.vector_hash(vector) if vector else b""
        )
        return sealed(body, vector=vector, identity=SITE_KEY)
    if isinstance(got.body, pb.PlanOffer):
        if got.body.plan == b"refused":
            return sealed(pb.Refusal(header=header, request_hash=got.body_hash, code="POLICY"), identity=SITE_KEY)
        return sealed(pb.PlanAccept(header=header, request_hash=got.body_hash), identity=SITE_KEY)
    if isinstance(got.body, pb.RunEnd):
        return sealed(pb.RunEndReply(header=header, events=b"[]"), identity=SITE_KEY)
    return sealed(pb.UnmaskReply(header=header, survivors_hash=b"s" * 32), identity=SITE_KEY)


@dataclass
class PlayedAgent:
    """Answers at once, or when it is let."""

    answers: Callable[[bytes], bytes] = reply_to
    may_go: threading.Event = field(default_factory=threading.Event)
    handled: list[bytes] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    @classmethod
    def free(cls, answers: Callable[[bytes], bytes] = reply_to) -> PlayedAgent:
        agent = cls(answers=answers)
        agent.may_go.set()
        return agent

    def handle(self, request: bytes) -> bytes:
        self.handled.append(request)
        self.threads.add(threading.get_ident())
        assert self.may_go.wait(60)
        return self.answers(request)

    def expire(self) -> None:
        self.handled.append(b"expire")
