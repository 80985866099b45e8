import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.client.daemon.desk import Desk, NotServingError, Reply
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.worker import Worker
from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity, Roster
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.site_daemon_pb2 import SiteState
from tests.site_requests import (
    COORDINATOR_KEY,
    RUN,
    SITE,
    SITE_KEY,
    VOICE,
    PlayedAgent,
    collect,
    offer,
    opened,
    position,
    reply_to,
    run_end,
    said,
    sealed,
    train,
    unmask,
)

LONG = 60.0
"""No test waits so long: what is awaited comes as soon as it may."""


class Clock:
    """Time that stands still until it is moved; whoever sleeps wakes when it is late enough."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            future = asyncio.get_running_loop().create_future()
            self.sleepers.append((self.now + seconds, future))
            await future

    def move_to(self, now_s: float) -> None:
        self.now = now_s
        for until_s, future in self.sleepers:
            if until_s <= now_s and not future.done():
                future.set_result(None)


def desk_of(agent: PlayedAgent | None = None, **options: Any) -> Desk:  # noqa: ANN401
    settings = DaemonSettings.model_validate(options.pop("settings", {}))
    desk = Desk(Worker(), settings, **options)
    desk.unlocked(VOICE)
    if agent is not None:
        desk.loaded(agent)
    return desk


async def ask(desk: Desk, request: bytes, hold_s: float = LONG) -> bytes:
    reply = await desk.answer(request, hold_s)
    desk.given(reply)
    return reply.payload


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


def go(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


# ---------------------------------------------------------------------------------------------------- hold


def test_a_short_job_takes_one_trip() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        assert await ask(desk_of(agent), train()) == reply_to(train())
        assert agent.handled == [train()]

    go(scenario)


def test_a_long_job_is_pending_then_collected_with_the_same_bytes_and_handled_once() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        first = opened(await ask(desk, train(), 0.0))
        assert isinstance(first.body, pb.Pending)
        assert first.position == position()
        assert first.body.request_hash == opened_hash(train())
        assert said(await ask(desk, collect(train()), 0.0)) == "Pending"
        agent.may_go.set()
        assert await ask(desk, collect(train())) == reply_to(train())
        assert await ask(desk, collect(train())) == reply_to(train())
        assert agent.handled == [train()]

    go(scenario)


def opened_hash(request: bytes) -> bytes:
    from fedward.common.messages import codec

    return codec.hashes_of(request)[0]


def test_all_pending_messages_of_a_request_are_the_same_bytes() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        said_so = {await ask(desk, train(), 0.0), await ask(desk, collect(train()), 0.0), await ask(desk, train(), 0.0)}
        assert len(said_so) == 1
        agent.may_go.set()

    go(scenario)


def test_a_train_is_not_answered_before_the_floor_of_its_run() -> None:
    async def scenario() -> None:
        clock, agent = Clock(), PlayedAgent.free()
        desk = desk_of(agent, now_s=lambda: clock.now, sleep=clock.sleep, floor_s={RUN: 100.0}.__getitem__)
        waiting = asyncio.create_task(ask(desk, train()))
        await until(lambda: bool(clock.sleepers))
        assert said(await ask(desk, collect(train()), 0.0)) == "Pending"
        clock.move_to(99.9)
        assert said(await ask(desk, collect(train()), 0.0)) == "Pending"
        clock.move_to(100.0)
        assert await waiting == reply_to(train())

    go(scenario)


@pytest.mark.parametrize(
    "request_", [unmask(), offer(at=position(0)), train(position(13))], ids=["unmask", "offer", "no"]
)
def test_the_floor_is_for_vectors_alone(request_: bytes) -> None:
    async def scenario() -> None:
        clock = Clock()
        desk = desk_of(PlayedAgent.free(), now_s=lambda: clock.now, sleep=clock.sleep, floor_s=lambda run: 100.0)
        assert await ask(desk, request_) == reply_to(request_)

    go(scenario)


# ---------------------------------------------------------------------------------------------------- idempotency


def test_a_request_that_comes_again_while_it_is_worked_on_joins() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        calls = [asyncio.create_task(ask(desk, train())) for _ in range(3)]
        await until(lambda: bool(agent.handled))
        agent.may_go.set()
        assert await asyncio.gather(*calls) == [reply_to(train())] * 3
        assert agent.handled == [train()]

    go(scenario)


def test_an_answered_request_is_answered_from_memory() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        desk = desk_of(agent)
        assert await ask(desk, train()) == await ask(desk, train())
        assert agent.handled == [train()]

    go(scenario)


@pytest.mark.parametrize("is_free", [True, False], ids=["answered", "in work"])
def test_another_request_for_a_place_is_refused_signed_and_never_handled(is_free: bool) -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free() if is_free else PlayedAgent()
        desk = desk_of(agent)
        await ask(desk, train(), LONG if is_free else 0.0)
        refusal = opened(await ask(desk, train(clip_norm=2.0)))
        assert refusal.body.code == "REPLAY_CONFLICT"
        assert refusal.body.request_hash == opened_hash(train(clip_norm=2.0))
        assert refusal.position == position()
        agent.may_go.set()
        assert await ask(desk, train()) == reply_to(train())
        assert agent.handled == [train()]

    go(scenario)


def test_another_place_of_the_run_waits_its_turn_in_the_order_of_arrival() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        assert said(await ask(desk, train(), 0.0)) == "Pending"
        assert said(await ask(desk, unmask(), 0.0)) == "Pending"
        await until(lambda: bool(agent.handled))
        assert agent.handled == [train()]
        agent.may_go.set()
        assert await ask(desk, collect(unmask())) == reply_to(unmask())
        assert agent.handled == [train(), unmask()]
        assert len(agent.threads) == 1

    go(scenario)


def test_collecting_what_a_restarted_daemon_forgot_is_refused_by_name() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        refusal = opened(await ask(desk_of(agent), collect(train())))
        assert (refusal.body.code, refusal.body.request_hash) == ("UNKNOWN_REQUEST", opened_hash(train()))
        assert refusal.position == position()
        assert agent.handled == []

    go(scenario)


def test_a_refused_offer_is_put_to_the_agent_again() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        desk = desk_of(agent)
        refused = [await ask(desk, offer(b"refused")), await ask(desk, offer(b"refused"))]
        assert [said(reply) for reply in refused] == ["POLICY", "POLICY"]
        assert len(agent.handled) == 2

    go(scenario)


def test_work_goes_on_when_its_caller_is_gone() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        caller = asyncio.create_task(ask(desk, train()))
        await until(lambda: bool(agent.handled))
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        agent.may_go.set()
        assert await ask(desk, collect(train())) == reply_to(train())
        assert agent.handled == [train()]

    go(scenario)


# ---------------------------------------------------------------------------------------------------- hostile


STRANGER = Identity.simulated(b"x" * 32, "stranger")
HEADER = position().header(COORDINATOR)
FOREIGN = {
    "another key": (sealed(pb.RunEnd(header=HEADER), identity=STRANGER), "BAD_SIGNATURE"),
    "the site itself": (sealed(pb.RunEnd(header=position().header(SITE)), identity=SITE_KEY), "BAD_SIGNATURE"),
    "another sender": (sealed(pb.RunEnd(header=position().header("beta"))), "BAD_ENCODING"),
    "garbage": (b"\x00\xff garbage", "BAD_ENCODING"),
    "cut short": (train()[:-1], "BAD_ENCODING"),
    "one byte more": (train() + b"\x00", "BAD_ENCODING"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_the_coordinator_did_not_sign_takes_no_place_and_reaches_no_agent(name: str) -> None:
    async def scenario() -> None:
        request, code = FOREIGN[name]
        agent = PlayedAgent.free()
        desk = desk_of(agent)
        assert said(await ask(desk, request)) == code
        assert agent.handled == []
        assert desk.table.num_kept == desk.table.num_in_work == 0

    go(scenario)


def test_a_message_for_another_roster_is_refused() -> None:
    async def scenario() -> None:
        other = Roster(coordinator_key=COORDINATOR_KEY.public_key, members={"beta": STRANGER.public_key})
        request = sealed(pb.RunEnd(header=HEADER))
        desk = desk_of(PlayedAgent.free())
        header = pb.Header()
        header.CopyFrom(HEADER)
        header.roster_hash = other.hash
        assert said(await ask(desk, sealed(pb.RunEnd(header=header)))) == "ROSTER_MISMATCH"
        assert said(await ask(desk, request)) == "RunEndReply"

    go(scenario)


def test_too_many_waiting_requests_are_refused_and_the_others_kept() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent, settings={"max_waiting": 2})
        requests = [train(position(1)), train(position(2)), train(position(3))]
        replies = [said(await ask(desk, request, 0.0)) for request in requests]
        assert replies == ["Pending", "Pending", "ABSTAIN"]
        agent.may_go.set()
        assert await ask(desk, collect(requests[1], position(2))) == reply_to(requests[1])
        assert await ask(desk, requests[2]) == reply_to(requests[2])

    go(scenario)


def test_waiting_requests_hold_no_more_than_two_messages_of_the_largest_size() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent, settings={"max_message_bytes": 1 << 20})
        vector = bytes(900_000)
        replies = [said(await ask(desk, train(position(n), vector=vector), 0.0)) for n in (1, 2, 3)]
        assert replies == ["Pending", "Pending", "ABSTAIN"]
        agent.may_go.set()
        await until(lambda: desk.table.num_in_work == 0)
        assert said(await ask(desk, train(position(3), vector=vector))) == "TrainReply"

    go(scenario)


@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyError, SystemExit])
def test_an_agent_that_raises_is_an_abstention_and_its_text_stays_here(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: bytes) -> bytes:
        raise error("patient 4711 has gout")

    async def scenario() -> None:
        desk = desk_of(PlayedAgent.free(fails))
        assert said(await ask(desk, train())) == "ABSTAIN"
        assert said(await ask(desk, train())) == "ABSTAIN"

    with caplog.at_level(logging.DEBUG):
        go(scenario)
    assert "gout" not in caplog.text


@pytest.mark.parametrize("answer", [b"", b"garbage"])
def test_an_agent_that_says_no_message_is_an_abstention(answer: bytes) -> None:
    async def scenario() -> None:
        assert said(await ask(desk_of(PlayedAgent.free(lambda request: answer)), train())) == "ABSTAIN"

    go(scenario)


@given(st.binary(max_size=300))
def test_any_bytes_get_a_signed_refusal(request: bytes) -> None:
    async def scenario() -> None:
        assert said(await ask(DESK, request)) in {"BAD_ENCODING", "BAD_SIGNATURE"}

    go(scenario)


@given(st.integers(0, len(train()) * 8 - 1))
def test_one_bit_of_a_request_changed_gets_a_signed_refusal(bit: int) -> None:
    async def scenario() -> None:
        request = bytearray(train())
        request[bit // 8] ^= 1 << bit % 8
        assert said(await ask(DESK, bytes(request))) in {"BAD_ENCODING", "BAD_SIGNATURE"}

    go(scenario)


DESK = desk_of(PlayedAgent.free())


# ---------------------------------------------------------------------------------------------------- life


def test_a_locked_daemon_says_nothing_at_all() -> None:
    async def scenario() -> None:
        desk = Desk(Worker(), DaemonSettings())
        assert desk.state == SiteState.LOCKED
        with pytest.raises(NotServingError):
            await desk.answer(train(), LONG)

    go(scenario)


def test_while_it_loads_a_daemon_says_pending_and_remembers_nothing() -> None:
    async def scenario() -> None:
        desk = desk_of()
        assert desk.state == SiteState.LOADING
        assert said(await ask(desk, train(), 0.0)) == "Pending"
        assert said(await ask(desk, collect(train()), 0.0)) == "Pending"
        desk.loaded(PlayedAgent.free())
        assert desk.state == SiteState.READY
        assert said(await ask(desk, collect(train()))) == "UNKNOWN_REQUEST"

    go(scenario)


def test_a_request_that_waits_for_the_loading_is_answered_when_it_is_done() -> None:
    async def scenario() -> None:
        desk = desk_of()
        waiting = asyncio.create_task(ask(desk, train()))
        await asyncio.sleep(0)
        desk.loaded(PlayedAgent.free())
        assert await waiting == reply_to(train())

    go(scenario)


async def finished(drained: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(0.02):
            await drained
    except TimeoutError:
        return False
    return True


def test_a_draining_site_begins_nothing_and_ends_what_it_began() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        desk = desk_of(agent)
        assert said(await ask(desk, train())) == "TrainReply"
        desk.drain()
        assert desk.state == SiteState.DRAINING
        assert said(await ask(desk, train(position(2)))) == "ABSTAIN"
        assert said(await ask(desk, offer(at=position(0, run_id=b"q" * 16)))) == "ABSTAIN"
        assert said(await ask(desk, train())) == "TrainReply"
        assert not await finished(desk.drained())
        assert said(await ask(desk, unmask())) == "UnmaskReply"
        assert await finished(desk.drained())
        assert agent.handled == [train(), unmask()]

    go(scenario)


def test_a_drain_waits_for_work_and_for_its_answer_to_be_fetched() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        request, at = train(position(profile="plain_ring")), position(profile="plain_ring")
        assert said(await ask(desk, request, 0.0)) == "Pending"
        desk.drain()
        assert not await finished(desk.drained())
        agent.may_go.set()
        await until(lambda: desk.table.num_in_work == 0)
        assert not await finished(desk.drained())
        assert said(await ask(desk, collect(request, at))) == "TrainReply"
        assert await finished(desk.drained())

    go(scenario)


def test_an_answer_that_did_not_go_out_whole_is_still_open() -> None:
    async def scenario() -> None:
        desk = desk_of(PlayedAgent.free())
        request = run_end()
        reply: Reply = await desk.answer(request, LONG)
        assert desk.table.num_open == 1
        desk.given(reply)
        assert desk.table.num_open == 0

    go(scenario)


def test_old_secrets_are_destroyed_in_the_agents_thread_when_nothing_else_is_to_do() -> None:
    async def scenario() -> None:
        agent = PlayedAgent()
        desk = desk_of(agent)
        assert said(await ask(desk, train(), 0.0)) == "Pending"
        desk.expire()
        agent.may_go.set()
        await ask(desk, collect(train()))
        assert agent.handled == [train()]
        desk.expire()
        await until(lambda: agent.handled == [train(), b"expire"])

    go(scenario)
