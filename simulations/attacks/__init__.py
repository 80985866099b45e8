"""Hostile servers and lying sites against the real participant and coordinator."""
