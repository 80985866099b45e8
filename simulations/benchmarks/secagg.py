"""``fedward bench secagg``: what secure aggregation costs, side by side with Flower's SecAgg+ and with the bare cipher.

One process, one thread, CPU time, the arms in turns, the least of the repetitions. Both sides do real work on real
keys: our sums are compared with the plain ones before they are timed.

What is counted is the same on both sides. A site: from opened packets and a float32 update to a masked vector in memory
of its own, with what keys that takes. The server: from replies at hand to the mean update in float64, with adding up,
rebuilding secrets, taking off masks. Ours checks more on that way and pays for it: every site's proof, every rebuilt
secret, every share, the range of the sum. Flower's writes its mean out for its strategy, as its workflow does.

What one side alone has is timed and shown apart: our signatures and hashes of whole messages, envelopes and all
(``client_whole``, ``server_with_opening``), and writing the frozen sum to disk (``server_journal_cpu_s``). Flower's
transport is left out, and ours.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedward.common.secagg.floors import Floors
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.flower import in_a_task
from fedward.simulations.benchmarks.secagg_bounds import (
    JUDGED_FROM,
    MANY_SITES,
    geometric_mean,
    judged_of,
    misses,
    page_holds,
    verdicts,
)
from fedward.simulations.console import Interface, Silent

if TYPE_CHECKING:
    from fedward.simulations.benchmarks.secagg_flower import FlowerCohort
    from fedward.simulations.benchmarks.secagg_ours import OurCohort

MEMORY_SIZE, MEMORY_SITES = 1_000_000, (5, 32)

DEFINITIONS: Mapping[str, str] = {
    "client_speedup_vs_flower": "a site's stage: packets opened, keys agreed and derived, update quantised and masked; "
    "Flower's CPU time over ours. At top level the geometric mean of the judged points",
    "client_whole_speedup_vs_flower": "the same stage of Flower's over all that our site does from request to reply: "
    "signatures of request, bundles and reply, the vector's hash and the envelope too, which Flower has not",
    "server_speedup_vs_flower": "the server's whole work from replies to the mean update, shares rebuilt, proofs "
    "checked; Flower's CPU time over ours. At top level the geometric mean of the judged points",
    "server_decoding_cpu_s": "the part of the server's work after the sum is open: to floats, and divided; "
    "Flower's CPU time holds the like",
    "server_journal_cpu_s": "what writing the frozen sum to disk takes besides, which Flower has not",
    "server_with_opening_speedup_vs_flower": "the same, with our hashing and verifying of every reply, which Flower "
    "has not",
    "client_over_floor": "a site's stage over the bare AES-256-CTR keystream of its masks. At top level the largest of "
    f"the judged points with {MANY_SITES} sites or more",
    "server_over_floor": "the server's whole work over the bare keystream of the masks it takes off",
    "bytes_per_parameter": "of a sealed reply. At top level the largest of the judged points",
    "flower_bytes_per_parameter": "of the masked vector in Flower's reply",
    "site_memory": f"bytes per parameter that a site takes beside its update, {MEMORY_SIZE:g} parameters: the vector, "
    "masked in place",
    "site_memory_with_reply": "the same with the sealed reply, into which the vector is copied",
    "server_memory": f"bytes per parameter at the coordinator's peak, {MEMORY_SIZE:g} parameters, by number of sites: "
    "the accumulator, one reply at a time, and what is written down before shares are asked for",
    "meets_issue": "whether all bounds hold; in a row, those of a point. What misses is in misses",
    "meets_page": "whether every point holds what the design page asks of it, and the means do",
    "judged points": f"from {JUDGED_FROM:g} parameters on",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is measured."""

    sizes: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    sites: tuple[int, ...] = (5, 16, 32)
    repeats: int = 7
    repeats_of_largest: int = 5
    memory_size: int = MEMORY_SIZE
    is_judged: bool = True

    @classmethod
    def quick(cls) -> Scope:
        """A small grid, whose times say little."""
        return cls(sizes=(20_000,), sites=(5, 7), repeats=2, memory_size=50_000, is_judged=False)

    def repeats_at(self, size: int) -> int:
        """The largest vectors take seconds a time."""
        return self.repeats if size < 10_000_000 else self.repeats_of_largest


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Run the benchmark.

    Args:
        scope: what to measure.
        ui: shows progress.

    Returns:
        A JSON object: headline figures, ``misses`` (bounds that do not hold), ``rows``, ``definitions``.
    """
    from fedward.simulations.benchmarks.secagg_flower import FlowerCohort
    from fedward.simulations.benchmarks.secagg_ours import OurCohort

    rows: list[dict[str, Any]] = []
    cells = [(num_sites, size) for num_sites in scope.sites for size in scope.sizes]
    costs = [num_sites * size for num_sites, size in cells]
    with in_a_task(), (ui or Silent()).bar("Secure aggregation", sum(costs)) as tick:
        flowers: dict[int, FlowerCohort] = {}
        for number, (num_sites, size) in enumerate(cells):
            tick(sum(costs[:number]), f"{num_sites} sites, {size:g} parameters")
            ours = OurCohort.of(num_sites, size)
            if num_sites not in flowers:
                flowers = {num_sites: FlowerCohort(num_sites, ours.threshold)}
            rows += _measure_cell(ours, flowers[num_sites], scope.repeats_at(size))
        tick(sum(costs), "memory")
        memory = _memory(scope.memory_size)
    return _report(rows, memory, scope)


def _memory(size: int) -> dict[str, Any]:
    """Bytes per parameter."""
    from fedward.simulations.benchmarks.secagg_ours import OurCohort

    server: dict[str, float] = {}
    site, whole = 0.0, 0.0
    for num_sites in MEMORY_SITES:
        ours = OurCohort.of(num_sites, size)
        site, whole = (max(most) for most in zip((site, whole), ours.site_bytes_per_parameter(), strict=True))
        server[str(num_sites)] = ours.peak_bytes_per_parameter(ours.replies())
    return {"site_memory": site, "site_memory_with_reply": whole, "server_memory": server}


def _measure_cell(ours: OurCohort, flower: FlowerCohort, repeats: int) -> list[dict[str, Any]]:
    """All rows of one number of sites and one length: without and with the dropouts that the protocol bears."""
    from fedward.simulations.attacks.cohort import update_of

    num_sites, size = len(ours.names), ours.cohort.size
    stage, whole = ours.client()
    their_stage = flower.client(update_of(ours.names[0], size))
    client = least(
        {"stage": stage, "whole": whole, "flower": their_stage, "floor": ours.keystream_of(num_sites)}, repeats
    )
    vector = their_stage()
    sealed = ours.replies()
    common = {
        "parameters": size,
        "sites": num_sites,
        "repeats": repeats,
        "client_speedup_vs_flower": client["flower"] / client["stage"],
        "client_whole_speedup_vs_flower": client["flower"] / client["whole"],
        "client_over_floor": client["stage"] / client["floor"],
        "bytes_per_parameter": max(map(len, sealed.values())) / size,
        "flower_bytes_per_parameter": sum(map(len, vector)) / size,
        "client_cpu_s": client["stage"],
        "client_whole_cpu_s": client["whole"],
        "flower_client_cpu_s": client["flower"],
    }
    most = num_sites - Floors(profile=Profile.RESILIENT).min_survivors(num_sites, num_sites)
    rows = []
    for survivors in (ours.names, ours.names[: num_sites - most]):
        row = common | _measure_server(ours, flower, {name: sealed[name] for name in survivors}, vector, repeats)
        rows.append(row | verdicts(row))
    return rows


def _measure_server(
    ours: OurCohort, flower: FlowerCohort, sealed: dict[str, bytes], vector: list[bytes], repeats: int
) -> dict[str, Any]:
    """The server's figures where these replies came; in Flower's all hold ``vector``."""
    survivors, dropouts = list(sealed), len(ours.names) - len(sealed)
    opened = {name: ours.cohort.opened(name, raw) for name, raw in sealed.items()}
    server = least(
        {
            "ours": ours.server(opened, ours.released(survivors, sealed)),
            "flower": flower.server(dict.fromkeys(range(1, len(survivors) + 1), vector)),
            "floor": ours.keystream_of(len(survivors) * (1 + dropouts)),
            "decoding": ours.decoding(),
            "opening": lambda: ours.cohort.opened(survivors[0], sealed[survivors[0]]),
        },
        repeats,
    )
    opening_s = len(survivors) * server["opening"]
    return {
        "dropouts": dropouts,
        "server_speedup_vs_flower": server["flower"] / server["ours"],
        "server_with_opening_speedup_vs_flower": server["flower"] / (server["ours"] + opening_s),
        "server_over_floor": server["ours"] / server["floor"],
        "server_cpu_s": server["ours"],
        "server_decoding_cpu_s": server["decoding"],
        "server_opening_cpu_s": opening_s,
        "server_journal_cpu_s": ours.journal_cpu_s(opened, repeats),
        "flower_server_cpu_s": server["flower"],
    }


def least(arms: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least CPU seconds of each arm, the arms in turns."""
    best = dict.fromkeys(arms, math.inf)
    for _ in range(repeats):
        for name, arm in arms.items():
            start = time.process_time()
            arm()
            best[name] = min(best[name], time.process_time() - start)
    return best


def _report(rows: Sequence[dict[str, Any]], memory: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    judged = judged_of(rows)
    many = [row for row in judged if row["sites"] >= MANY_SITES] or judged
    names = ("client", "client_whole", "server", "server_with_opening")
    headline: dict[str, Any] = {
        f"{name}_speedup_vs_flower": geometric_mean(row[f"{name}_speedup_vs_flower"] for row in judged)
        for name in names
    }
    headline |= {
        "client_over_floor": max(row["client_over_floor"] for row in many),
        "bytes_per_parameter": max(row["bytes_per_parameter"] for row in judged),
        "flower_bytes_per_parameter": max(row["flower_bytes_per_parameter"] for row in judged),
        **memory,
    }
    missed = misses(headline, judged) if scope.is_judged else {}
    return {
        **headline,
        "is_judged": scope.is_judged,
        "misses": missed,
        "meets_issue": scope.is_judged and not missed,
        "meets_page": scope.is_judged and page_holds(headline, judged),
        "rows": list(rows),
        "definitions": dict(DEFINITIONS),
        "versions": {"flwr": importlib.metadata.version("flwr"), "python": platform.python_version()},
        "machine": platform.machine(),
    }
