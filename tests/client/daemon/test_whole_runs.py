"""Real agents behind desks: a run goes as it does without, whether answers come at once or have to be collected."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from fedward.client.daemon.desk import Desk
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.voice import Voice
from fedward.client.daemon.worker import Worker
from fedward.common.messages import fedward_pb2 as pb
from fedward.server.collecting import CollectingGrid
from fedward.simulations.memory_grid import Handler, MemoryGrid
from tests.federation_simulator import Federation, Wrap, identity_of, make_plan
from tests.masked_federation import lost, masked_federation


@contextmanager
def desks(federation: Federation, hold_s: float) -> Iterator[Mapping[str, Handler]]:
    """A desk for every site, all in one loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def on_loop(coroutine: Any) -> Any:  # noqa: ANN401
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    async def opened(site: str) -> Desk:
        desk = Desk(Worker(), DaemonSettings())
        desk.unlocked(Voice(site_id=site, identity=identity_of(site), roster=federation.roster))
        desk.loaded(federation.agent(site))
        return desk

    def handler(site: str) -> Handler:
        desk = on_loop(opened(site))

        async def answered(request: bytes) -> bytes:
            reply = await desk.answer(request, hold_s)
            desk.given(reply)
            return bytes(reply.payload)

        return lambda request: bytes(on_loop(answered(request)))

    try:
        yield {site: handler(site) for site in federation.roster.members}
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


MAKERS = {
    "plain": lambda: Federation(make_plan(rounds=2)),
    "strict": lambda: masked_federation("strict", rounds=2),
    "late cohort": lambda: masked_federation("strict", rounds=2, secagg={"late_cohort": True}),
    "resilient": lambda: masked_federation("resilient", rounds=2),
    "resilient-malicious": lambda: masked_federation("resilient-malicious", rounds=2),
}


def digest(
    federation: Federation, hold_s: float | None, wrap: Mapping[str, Wrap]
) -> tuple[bytes, list[tuple[str, ...]]]:
    """Of the adapter, and the survivors of each round; without a hold the sites are asked directly."""
    if hold_s is None:
        result = federation.run(wrap)
    else:
        with desks(federation, hold_s) as handlers:
            around = {site: wrap[site](handlers[site]) if site in wrap else handlers[site] for site in handlers}
            grid = CollectingGrid(
                MemoryGrid(around), identity=federation.coordinator, roster=federation.roster, clock=federation.clock
            )
            result = federation.loop(grid).run()
    return result.model_digest, [record.survivors for record in result.rounds]


@pytest.mark.parametrize("hold_s", [60.0, 0.0], ids=["held", "collected"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_run_behind_desks_gives_the_same_adapter(name: str, hold_s: float) -> None:
    assert digest(MAKERS[name](), hold_s, {}) == digest(MAKERS[name](), None, {})


@pytest.mark.parametrize("hold_s", [60.0, 0.0], ids=["held", "collected"])
@pytest.mark.parametrize("name", ["strict", "resilient", "resilient-malicious"])
def test_a_site_that_is_lost_costs_behind_desks_what_it_costs_without(name: str, hold_s: float) -> None:
    wrap = {"beta": lost(pb.TRAIN, 1, 0)}
    found = digest(MAKERS[name](), hold_s, wrap)
    assert found == digest(MAKERS[name](), None, wrap)
    assert "beta" not in found[1][0]
