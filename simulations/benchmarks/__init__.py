"""Benchmarks: CPU time against a reference, side by side in one process. Never part of the test suite."""
