"""Simulations on one machine: runtimes, synthetic hospitals, the embedded base, recipes, benchmarks."""
