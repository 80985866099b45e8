"""The thread that ticks: it ends when it is told to."""

from __future__ import annotations

import threading

from fedward.common.logs.ticker import ticking


def test_it_ticks_until_the_end_and_is_gone_then() -> None:
    ticked = threading.Semaphore(0)
    before = threading.active_count()
    with ticking(ticked.release, every_s=0.001):
        assert all(ticked.acquire(timeout=30) for _ in range(3))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_end_does_not_wait_for_the_next_tick() -> None:
    ticks: list[int] = []
    with ticking(lambda: ticks.append(1), every_s=3600):
        pass
    assert ticks == []
