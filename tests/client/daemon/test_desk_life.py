import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.client.daemon.desk import Desk, NotServingError, Reply
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.worker import Worker
from fedward.common.config import COORDINATOR
from fedward.common.identity import Identity, Roster
from fedward.common.logs.logger import log
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.site_daemon_pb2 import SiteState
from tests.desks import LONG, ask, desk_of, go, until
from tests.log_sinks import text_of
from tests.site_requests import (
    COORDINATOR_KEY,
    SITE,
    SITE_KEY,
    PlayedAgent,
    collect,
    offer,
    position,
    reply_to,
    run_end,
    said,
    sealed,
    train,
    unmask,
)

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
    error: type[BaseException],
) -> None:
    def fails(request: bytes) -> bytes:
        raise error("patient 4711 has gout")

    async def scenario() -> None:
        desk = desk_of(PlayedAgent.free(fails))
        assert said(await ask(desk, train())) == "ABSTAIN"
        assert said(await ask(desk, train())) == "ABSTAIN"

    go(scenario)
    assert "agent.failed" in text_of(log)
    assert "gout" not in text_of(log)


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
