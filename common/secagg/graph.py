"""Who shares masks and secrets with whom where there are too many sites for everybody to do so with everybody.

The sites stand on a ring, in an order that a seed gives which no one could choose; a site's neighbours are the k/2
before and the k/2 after it (the Harary graph H(k, n), k even). The graph is fixed for the run.

The order is a Fisher–Yates shuffle of the ids in bytewise order. Words of 32 bits are read from the AES-256-CTR stream
of the seed (``common._keystream``), one after the other. For place i from n − 1 down to 1, words are taken until one is
below 2^32 − (2^32 mod (i + 1)); that word modulo i + 1 is the place j ≤ i whose site changes places with i's.

Where the seed comes from is ``graph_seed``'s; how large k and t must be, ``graph_parameters``'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fedward.common import _keystream as keystream
from fedward.common.errors import ProtocolError
from fedward.common.secagg.graph_parameters import GraphParameters, dropouts_of
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.transcript import digest

_WORD = 1 << 32
_BLOCK_WORDS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskGraph:
    """The graph of a run."""

    seed: bytes
    parameters: GraphParameters
    ring: tuple[str, ...]
    """The sites in their order on the ring."""
    assumed_colluders: int
    """What the parameters reckon with."""

    @classmethod
    def drawn(
        cls, seed: bytes, site_ids: Collection[str], parameters: GraphParameters, *, assumed_colluders: int
    ) -> MaskGraph:
        """The graph that a seed gives.

        Args:
            seed: 32 bytes, from ``graph_seed``.
            site_ids: of all that take part in the run, in any order.
            parameters: for so many sites.
            assumed_colluders: that the parameters reckon with.
        """
        ring = shuffled(in_order(site_ids), seed)
        return cls(seed=seed, parameters=parameters, ring=ring, assumed_colluders=assumed_colluders)

    @property
    def degree(self) -> int:
        """K."""
        return self.parameters.degree

    @property
    def threshold(self) -> int:
        """t: of so many of a site's neighbours, the shares give its secret."""
        return self.parameters.threshold

    @property
    def sites(self) -> tuple[str, ...]:
        """All of them, in bytewise order."""
        return in_order(self.ring)

    @property
    def max_dropouts(self) -> int:
        """Sites of the run that a sum may lack, the absent among them."""
        return dropouts_of(len(self.ring))

    @property
    def hash(self) -> bytes:
        """``H(graph, seed, k, t, id, …)``, by id."""
        return digest("fedward/secagg/v1/graph", self.seed, self.degree, self.threshold, *self.sites)

    @property
    def holders_hash(self) -> bytes:
        """What every bundle of the run names in place of one list of holders: ``H(neighbourhoods, t, graph hash)``."""
        return digest("fedward/secagg/v1/neighbourhoods", self.threshold, self.hash)

    def neighbours(self, site_id: str) -> tuple[str, ...]:
        """Of one site, in bytewise order; it is not its own."""
        place, count = _places(self.ring)[site_id], len(self.ring)
        if self.degree >= count - 1:
            return in_order(other for other in self.ring if other != site_id)
        steps = (step for reach in range(1, self.degree // 2 + 1) for step in (-reach, reach))
        return in_order(self.ring[(place + step) % count] for step in steps)

    def are_neighbours(self, site_id: str, other: str) -> bool:
        """Whether two sites share a mask."""
        count, places = len(self.ring), _places(self.ring)
        apart = (places[site_id] - places[other]) % count
        return apart > 0 and (self.degree >= count - 1 or min(apart, count - apart) <= self.degree // 2)

    def around(self, site_id: str, among: Collection[str]) -> tuple[str, ...]:
        """A site and its neighbours, those of them that are ``among`` some sites; in bytewise order."""
        return in_order(other for other in (site_id, *self.neighbours(site_id)) if other in among)

    def holds_together(self, survivors: Collection[str]) -> bool:
        """Whether the honest ones of these survivors are connected, wherever the colluders stand.

        They fall apart only where two runs of k/2 places hold no honest survivor. No two such runs hold more colluders
        than ``gap_colluders``, but once in 2^41 graphs; so more survivors than that in every two runs are enough. That
        is independent of how the others were lost: a server that knows the graph may have chosen them.
        """
        count, reach = len(self.ring), self.degree // 2
        if self.degree >= count - 1:
            return True
        alive = set(survivors)
        stands = [site_id in alive for site_id in self.ring]
        in_run = _run_sums(stands, reach)
        # The least of the runs that begin at least ``reach`` further on and end before this one begins again.
        least = _sliding_least(in_run, reach, count - 2 * reach + 1)
        return all(here + there > self.parameters.gap_colluders for here, there in zip(in_run, least, strict=True))


@lru_cache(maxsize=8)
def _places(ring: tuple[str, ...]) -> Mapping[str, int]:
    """Site to place. A process has one graph, or a few: not kept in it, for a graph is a plain value."""
    return {site_id: place for place, site_id in enumerate(ring)}


def shuffled(site_ids: Sequence[str], seed: bytes) -> tuple[str, ...]:
    """The order that a seed gives; see the module."""
    order, words = list(site_ids), _words(seed)
    for place in range(len(order) - 1, 0, -1):
        bound = place + 1
        limit = _WORD - _WORD % bound
        word = next(word for word in words if word < limit)
        other = word % bound
        order[place], order[other] = order[other], order[place]
    return tuple(order)


def _words(seed: bytes) -> Iterator[int]:
    context, buffer = keystream.stream(seed), keystream.new_buffer()
    while True:
        yield from keystream.next_words(context, _BLOCK_WORDS, buffer).tolist()


def _run_sums(stands: Sequence[bool], reach: int) -> list[int]:
    """Of every run of ``reach`` places around the ring, how many stand."""
    count = len(stands)
    now = sum(stands[:reach])
    sums = []
    for place in range(count):
        sums.append(now)
        now += stands[(place + reach) % count] - stands[place]
    return sums


def _sliding_least(values: Sequence[int], first: int, width: int) -> list[int]:
    """For every place of a ring, the least of ``width`` values from ``first`` places further on."""
    count = len(values)
    least: list[int] = []
    window: list[int] = []
    """Positions whose values rise; the first is the least in the window."""
    head = 0
    for position in range(first, count + first + width - 1):
        value = values[position % count]
        while len(window) > head and values[window[-1] % count] >= value:
            window.pop()
        window.append(position)
        begin = position - width + 1
        if begin < first:
            continue
        if window[head] < begin:
            head += 1
        least.append(values[window[head] % count])
    return least


def own_neighbours_suffice(graph: MaskGraph, site_id: str, survivors: Collection[str]) -> bool:
    """Whether enough of a site's neighbours survive to give its secret, or anybody's about it."""
    return sum(other in survivors for other in graph.neighbours(site_id)) >= graph.threshold


def require_graph(graph: MaskGraph | None) -> MaskGraph:
    """The graph of a run that needs one.

    Raises:
        ProtocolError: ``GRAPH_MISMATCH``: it was not agreed on.
    """
    if graph is None:
        raise ProtocolError("GRAPH_MISMATCH", "the mask graph of this run was not agreed on, or is forgotten")
    return graph


__all__ = [
    "MaskGraph",
    "own_neighbours_suffice",
    "require_graph",
    "shuffled",
]
