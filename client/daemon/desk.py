"""Between sockets and agent: who is asked what, once, and how long a caller is held before it hears ``Pending``.

A request is verified before it takes a place, so the relay, or whoever has its account, can delay and repeat but fill
nothing. Work goes on when its caller is gone. An answer that is early waits for the plan's floor inside the work, so
that ``Pending`` comes at the caller's deadline whether the training is over or not.
Not handled here: bytes on sockets (``service``), signals and files (``process``), records, budget, masks (the agent).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from fedward.client.daemon.settings import DaemonSettings
from fedward.client.daemon.table import Seen, Slot, Table
from fedward.client.daemon.voice import Voice
from fedward.client.daemon.worker import Worker
from fedward.common.errors import ProtocolError, TransportError
from fedward.common.logs.logger import log
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.messages.site_daemon_pb2 import SiteState

_FLOORED = (pb.TRAIN_REPLY, pb.READY)
_LONG_BYTES = 1 << 20
_BEGINS = (pb.PlanOffer, pb.Train)
"""What a draining site takes no more of."""


class Agent(Protocol):
    """A site's duties; ``SiteAgent`` is one."""

    def handle(self, request: bytes) -> bytes:
        """Answer one message, signed. Never called twice at once."""
        ...

    def expire(self) -> None:
        """Destroy secrets that nobody has asked for in the policy's time."""
        ...


class NotServingError(TransportError):
    """The daemon can sign nothing, not even ``Pending``: its keys are sealed."""


@dataclass(slots=True)
class Reply:
    """What goes out, and where it is kept; the sender says when it has gone."""

    payload: bytes = field(repr=False)
    slot: Slot | None = None


