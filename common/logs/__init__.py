"""Structured, sanitised, sealed logs. See docs/logs.md."""
