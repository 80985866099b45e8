from collections.abc import Callable, Collection, Sequence
from itertools import count

import numpy as np
import pytest

from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity
from fedward.common.lora import adapters
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.server.collecting import PENDING_GAP_S, RETRY_S, UNKNOWN, CollectingGrid
from fedward.server.grid import Delivery, GridError, Post
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import SITES, FakeClock, Federation, identity_of, make_plan
from tests.masked_federation import masked_federation
from tests.site_requests import (
    COORDINATOR_KEY,
    ROSTER,
    SITE,
    VOICE,
    collect,
    position,
    reply_to,
    sealed,
    train,
)

REQUEST = train()
BODY_HASH = codec.body_hash(REQUEST)
COLLECT = collect(REQUEST)
PENDING = VOICE.pending(position(), BODY_HASH)
FORGOTTEN = VOICE.refusal(position(), BODY_HASH, "UNKNOWN_REQUEST")
ANSWER = reply_to(REQUEST)
TTL_S = 1000.0


class Network:
    """Answers each post with the next line of a script: bytes, an error, or nothing yet."""

    def __init__(self, *script: bytes | GridError | None) -> None:
        self.script = list(script)
        self.sent: list[Post] = []
        self.online = {SITE}
        self._numbers = count(1)
        self._waiting: set[str] = set()

    def sites(self) -> frozenset[str]:
        return frozenset(self.online)

    def push(self, posts: Sequence[Post]) -> tuple[str | None, ...]:
        self.sent += posts
        ids = tuple(None if post.site_id != SITE else f"m{next(self._numbers)}" for post in posts)
        self._waiting |= {message_id for message_id in ids if message_id}
        return ids

    def pull(self, message_ids: Collection[str]) -> tuple[Delivery, ...]:
        answers = []
        for message_id in sorted(self._waiting & set(message_ids)):
            line = self.script.pop(0) if self.script else None
            if isinstance(line, bytes):
                answers.append(Delivery(message_id=message_id, payload=line))
            elif line is not None:
                answers.append(Delivery(message_id=message_id, error=line))
        self._waiting -= {answer.message_id for answer in answers}
        return tuple(answers)

    @property
    def payloads(self) -> list[bytes]:
        return [post.payload for post in self.sent]


def grid_on(network: Network) -> tuple[CollectingGrid, FakeClock]:
    clock = FakeClock()
    return CollectingGrid(network, identity=COORDINATOR_KEY, roster=ROSTER, clock=clock), clock


def until_answered(network: Network, *, most_s: float = TTL_S, step_s: float = 0.5) -> tuple[Delivery | None, float]:
    """The delivery of one request, and when it came."""
    grid, clock = grid_on(network)
    (message_id,) = grid.push([Post(site_id=SITE, payload=REQUEST, ttl_s=TTL_S)])
    assert message_id is not None
    while clock.now_s() <= most_s:
        for delivery in grid.pull([message_id]):
            assert delivery.message_id == message_id
            return delivery, clock.now_s()
        clock.wait_s(step_s)
    return None, clock.now_s()


def test_a_short_round_is_one_message() -> None:
    network = Network(ANSWER)
    assert until_answered(network) == (Delivery(message_id="m1", payload=ANSWER), 0.0)
    assert network.payloads == [REQUEST]


def test_pending_is_followed_by_collect_and_the_answer_has_the_first_id() -> None:
    network = Network(PENDING, PENDING, ANSWER)
    delivery, _ = until_answered(network)
    assert delivery == Delivery(message_id="m1", payload=ANSWER)
    assert network.payloads == [REQUEST, COLLECT, COLLECT]


def test_a_collect_lives_no_longer_than_its_request() -> None:
    network = Network(None, None, PENDING, ANSWER)
    until_answered(network, step_s=100.0)
    assert [post.ttl_s for post in network.sent] == [TTL_S, TTL_S - 300.0]


def test_a_site_that_says_nothing_but_pending_is_asked_once_a_second() -> None:
    network = Network(*[PENDING] * 1000)
    assert until_answered(network, most_s=10.0, step_s=0.25)[0] is None
    assert len(network.sent) == 1 + 10 / PENDING_GAP_S


@pytest.mark.parametrize("error", sorted(UNKNOWN))
def test_after_a_loss_the_answer_is_collected_half_a_minute_later(error: GridError) -> None:
    network = Network(error, ANSWER)
    assert until_answered(network) == (Delivery(message_id="m1", payload=ANSWER), RETRY_S)
    assert network.payloads == [REQUEST, COLLECT]


@pytest.mark.parametrize("error", sorted(set(GridError) - UNKNOWN))
def test_a_failure_that_an_operator_must_mend_is_told_at_once(error: GridError) -> None:
    network = Network(error)
    assert until_answered(network) == (Delivery(message_id="m1", error=error), 0.0)
    assert network.payloads == [REQUEST]


def test_a_forgotten_request_is_sent_again_with_the_same_bytes() -> None:
    network = Network(GridError.NODE_UNAVAILABLE, FORGOTTEN, ANSWER)
    assert until_answered(network)[0] == Delivery(message_id="m1", payload=ANSWER)
    assert network.payloads == [REQUEST, COLLECT, REQUEST]


