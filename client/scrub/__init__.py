"""Desensitisation of whole files: formats, workers, quarantine, resuming, progress."""
