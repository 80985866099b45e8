"""Runs inside one institution. Never imports ``server``."""