def test_a_full_request_goes_only_after_the_site_said_that_it_forgot() -> None:
    network = Network(*[GridError.CLIENT_APP_CRASHED] * 5, ANSWER)
    until_answered(network)
    assert network.payloads == [REQUEST, *[COLLECT] * 5]


def test_a_site_that_always_forgets_is_sent_the_request_no_faster_than_twice_a_minute() -> None:
    network = Network(*[FORGOTTEN] * 1000)
    assert until_answered(network, most_s=290.0)[0] is None
    assert len(network.sent) <= 2 + 290 / RETRY_S


def test_a_site_that_is_away_is_not_asked_until_it_is_back() -> None:
    network = Network(GridError.NODE_UNAVAILABLE, ANSWER)
    network.online.clear()
    grid, clock = grid_on(network)
    grid.push([Post(site_id=SITE, payload=REQUEST, ttl_s=TTL_S)])
    for _ in range(10):
        assert grid.pull(["m1"]) == ()
        clock.wait_s(RETRY_S)
    assert network.payloads == [REQUEST]
    network.online.add(SITE)
    assert grid.pull(["m1"]) == (Delivery(message_id="m1", payload=ANSWER),)


def test_a_post_that_is_refused_is_refused() -> None:
    grid, _ = grid_on(Network())
    posts = [Post(site_id=site, payload=REQUEST, ttl_s=1.0) for site in ("mallory", SITE)]
    assert grid.push(posts) == (None, "m1")


def test_what_is_out_of_time_is_forgotten_with_its_bytes() -> None:
    network = Network(PENDING, ANSWER)
    grid, clock = grid_on(network)
    grid.push([Post(site_id=SITE, payload=REQUEST, ttl_s=10.0)])
    assert grid.pull(["m1"]) == ()
    clock.wait_s(10.0)
    assert grid.pull(["m1"]) == ()
    assert network.payloads == [REQUEST]
    assert grid._errands == {}


STRANGER = Identity.simulated(b"x" * 32, SITE)
OTHER = position(2)
FOREIGN = {
    "another key": sealed(pb.Pending(header=position().header(SITE), request_hash=BODY_HASH), identity=STRANGER),
    "another request": VOICE.pending(position(), b"o" * 32),
    "another position": VOICE.pending(OTHER, BODY_HASH),
    "forgets another request": VOICE.refusal(position(), b"o" * 32, "UNKNOWN_REQUEST"),
    "refuses for another reason": VOICE.refusal(position(), BODY_HASH, "ABSTAIN"),
    "garbage": b"garbage",
    "empty": b"",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_word_about_this_request_goes_to_the_round_loop(name: str) -> None:
    network = Network(FOREIGN[name])
    assert until_answered(network) == (Delivery(message_id="m1", payload=FOREIGN[name]), 0.0)
    assert network.payloads == [REQUEST]


def test_a_pending_of_an_old_run_played_again_brings_no_collect() -> None:
    old = VOICE.pending(position(run_id=b"q" * 16), BODY_HASH)
    network = Network(old)
    assert until_answered(network)[0] == Delivery(message_id="m1", payload=old)


# ---------------------------------------------------------------------------------------------------- whole runs


def slow(federation: Federation, site: str, honest: Handler) -> Handler:
    """A daemon whose agent always takes longer than a request is held."""
    kept: dict[bytes, bytes] = {}

    def handle(request: bytes) -> bytes:
        opened = codec.open_message(request, None, sender=COORDINATOR, public_key=federation.roster.coordinator_key)
        if isinstance(opened.body, pb.Collect):
            return kept[opened.body.request_hash]
        kept[opened.body_hash] = honest(request)
        header = opened.position.header(site)
        return codec.seal(identity_of(site), pb.Pending(header=header, request_hash=opened.body_hash))

    return handle


def collecting(federation: Federation, handlers: dict[str, Handler]) -> CollectingGrid:
    return CollectingGrid(
        MemoryGrid(handlers), identity=federation.coordinator, roster=federation.roster, clock=federation.clock
    )


MAKERS: dict[str, Callable[[], Federation]] = {
    "plain": lambda: Federation(make_plan(rounds=2)),
    "masked": lambda: masked_federation("resilient", rounds=2),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_whose_every_answer_is_late_gives_the_same_adapter(name: str) -> None:
    quick, late = MAKERS[name](), MAKERS[name]()
    sites = list(late.handlers())
    handlers = {site: slow(late, site, honest) for site, honest in late.handlers().items()}
    result, plain = late.loop(collecting(late, handlers)).run(), quick.run()
    assert adapters.adapter_digest(late.plan.layout, result.adapter) == plain.model_digest
    assert [record.survivors for record in result.rounds] == [tuple(sorted(sites))] * 2
    assert all(np.isfinite(part).all() for part in result.adapter.values())


def test_sites_of_the_round_loop_are_those_of_the_network() -> None:
    assert collecting(Federation(), dict.fromkeys(SITES, lambda raw: raw)).sites() == frozenset(SITES)
