"""Secure aggregation: ring, keys, masks and shares; participant and coordinator as pure machines; the journal."""
