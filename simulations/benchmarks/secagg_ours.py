"""Our side of ``fedward bench secagg``: the real participant and coordinator of the profile ``resilient``."""

from __future__ import annotations

import math
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedward.common import _keystream as keystream
from fedward.common.errors import RunError
from fedward.common.messages import codec
from fedward.common.secagg import own_keys, ring
from fedward.common.secagg.actions import Action, Finished, Persist, Send
from fedward.common.secagg.coordinator import RoundCoordinator
from fedward.common.secagg.journal import SqliteJournal
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.plain import quantiser_of
from fedward.common.secagg.prekeys import PrekeyShelf
from fedward.common.secagg.ring import RingVector, WriterFactory
from fedward.common.secagg.state import Engagement
from fedward.common.secagg.terms import packets_of
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import (
    Cohort,
    dither_of,
    expected,
    unchecked,
    update_of,
)
from fedward.simulations.attacks.plays import play


@dataclass
class OurCohort:
    """Sites with bundles, and their masked vectors of one length."""

    cohort: Cohort
    shelf: PrekeyShelf
    total: RingVector
    """Kept from attempt to attempt, as the coordinator of a run does."""

    @classmethod
    def of(cls, num_sites: int, size: int) -> OurCohort:
        """Sites that have laid in bundles."""
        cohort = Cohort(Profile.RESILIENT, num_sites, size=size)
        return cls(cohort, cohort.shelf(), np.zeros(size, "<u4"))

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return self.shelf.ready

    @property
    def threshold(self) -> int:
        """Shares that rebuild a secret."""
        return self.shelf.holders.threshold

    def writer(self, name: str, facts_of: Engagement) -> WriterFactory:
        """What quantises a site's update."""
        facts = facts_of.facts
        quantiser = ring.Quantiser(scale_log2=facts.scale_log2, clamp_log2=facts.clamp_log2)
        return quantiser.writer(update_of(name, self.cohort.size), dither_key=dither_of(name))

    # ------------------------------------------------------------------------------------------------ a site

    def client(self) -> tuple[Callable[[], RingVector], Callable[[], bytes | None]]:
        """A site's stage as Flower's has it, and all it does between request and reply.

        The stage: packets opened, keys agreed and derived, update quantised and masked. The whole adds what Flower's
        client has not: signatures of request, bundles and reply, the hash of the vector, the envelope.
        """
        name, cohort = self.names[0], self.cohort
        participant, before = cohort.sites[name].participant, cohort.sites[name].state
        body = cohort.coordinator(self.shelf, total=self.total).train_for(name)
        raw = cohort.sealed(body)
        accepted = participant.receive(before, raw, check=unchecked).state
        engagement = expected(Engagement, accepted.engagement)
        own, bundles, digest = before.armed[self.shelf.position], engagement.bundles, engagement.digest
        writer = self.writer(name, engagement)

        def stage() -> RingVector:
            vector = np.empty(cohort.size, "<u4")  # as a site does
            plus, minus = own_keys.mask_keys(own, bundles, digest)
            own_keys.open_packets(own, participant.transport, bundles, packets_of(body))
            apply_masks(vector, plus=plus, minus=minus, writer=writer)
            return vector

        def whole() -> bytes | None:
            state = participant.receive(before, raw, check=unchecked).state
            return participant.send(state, np.empty(cohort.size, "<u4"), writer=writer).reply

        return stage, whole

    def keystream_of(self, num_masks: int) -> Callable[[], None]:
        """The bare streams of so many masks: nothing that uses these ciphers can be faster."""
        size, buffer = self.cohort.size, keystream.new_buffer()
        keys = [bytes([number]) * keystream.KEY_BYTES for number in range(num_masks)]

        def streams() -> None:
            for key in keys:
                context = keystream.stream(key)
                for start in range(0, size, keystream.CHUNK_WORDS):
                    keystream.next_words(context, min(keystream.CHUNK_WORDS, size - start), buffer)

        return streams

    # ------------------------------------------------------------------------------------------------ the server

    def replies(self) -> dict[str, bytes]:
        """Every site's masked vector, sealed as it travels."""
        coordinator = self.cohort.coordinator(self.shelf, total=self.total)
        sealed = {}
        for name in self.names:
            self.cohort.accept(name, coordinator.train_for(name))
            sealed[name] = self.cohort.send(name)
            site = self.cohort.sites[name]
            # The site keeps its reply for a repeated request; here that would be all vectors a second time.
            site.state = replace(site.state, answers={})
        return sealed

    def server(
        self, vectors: dict[str, codec.Opened[codec.Body]], released: dict[str, codec.Opened[codec.Body]]
    ) -> Callable[[], NDArray[np.float64]]:
        """All that the server does between opened replies and the mean: proofs, sums, shares, masks, range, floats.

        Args:
            vectors: of the survivors; the other sites have dropped out.
            released: the survivors' shares.
        """

        def work() -> NDArray[np.float64]:
            coordinator = self.cohort.coordinator(self.shelf, total=self.total)
            actions = _give(coordinator, self.names, vectors)
            asked = [action.site_id for action in actions if isinstance(action, Send)]
            actions = _give(coordinator, asked, released)
            if not isinstance(actions[-1], Finished):
                raise RunError("the benchmark's sum did not open")
            return self._mean(coordinator, len(vectors))

        return work

    def decoding(self) -> Callable[[], NDArray[np.float64]]:
        """The last part of ``server``: from the ring's sum to the mean."""
        coordinator = self.cohort.coordinator(self.shelf, total=self.total)
        return lambda: self._mean(coordinator, len(self.names))

    def _mean(self, coordinator: RoundCoordinator, num_sites: int) -> NDArray[np.float64]:
        return quantiser_of(coordinator.facts).mean(self.total, float(num_sites))

    def released(self, survivors: Sequence[str], sealed: dict[str, bytes]) -> dict[str, codec.Opened[codec.Body]]:
        """The shares that survivors give; the sum is compared with the plain one on the way."""
        given: dict[str, codec.Opened[codec.Body]] = {}

        def keep(name: str, raw: bytes) -> bytes:
            given[name] = self.cohort.opened(name, raw)
            return raw

        outcome = play(
            self.cohort,
            self.cohort.coordinator(self.shelf, total=self.total),
            {name: sealed[name] for name in survivors},
            forge=keep,
        )
        right = self.cohort.plain_sum(survivors, len(self.names))
        if outcome.total is None or not np.array_equal(outcome.total.total, right):
            raise RunError("the masked sum is not the plain one")
        return given

    def journal_cpu_s(self, vectors: dict[str, codec.Opened[codec.Body]], repeats: int) -> float:
        """The least CPU time that writing the frozen sum to disk takes, synced."""
        coordinator = self.cohort.coordinator(self.shelf, total=self.total)
        actions = _give(coordinator, self.names, vectors)
        entry = next(action.entry for action in actions if isinstance(action, Persist))
        best = math.inf
        for _ in range(repeats):
            with _on_disk() as journal:
                start = time.process_time()
                journal.append([entry])
                best = min(best, time.process_time() - start)
        return best

    def peak_bytes_per_parameter(self, sealed: dict[str, bytes]) -> float:
        """The coordinator's peak over a whole attempt: accumulator, one reply as it came, what is written down."""
        released = self.released(self.names, sealed)
        self.total = np.zeros(0, "<u4")
        with _on_disk() as journal, _traced() as peak:
            total = np.zeros(self.cohort.size, "<u4")
            coordinator = self.cohort.coordinator(self.shelf, total=total)
            for name in self.names:
                raw = bytes(memoryview(sealed[name]))  # a copy, held like a message that has just come
                for action in coordinator.on_reply(name, self.cohort.opened(name, raw), now_s=1.0):
                    if isinstance(action, Persist):
                        journal.append([action.entry])
                del raw
            _give(coordinator, self.names, released)
            most = peak()
        self.total = total
        return most / self.cohort.size

    def site_bytes_per_parameter(self) -> tuple[float, float]:
        """A site's peak beside its update: of the stage, and of all it does until the reply is sealed."""
        peaks = []
        for work in self.client():
            work()  # what is made once a process
            with _traced() as peak:
                work()
                peaks.append(peak() / self.cohort.size)
        return peaks[0], peaks[1]


@contextmanager
def _on_disk() -> Iterator[SqliteJournal]:
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder) / "journal.db")
        try:
            yield journal
        finally:
            journal.close()


@contextmanager
def _traced() -> Iterator[Callable[[], int]]:
    """Gives what tells the most bytes that were held at once since the beginning."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _give(
    coordinator: RoundCoordinator, names: Sequence[str], replies: dict[str, codec.Opened[codec.Body]]
) -> tuple[Action, ...]:
    """One reply after another, or its lack; what the last one led to."""
    actions: tuple[Action, ...] = ()
    for name in names:
        given = replies.get(name)
        if given is None:
            more = coordinator.on_failure(name, now_s=1.0)
        else:
            more = coordinator.on_reply(name, given, now_s=1.0)
        actions = more or actions
    return actions


__all__ = ["OurCohort"]
