"""How many neighbours a site needs, and how many shares open a secret, where not everybody shares with everybody.

The graph is regular of degree k over a ring in random order: a site's neighbours are the k/2 before and the k/2 after
it. Colluders and lost sites are so many of n, wherever the order puts them, so how many fall into a set of places is
hypergeometric. The tails are sums of whole numbers: nothing is rounded. Asked for are

* a threshold t with 2t > k + c, where no site has more than c colluders among its neighbours, so that both kinds of
  share of one site cannot be had; and t of each neighbourhood still there after the losses;
* that no two runs of k/2 places each are all colluders or lost, without which the others would hang together;
* a bound on the colluders in any two such runs, against a server that chooses whom to call lost once it knows the graph
  (``graph.MaskGraph.holds_together``).

The first two are the conditions of Bell, Bonawitz, Gascón, Lepoint, Raykova 2020 ("Secure Single-Server Aggregation
with (Poly)Logarithmic Overhead") in the form in which Google's federated-compute finds its parameters for a server that
lies about who was lost; the third is ours (derived).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

from fedward.common.errors import ConfigError

SECURITY_BITS = 40
"""A graph that does not protect comes up once in 2^40 draws."""
MAX_GRAPH_SITES = 1024
"""Beyond it nothing was tried, and messages that name all sites would grow long."""
FAILURE_BITS = 20
"""Lost sites that the numbers allow for make a round void once in 2^20."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphParameters:
    """Of one number of sites."""

    degree: int
    """k: neighbours of a site. Even, or one less than there are sites: then everybody is everybody's neighbour."""
    threshold: int
    """t: of so many of a site's neighbours, the shares give its secret."""
    colluding_neighbours: int
    """c: no site has more colluders among its neighbours."""
    gap_colluders: int
    """No two runs of k/2 places hold more colluders together."""


@lru_cache(maxsize=256)
def find_parameters(num_sites: int, *, colluders: int, dropouts: int, extra_bits: int = 0) -> GraphParameters:
    """The smallest degree that will do, and its threshold.

    Args:
        num_sites: n.
        colluders: among them.
        dropouts: sites that may be lost in a round.
        extra_bits: of security beyond ``SECURITY_BITS``: 2^extra graphs are drawn, and each must do.

    Raises:
        ConfigError: not even a graph of everybody with everybody would do.
    """
    if not (num_sites > 1 and 0 <= colluders < num_sites and 0 <= dropouts < num_sites):
        raise ConfigError(f"{colluders} colluders and {dropouts} lost sites among {num_sites}")
    bits = SECURITY_BITS + 1 + extra_bits  # two events that harm
    for degree in (*range(2, num_sites - 1, 2), num_sites - 1):
        found = _tried(num_sites, degree, colluders, dropouts, bits)
        if found is not None:
            return found
    raise ConfigError(
        f"{colluders} colluders and {dropouts} lost sites are too many of {num_sites}",
        hint="Set secagg.assumed_colluders lower.",
    )


def _tried(num_sites: int, degree: int, colluders: int, dropouts: int, bits: int) -> GraphParameters | None:
    is_complete = degree == num_sites - 1
    if not is_complete and _may_fall_apart(num_sites, degree, colluders + dropouts, bits):
        return None
    # A site's neighbours are any of the others, and the site itself is no colluder.
    near = _most(num_sites - 1, colluders, degree, events=num_sites, bits=bits)
    threshold = (degree + near) // 2 + 1
    if threshold > _fewest(num_sites - 1, num_sites - 1 - dropouts, degree, events=num_sites, bits=FAILURE_BITS):
        return None
    gap = 0 if is_complete else _most(num_sites, colluders, degree, events=num_sites * num_sites // 2, bits=bits)
    return GraphParameters(degree=degree, threshold=threshold, colluding_neighbours=near, gap_colluders=gap)


def _may_fall_apart(num_sites: int, degree: int, gone: int, bits: int) -> bool:
    """Whether two runs of degree/2 places, all of them gone, come up more often than once in 2^bits."""
    pairs = num_sites * (num_sites - degree - 1) // 2
    return pairs * comb(gone, degree) << bits >= comb(num_sites, degree)


def _most(population: int, marked: int, drawn: int, *, events: int, bits: int) -> int:
    """The least x with P(more than x of the drawn are marked) ≤ 2^−bits / events."""
    tail, whole = 0, comb(population, drawn)
    for found in range(min(marked, drawn), -1, -1):
        tail += comb(marked, found) * comb(population - marked, drawn - found)
        if tail * events << bits > whole:
            return found
    return 0


def _fewest(population: int, marked: int, drawn: int, *, events: int, bits: int) -> int:
    """The greatest x with P(fewer than x of the drawn are marked) ≤ 2^−bits / events."""
    tail, whole = 0, comb(population, drawn)
    for found in range(drawn + 1):
        tail += comb(marked, found) * comb(population - marked, drawn - found)
        if tail * events << bits > whole:
            return found
    return drawn


@lru_cache(maxsize=256)
def max_withheld(num_sites: int, extra_bits: int) -> int:
    """How many of n contributions may be missing: whichever they are, there are at most 2^extra such choices.

    A server that knows all contributions may say of any site that it withheld its own, and take the choice whose graph
    suits it. So all choices count, not those of colluders alone.
    """
    choices = missing = 0
    for missing in range(num_sites):
        choices += comb(num_sites, missing)
        if choices > 1 << extra_bits:
            return missing - 1
    return missing


def dropouts_of(num_sites: int) -> int:
    """Sites of a run that a sum may lack: a tenth."""
    return max(1, num_sites // 10)


__all__ = [
    "dropouts_of",
    "FAILURE_BITS",
    "find_parameters",
    "GraphParameters",
    "MAX_GRAPH_SITES",
    "max_withheld",
    "SECURITY_BITS",
]
