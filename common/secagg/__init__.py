"""Secure aggregation: the ring, and later masks and shares. Pure state machines, no I/O."""
