"""What ``fedward bench secagg`` has to reach, and whether it does: by the project's aims, and by the design page.

The aims bound every point alike. The page has a figure for every point, measured with a prototype, and asks for 0.8 of
it: a point can hold the one and miss the other, so both are shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

JUDGED_FROM = 1_000_000
"""Parameters from which on the bounds hold; below, fixed costs of keys and signatures weigh more than the vector."""
MANY_SITES = 16
"""Sites from which on the distance to the keystream is judged."""
LEAST_SPEEDUP = 8.0

BOUNDS: Mapping[str, tuple[str, float]] = {
    "least client_speedup_vs_flower": (">=", LEAST_SPEEDUP),
    "least server_speedup_vs_flower": (">=", LEAST_SPEEDUP),
    "client_speedup_vs_flower": (">=", 12.0),
    "server_speedup_vs_flower": (">=", 23.0),
    "client_over_floor": ("<=", 2.0),
    "bytes_per_parameter": ("<=", 4.01),
    "site_memory": ("<=", 5.0),
    "most server_memory": ("<=", 12.0),
    "server_memory ratio": ("<=", 1.1),
}
"""The aims: by figure, the sense and the bound. The least of the judged points where it says so."""

PAGE_MEANS: Mapping[str, float] = {"client_speedup_vs_flower": 11.2, "server_speedup_vs_flower": 22.0}
PAGE_SHARE = 0.8
PAGE_POINTS: Mapping[tuple[int, int, int], tuple[float, float]] = {
    (1_000_000, 5, 0): (10.2, 10.4),
    (1_000_000, 5, 1): (9.9, 11.6),
    (1_000_000, 16, 0): (8.6, 40.5),
    (1_000_000, 16, 1): (8.3, 31.3),
    (1_000_000, 32, 0): (7.3, 117.6),
    (1_000_000, 32, 3): (8.6, 59.8),
    (10_000_000, 5, 0): (15.8, 11.4),
    (10_000_000, 5, 1): (18.8, 14.3),
    (10_000_000, 16, 0): (9.7, 17.0),
    (10_000_000, 16, 1): (10.3, 9.0),
    (10_000_000, 32, 0): (9.2, 19.8),
    (10_000_000, 32, 3): (11.5, 15.9),
}
"""By parameters, sites and dropouts: the smaller of the page's two speed-ups of a site, and of the server in all."""


def page_over_floor(num_sites: int) -> tuple[float, float]:
    """How far above the keystream the page lets a site and the server be."""
    return (1.5, 1.65) if num_sites >= MANY_SITES else (2.2, 2.2)


def judged_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that bounds are for; all, if there is none."""
    return [row for row in rows if row["parameters"] >= JUDGED_FROM] or list(rows)


def verdicts(row: Mapping[str, Any]) -> dict[str, bool | None]:
    """Whether a row holds the aims, and what the page asks; None where they say nothing of it."""
    point = row["parameters"], row["sites"], row["dropouts"]
    speedups = row["client_speedup_vs_flower"], row["server_speedup_vs_flower"]
    floors = row["client_over_floor"], row["server_over_floor"]
    meets_issue = meets_page = None
    if row["parameters"] >= JUDGED_FROM:
        is_near = row["sites"] < MANY_SITES or row["client_over_floor"] <= BOUNDS["client_over_floor"][1]
        is_small = row["bytes_per_parameter"] <= BOUNDS["bytes_per_parameter"][1]
        meets_issue = min(speedups) >= LEAST_SPEEDUP and is_near and is_small
    if point in PAGE_POINTS:
        is_fast = all(is_ >= PAGE_SHARE * was for is_, was in zip(speedups, PAGE_POINTS[point], strict=True))
        is_near = all(is_ <= most for is_, most in zip(floors, page_over_floor(row["sites"]), strict=True))
        meets_page = is_fast and is_near
    return {"meets_issue": meets_issue, "meets_page": meets_page}


def misses(headline: Mapping[str, Any], judged: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The aims that do not hold, with what was measured."""
    memory = headline["server_memory"].values()
    found = {f"least {name}": min(row[name] for row in judged) for name in headline if "speedup" in name}
    found |= {name: value for name, value in headline.items() if isinstance(value, float)}
    found |= {"most server_memory": max(memory), "server_memory ratio": max(memory) / min(memory)}
    return {name: found[name] for name, (sense, bound) in BOUNDS.items() if not _holds(found[name], sense, bound)}


def page_holds(headline: Mapping[str, Any], judged: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every judged point holds what the page asks of it, and so do the means."""
    are_means_right = all(headline[name] >= least for name, least in PAGE_MEANS.items())
    return are_means_right and all(row["meets_page"] is True for row in judged)


def geometric_mean(values: Iterable[float]) -> float:
    """Of numbers above zero."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def _holds(value: float, sense: str, bound: float) -> bool:
    return value >= bound if sense == ">=" else value <= bound
