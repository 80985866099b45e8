"""Whole hospitals: who is treated where, what is held out, and the files of a site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fedward.common.atomic import write_atomically
from fedward.common.errors import ConfigError
from fedward.simulations.hospitals.grammar import expand
from fedward.simulations.hospitals.lexicon import Language, house_styles, public_rules, specialties
from fedward.simulations.hospitals.notes import House, Note, write_notes
from fedward.simulations.hospitals.patients import Registry
from fedward.simulations.hospitals.seeded import Random, stream

# A constant, not a clock: the same seed gives the same bytes in any year.
_TODAY = date(2026, 6, 30)
_DOCTORS_PER_SITE = 6
_ADULT_AGES, _CHILD_AGES = (20, 92), (3, 14)  # at the end; the first note is up to 800 days older


@dataclass(frozen=True, kw_only=True, slots=True)
class Hospital:
    """One synthetic institution."""

    site_id: str
    name: str
    language: Language
    specialty: str
    notes: tuple[Note, ...]
    """For training, patient by patient."""
    heldout: tuple[Note, ...]
    """Notes of other patients of the same hospital; none of them occurs in ``notes``."""


def generate_hospitals(
    *, seed: int, num_sites: int = 4, patients_per_site: int = 400, heldout_patients_per_site: int = 40
) -> tuple[Hospital, ...]:
    """Invent ``num_sites`` hospitals with their patients; the same arguments give the same bytes.

    Sites alternate between English and Chinese; twelve sites have twelve different pairs of specialty and language.
    Every site has its own seed: site k is the same in a federation of any size.

    Raises:
        ConfigError: a count below one (below zero for the held-out patients).
    """
    if min(num_sites, patients_per_site) < 1 or heldout_patients_per_site < 0:
        raise ConfigError("num_sites and patients_per_site must be at least 1, heldout_patients_per_site at least 0")
    return tuple(_hospital(seed, index, patients_per_site, heldout_patients_per_site) for index in range(num_sites))


def public_notes(*, seed: int, count: int) -> Iterator[Note]:
    """Yield health education, outpatient prose, lists and tables, by turns English and Chinese.

    They share diagnoses, clinical terms and the names of drugs with the hospitals' notes, but neither their layout and
    headings nor their tests. Given names and surnames occur one by one in lists; no person does.
    """
    rng = stream("public", seed)
    for number in range(count):
        language: Language = "en" if number % 2 == 0 else "zh"
        specialty = rng.choice(specialties(language))
        condition = rng.choice(specialty.conditions)
        rules = {**public_rules(language), **condition.public}
        yield Note(
            patient_id=f"public-{number:06d}",
            text=expand("{text}", rules, rng),
            label=condition.name,
            language=language,
            written_on=_TODAY.isoformat(),
        )


def write_site(hospital: Hospital, folder: Path) -> None:
    """Write ``train.jsonl`` and ``heldout.jsonl`` (UTF-8) into ``folder``; each appears whole or not at all.

    The columns are patient_id, text, label, language and date.
    """
    write_atomically(folder / "train.jsonl", _jsonl(hospital.notes))
    write_atomically(folder / "heldout.jsonl", _jsonl(hospital.heldout))


def _hospital(seed: int, index: int, num_patients: int, num_heldout: int) -> Hospital:
    language, house, registry, rng = _found(seed, index)
    ages = _CHILD_AGES if house.specialty.key == "paediatrics" else _ADULT_AGES

    def notes_of(count: int) -> tuple[Note, ...]:
        patients = (registry.admit(ages=ages, today=_TODAY) for _ in range(count))
        return tuple(note for patient in patients for note in write_notes(patient, house, today=_TODAY, rng=rng))

    # Held-out patients first: a bigger training set then leaves them as they are.
    heldout = notes_of(num_heldout)
    return Hospital(
        site_id=f"hospital-{index + 1:02d}",
        name=_title(index, house),
        language=language,
        specialty=house.specialty.key,
        notes=notes_of(num_patients),
        heldout=heldout,
    )


def _found(seed: int, index: int) -> tuple[Language, House, Registry, Random]:
    """Give hospital number ``index`` its language, house style, staff and registry."""
    rng = stream("hospital", seed, index)
    languages: tuple[Language, Language] = ("en", "zh")
    known = len(specialties("en"))
    language = languages[(index + index // known) % 2]
    styles = house_styles(language)
    registry = Registry(language=language, prefix=f"{chr(ord('A') + index % 26)}{index + 1:02d}", rng=rng)
    house = House(
        language=language,
        specialty=specialties(language)[index % known],
        style=styles[index // 2 % len(styles)],
        doctors=tuple(registry.doctor() for _ in range(_DOCTORS_PER_SITE)),
    )
    return language, house, registry, rng


def _title(index: int, house: House) -> str:
    if house.language == "en":
        return f"Fictional Hospital {index + 1}, {house.specialty.name}"
    return f"虚构第{index + 1}医院{house.specialty.name}"


def _jsonl(notes: Iterable[Note]) -> bytes:
    lines = (
        {
            "patient_id": note.patient_id,
            "text": note.text,
            "label": note.label,
            "language": note.language,
            "date": note.written_on,
        }
        for note in notes
    )
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()


__all__ = ["generate_hospitals", "Hospital", "public_notes", "write_site"]
