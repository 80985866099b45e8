import math

from fedward.simulations.benchmarks.sampler import SIGMAS_STEPS, measure


def test_every_arm_is_measured() -> None:
    figures = measure(size=1024, repeats=1)
    names = [*(f"sigma_{sigma}" for sigma in SIGMAS_STEPS), "float_normal", "keystream"]
    assert all(math.isfinite(figures[f"{name}_ns"]) for name in names)
    assert figures["samples"] == 1024
