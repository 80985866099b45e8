"""What the ring costs: quantise, serialise, add and open, against adding up plain float32 vectors."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedward.common.privacy.noise import Entropy
from fedward.common.secagg import ring


def measure(*, size: int, num_sites: int, repeats: int) -> dict[str, float | int]:
    """CPU seconds of one round's vectors, least of the repetitions, arms taken in turns.

    Args:
        size: coordinates of an update.
        num_sites: updates in the sum.

    Returns:
        Seconds of both arms, nanoseconds per coordinate and site, bytes per coordinate, and the largest error of the
        mean in quantisation steps.
    """
    entropy = Entropy.seeded(bytes(32))
    updates = [entropy.normals(size) * np.float32(0.05) for _ in range(num_sites)]
    keys = [entropy.words(4).tobytes() for _ in updates]
    clamp = ring.default_clamp_log2(num_sites)
    quantiser = ring.Quantiser(scale_log2=clamp, clamp_log2=clamp)

    def in_ring() -> NDArray[np.float64]:
        total = np.zeros(size, "<u4")
        for update, key in zip(updates, keys, strict=True):
            raw = ring.to_bytes(quantiser.quantise(update, dither_key=key))
            ring.add_into(total, ring.from_bytes(raw, size))
        return quantiser.dequantise(total) / num_sites

    def in_floats() -> NDArray[np.float64]:
        total = np.zeros(size, np.float32)
        for update in updates:
            total += np.frombuffer(update.tobytes(), np.float32)
        return total.astype(np.float64) / num_sites

    ring_s, float_s = _least(in_ring, in_floats, repeats=repeats)
    exact = np.mean([update.astype(np.float64) for update in updates], axis=0)
    return {
        "coordinates": size,
        "sites": num_sites,
        "ring_cpu_s": ring_s,
        "float_cpu_s": float_s,
        "ratio": ring_s / float_s,
        "ring_ns_per_coordinate_and_site": ring_s / size / num_sites * 1e9,
        "bytes_per_coordinate": 4,
        "largest_error_steps": float(np.abs(in_ring() - exact).max() * 2.0**clamp),
    }


def _least(*arms: Callable[[], object], repeats: int) -> list[float]:
    """The least CPU time of each arm."""
    best = [float("inf")] * len(arms)
    for _ in range(repeats):
        for index, arm in enumerate(arms):
            start = time.process_time()
            arm()
            best[index] = min(best[index], time.process_time() - start)
    return best
