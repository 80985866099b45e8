"""What ring noise costs: the discrete Gaussian against the float32 noise of mode ``local`` and the bare keystream."""

from __future__ import annotations

import time

from fedward.common.privacy.discrete_gaussian import discrete_gaussian
from fedward.common.privacy.noise import random_words, standard_normal

SIGMAS_STEPS = (4, 50, 1000, 396_703, 2**26 - 1)
"""One table up to 1024, two above. The fourth is a million coordinates, ten sites and a noise multiplier of 1."""
_KEY = bytes(32)


def measure(*, size: int, repeats: int) -> dict[str, float | int]:
    """CPU nanoseconds a sample on one core, least of the repetitions, arms taken in turns.

    Args:
        size: samples of a draw.

    Returns:
        Per arm the nanoseconds, and for ring noise the milliseconds that its tables take once a process besides.
    """
    arms = {f"sigma_{sigma}": sigma for sigma in SIGMAS_STEPS}
    tables_ms = {f"{name}_tables_ms": 1e3 * _draw_s(1, sigma) for name, sigma in arms.items()}
    best = dict.fromkeys([*arms, "float_normal", "keystream"], float("inf"))
    for _ in range(repeats):
        for name, sigma in arms.items():
            best[name] = min(best[name], _draw_s(size, sigma))
        start = time.process_time()
        standard_normal(size, key=_KEY)
        middle = time.process_time()
        random_words(2 * size, key=_KEY)  # 16 bytes a sample
        best["float_normal"] = min(best["float_normal"], middle - start)
        best["keystream"] = min(best["keystream"], time.process_time() - middle)
    return {"samples": size, **{f"{name}_ns": seconds / size * 1e9 for name, seconds in best.items()}, **tables_ms}


def _draw_s(count: int, sigma_steps: int) -> float:
    start = time.process_time()
    discrete_gaussian(count, sigma_steps=sigma_steps, key=_KEY)
    return time.process_time() - start
