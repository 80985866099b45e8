"""Utility and privacy measurements of an adapter."""
