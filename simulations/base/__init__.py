"""The tiny base model that ships with the simulations, and the script that trained it on public synthetic texts."""

from __future__ import annotations

from pathlib import Path


def embedded_base_dir() -> Path:
    """Return the folder of the shipped model; ``AutoModelForCausalLM.from_pretrained`` reads it without a network."""
    return Path(__file__).parent / "embedded"


__all__ = ["embedded_base_dir"]
