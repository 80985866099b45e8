"""Hostile and late answers, one a row: each is left out with its code, and the sum of the others is right."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.envelope import open_envelope, seal_envelope
from fedward.server.grid import Post
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import (
    SITES,
    STEP,
    Federation,
    SlowGrid,
    Wrap,
    clipped,
    identity_of,
    make_plan,
    on_train,
    trained,
    type_of,
)

# ---------------------------------------------------------------------------------------------------- hostile replies


def other_reply(change: Callable[[pb.TrainReply, bytearray], None], *, signer: str = "gamma") -> Wrap:
    """Signs another reply than the honest one."""

    def answer(request: bytes, honest: Handler) -> bytes:
        envelope = pb.Envelope.FromString(honest(request))
        body, vector = pb.TrainReply.FromString(envelope.body), bytearray(envelope.vector)
        change(body, vector)
        body.vector_hash = codec.vector_hash(bytes(vector))
        return codec.seal(identity_of(signer), body, vector=bytes(vector))

    return on_train(answer)


def wrong_digest(body: pb.TrainReply, vector: bytearray) -> None:
    body.cohort_digest = bytes(32)


def too_long(body: pb.TrainReply, vector: bytearray) -> None:
    vector += bytes(4)


def too_short(body: pb.TrainReply, vector: bytearray) -> None:
    del vector[-1]


def beyond_the_clamp(body: pb.TrainReply, vector: bytearray) -> None:
    vector[:4] = (2**24 + 1).to_bytes(4, "little")


def lowest_value(body: pb.TrainReply, vector: bytearray) -> None:
    vector[:4] = (2**31).to_bytes(4, "little")


def other_round(body: pb.TrainReply, vector: bytearray) -> None:
    body.header.round = 2


def other_run(body: pb.TrainReply, vector: bytearray) -> None:
    body.header.run_id = bytes(16)


def as_beta(body: pb.TrainReply, vector: bytearray) -> None:
    body.header.sender = "beta"


def unchanged(body: pb.TrainReply, vector: bytearray) -> None:
    """The honest reply, signed by whoever is named."""


REPLIES: dict[str, tuple[Wrap, str]] = {
    "signed by another site": (other_reply(unchanged, signer="beta"), "BAD_SIGNATURE"),
    "signed by a stranger": (other_reply(unchanged, signer="mallory"), "BAD_SIGNATURE"),
    "named after another site": (other_reply(as_beta), "BAD_ENCODING"),
    "wrong cohort digest": (other_reply(wrong_digest), "DIGEST_MISMATCH"),
    "too long vector": (other_reply(too_long), "BAD_VECTOR"),
    "too short vector": (other_reply(too_short), "BAD_VECTOR"),
    "beyond the clamp": (other_reply(beyond_the_clamp), "BAD_VECTOR"),
    "lowest ring value": (other_reply(lowest_value), "BAD_VECTOR"),
    "of another round": (other_reply(other_round), "REPLAY_CONFLICT"),
    "of another run": (other_reply(other_run), "REPLAY_CONFLICT"),
    "empty": (on_train(lambda request, honest: b""), "BAD_ENCODING"),
    "rubbish": (on_train(lambda request, honest: b"\xff" * 100), "BAD_ENCODING"),
    "the request itself": (on_train(lambda request, honest: request), "BAD_ENCODING"),
    "another site's reply": (
        on_train(lambda request, honest: Federation().joined("beta").handle(request)),
        "BAD_SIGNATURE",
    ),
    "vector swapped": (on_train(lambda request, honest: swapped(honest(request))), "BAD_ENCODING"),
}


def swapped(reply: bytes) -> bytes:
    envelope = open_envelope(reply)
    assert envelope is not None
    return seal_envelope(replace(envelope, vector=bytes(envelope.vector)[::-1]))


@pytest.mark.parametrize("name", REPLIES)
def test_hostile_reply_is_left_out_with_its_code(name: str) -> None:
    wrap, code = REPLIES[name]
    federation = Federation(make_plan(rounds=1))
    result = federation.run({"gamma": wrap})
    assert result.rounds[0].dropped == {"gamma": code}
    assert result.rounds[0].survivors == ("alpha", "beta")
    expected = np.mean([clipped(federation, site) for site in ("alpha", "beta")], axis=0)
    assert np.abs(trained(result) - expected).max() <= STEP + 1e-7


def test_honest_reply_signed_anew_is_accepted() -> None:
    """Shows that the harness of the table above spoils nothing by itself."""
    assert Federation(make_plan(rounds=1)).run({"gamma": other_reply(unchanged)}).rounds[0].dropped == {}


def test_reply_replayed_from_an_earlier_round_is_left_out() -> None:
    kept: list[bytes] = []

    def replay(request: bytes, honest: Handler) -> bytes:
        kept.append(honest(request))
        return kept[0]

    first, second = Federation(make_plan(rounds=2)).run({"gamma": on_train(replay)}).rounds
    assert first.dropped == {}
    assert second.dropped == {"gamma": "REPLAY_CONFLICT"}


def test_hostile_statement_of_charges_is_left_out() -> None:
    def wrap(honest: Handler) -> Handler:
        return lambda request: b"rubbish" if type_of(request) == pb.RUN_END else honest(request)

    assert set(Federation(make_plan(rounds=1)).run({"gamma": wrap}).events) == {"alpha", "beta"}


# ---------------------------------------------------------------------------------------------------- time


def beta_after(seconds: float, kind: int) -> Callable[[Post], float]:
    """Beta answers messages of one kind only when so much time has passed."""
    return lambda post: seconds if post.site_id == "beta" and type_of(post.payload) == kind else 0.0


def test_late_site_is_left_out() -> None:
    federation = Federation(make_plan(rounds=1))
    grid = SlowGrid(federation.handlers(), federation.clock, due=beta_after(101.0, pb.TRAIN))
    result = federation.loop(grid).run()
    assert result.refusals == {}
    assert result.rounds[0].dropped == {"beta": "LATE"}
    assert result.rounds[0].survivors == ("alpha", "gamma")
    assert 100.0 <= result.rounds[0].seconds < 101.0


def test_site_that_is_late_with_its_acceptance_is_left_out() -> None:
    federation = Federation(make_plan(rounds=1))
    grid = SlowGrid(federation.handlers(), federation.clock, due=beta_after(math.inf, pb.PLAN_OFFER))
    assert federation.loop(grid).run().refusals == {"beta": "LATE"}


def test_vector_that_comes_after_its_round_changes_no_later_sum() -> None:
    federation = Federation(make_plan(rounds=2))
    grid = SlowGrid(federation.handlers(), federation.clock, due=beta_after(150.0, pb.TRAIN))
    rounds = federation.loop(grid).run().rounds
    assert [record.survivors for record in rounds] == [("alpha", "gamma"), SITES]
    assert [outcome for number, site, outcome in federation.notes.answers if site == "beta"] == ["LATE", "ok"]


def test_slow_site_is_waited_for_with_at_most_four_polls_a_second() -> None:
    federation = Federation(make_plan(rounds=1))
    grid = SlowGrid(federation.handlers(), federation.clock, due=beta_after(40.0, pb.TRAIN))
    assert federation.loop(grid).run().rounds[0].survivors == SITES
    assert 1 <= federation.clock.waited <= 4 * 40 + 1


def test_delivery_that_comes_twice_counts_once() -> None:
    federation = Federation()
    grid = SlowGrid(federation.handlers(), federation.clock, due=lambda post: 0.0, twice=True)
    assert federation.loop(grid).run().model_digest == Federation().run().model_digest
    assert sorted(federation.notes.answers) == [(number, site, "ok") for number in (1, 2, 3) for site in SITES]
