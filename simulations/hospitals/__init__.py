"""Synthetic hospitals in Chinese and English for demos and tests: private notes, held-out notes, public texts."""

from fedward.simulations.hospitals.generate import Hospital, generate_hospitals, public_notes, write_site
from fedward.simulations.hospitals.notes import Note

__all__ = ["generate_hospitals", "Hospital", "Note", "public_notes", "write_site"]