class Desk:
    """Answers requests.

    Args:
        worker: where the agent lives.
        settings: limits.
        floor_s: of a run, by its id: seconds that a ``Train`` takes at least.
        now_s: monotonic seconds.
        sleep: lets so many seconds pass.
    """

    def __init__(
        self,
        worker: Worker,
        settings: DaemonSettings,
        *,
        floor_s: Callable[[bytes], float] = lambda run_id: 0.0,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._floor_s = floor_s
        self._now_s = now_s
        self._sleep = sleep
        self._voice: Voice | None = None
        self._agent: Agent | None = None
        self._is_draining = False
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._work: dict[int, asyncio.Task[None]] = {}
        """By the number of their slot."""
        self._waiting_bytes = 0
        self.table = Table(keep_s=settings.keep_s, max_kept_bytes=2 * settings.max_message_bytes)

    # ------------------------------------------------------------------------------------------------ life

    @property
    def state(self) -> SiteState:
        """Where the daemon stands."""
        if self._is_draining:
            return SiteState.DRAINING
        if self._voice is None:
            return SiteState.LOCKED
        return SiteState.READY if self._agent is not None else SiteState.LOADING

    def unlocked(self, voice: Voice) -> None:
        """The keys are there: from now on ``Pending`` can be said."""
        self._voice = voice

    def loaded(self, agent: Agent) -> None:
        """The agent is there: requests that wait go on."""
        self._agent = agent
        self._ready.set()

    def drain(self) -> None:
        """Begin nothing more."""
        self._is_draining = True
        self._changed.set()

    async def drained(self) -> None:
        """Wait until nothing that was begun is open."""
        while self.table.num_open:
            self._changed.clear()
            await self._changed.wait()

    def given(self, reply: Reply) -> None:
        """An answer has gone out whole."""
        if reply.slot is not None and reply.slot.answer is not None:
            reply.slot.is_given = True
            self._changed.set()

    def expire(self) -> None:
        """Let the agent destroy what is too old, when it has nothing else to do."""
        if self._agent is not None and not self._work:
            self._worker.submit(self._agent.expire).add_done_callback(_log_failure)

    # ------------------------------------------------------------------------------------------------ requests

    async def answer(self, request: bytes, hold_s: float) -> Reply:
        """Answer one request.

        Args:
            request: as it came; nothing of it is believed yet.
            hold_s: longest that the caller waits; then the reply is ``Pending``.

        Raises:
            NotServingError: the keys are sealed.
        """
        ends_s = asyncio.get_running_loop().time() + hold_s
        if self._voice is None:
            raise NotServingError("the keystore is locked")
        try:
            opened = await _opened(self._voice, request)
        except ProtocolError as error:
            log.event("request.unread", code=error.code, bytes=len(request))
            return Reply(self._voice.refusal_of_bytes(request, error.code))
        if self._agent is None and not await _is_set(self._ready, hold_s):
            return Reply(self._voice.pending(opened.position, _named_by(opened)))
        try:
            slot = self._slot(opened, request)
        except ProtocolError as error:
            at = opened.position
            log.event("request.refused", run=at.run_id, round=at.round_number, attempt=at.attempt, code=error.code)
            return Reply(self._voice.refusal(opened.position, _named_by(opened), error.code))
        return await self._held(slot, ends_s)

    def _slot(self, opened: codec.Opened[codec.Body], request: bytes) -> Slot:
        """Where the answer is or will be; new work is begun.

        Raises:
            ProtocolError: ``UNKNOWN_REQUEST``, ``REPLAY_CONFLICT`` or ``ABSTAIN``.
        """
        body, now_s = opened.body, self._now_s()
        if isinstance(body, pb.Collect):
            known = self.table.collect(opened.position, body.request_hash, now_s=now_s)
            if known is None:
                raise ProtocolError("UNKNOWN_REQUEST", "nothing is known of that request")
            return known
        kind = codec.peek_type(request)
        seen, slot = self.table.seen(opened.position, kind, opened.body_hash, now_s=now_s)
        if seen is Seen.CONFLICT:
            raise ProtocolError("REPLAY_CONFLICT", "another request for one place")
        if slot is None:
            self._require_room(body, len(request))
            slot = self.table.take(opened.position, kind, opened.body_hash)
            self._waiting_bytes += len(request)
            self._work[slot.number] = asyncio.create_task(self._worked(slot, request))
        return slot

    def _require_room(self, body: codec.Body, size: int) -> None:
        if self._is_draining and isinstance(body, _BEGINS):
            raise ProtocolError("ABSTAIN", "draining")
        is_too_much = self._waiting_bytes + size > 2 * self._settings.max_message_bytes
        if is_too_much or len(self._work) >= self._settings.max_waiting:
            raise ProtocolError("ABSTAIN", "too many requests wait")

    async def _worked(self, slot: Slot, request: bytes) -> None:
        """Ask the agent, and keep what it says; goes on without any caller."""
        agent, voice = self._agent, self._voice
        if agent is None or voice is None:
            raise NotServingError("no agent yet")
        not_before_s, size = self._now_s(), len(request)
        try:
            not_before_s += self._floor_s(slot.place.run_id)
            answer = await self._worker.submit(partial(agent.handle, request))
            kind = codec.peek_type(answer)
        except Exception as error:  # noqa: BLE001 - an agent never raises; if one does, the type alone may be told
            log.failure("agent.failed", error)
            answer, kind = voice.refusal(slot.position, slot.request_hash, "ABSTAIN"), pb.REFUSAL
        finally:
            self._waiting_bytes -= size
            del request
        if kind in _FLOORED:
            await self._sleep(not_before_s - self._now_s())
        self.table.answered(slot, answer, kind, now_s=self._now_s())
        del self._work[slot.number]
        self._changed.set()

    async def _held(self, slot: Slot, ends_s: float) -> Reply:
        """The slot's answer; ``Pending`` if there is none in time."""
        work = self._work.get(slot.number)
        if slot.answer is None and work is not None:
            await asyncio.wait({work}, timeout=max(0.0, ends_s - asyncio.get_running_loop().time()))
        if slot.answer is not None:
            return Reply(slot.answer, slot)
        if self._voice is None:
            raise NotServingError("the keystore is locked")
        return Reply(self._voice.pending(slot.position, slot.request_hash))


async def _opened(voice: Voice, request: bytes) -> codec.Opened[codec.Body]:
    """A verified request; a long one is hashed elsewhere, while the sockets go on.

    Raises:
        ProtocolError: see ``Voice.opened``.
    """
    if len(request) <= _LONG_BYTES:
        return voice.opened(request)
    return await asyncio.to_thread(voice.opened, request)


def _named_by(opened: codec.Opened[codec.Body]) -> bytes:
    """The hash of the request that a message is about: its own, or the one that it asks after."""
    return opened.body.request_hash if isinstance(opened.body, pb.Collect) else opened.body_hash


async def _is_set(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


def _log_failure(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.failure("agent.failed", error)


__all__ = ["Agent", "Desk", "NotServingError", "Reply"]
