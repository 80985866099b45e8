"""A desk in the running loop, and how tests ask it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fedward.client.daemon.desk import Desk
from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.worker import Worker
from tests.site_requests import VOICE, PlayedAgent

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
