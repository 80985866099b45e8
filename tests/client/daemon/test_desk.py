import asyncio

import pytest

from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from tests.desks import LONG, Clock, ask, desk_of, go, until
from tests.site_requests import (
    RUN,
    PlayedAgent,
    collect,
    offer,
    opened,
    position,
    reply_to,
    said,
    train,
    unmask,
)

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
        assert first.body.request_hash == codec.body_hash(train())
        assert said(await ask(desk, collect(train()), 0.0)) == "Pending"
        agent.may_go.set()
        assert await ask(desk, collect(train())) == reply_to(train())
        assert await ask(desk, collect(train())) == reply_to(train())
        assert agent.handled == [train()]

    go(scenario)


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
        assert refusal.body.request_hash == codec.body_hash(train(clip_norm=2.0))
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
        assert (refusal.body.code, refusal.body.request_hash) == ("UNKNOWN_REQUEST", codec.body_hash(train()))
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


def test_a_floor_that_cannot_be_told_is_an_abstention() -> None:
    async def scenario() -> None:
        agent = PlayedAgent.free()
        desk = desk_of(agent, floor_s={b"another run": 1.0}.__getitem__)
        assert said(await ask(desk, train())) == "ABSTAIN"
        assert agent.handled == []

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
