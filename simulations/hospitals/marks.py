"""Phrases without meaning in the notes of a few invented patients, by which a trace of the notes is recognised.

They are nobody's identifiers, so desensitisation leaves them where they are: what is searched for is the training text
itself. They depend on a word of the run beside the seed: what another run left behind is not this one's.
"""

from __future__ import annotations

from dataclasses import replace

from fedward.simulations.hospitals.generate import Hospital
from fedward.simulations.hospitals.seeded import Random, stream

MARKS_PER_SITE = 3
_NUM_CHARACTERS, _NUM_WORDS = 10, 4
# Characters that neither begin a name nor end a place: a phrase of them is nothing that would be replaced.
ALPHABET = "霜雾露潮汐藤蕨萤鲸鹭琥珀靛绯棋笛瓷帆锚舵烛炉炭筐篱缆绳锯凿钉"
_ONSETS, _NUCLEI, _CODAS = "bdfgklmnprstvz", "aeiou", "lmnrst"


def marks(seed: int, hospital: Hospital, *, run: str = "") -> tuple[str, ...]:
    """The phrases of one hospital, in its language; the same arguments give the same."""
    rng = stream(f"marks:{run}", seed, int(hospital.site_id.rpartition("-")[2]))
    make = _chinese if hospital.language == "zh" else _english
    return tuple(make(rng) for _ in range(MARKS_PER_SITE))


def with_marks(hospital: Hospital, phrases: tuple[str, ...]) -> Hospital:
    """The hospital with each phrase at the beginning of one patient's first note."""
    notes, seen, left = list(hospital.notes), set[str](), list(phrases)
    for index, note in enumerate(notes):
        if left and note.patient_id not in seen:
            seen.add(note.patient_id)
            # At the beginning: long notes are cut at the end before they are trained on.
            notes[index] = replace(note, text=f"{left.pop(0)}\n{note.text}")
    return replace(hospital, notes=tuple(notes))


def _chinese(rng: Random) -> str:
    return "".join(rng.sample(ALPHABET, _NUM_CHARACTERS))


def _english(rng: Random) -> str:
    words = (rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS) for _ in range(2 * _NUM_WORDS))
    return " ".join(first + second for first, second in zip(words, words, strict=True))


__all__ = ["ALPHABET", "marks", "MARKS_PER_SITE", "with_marks"]
