"""The private notes of one patient, written in the house style of one hospital."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from fedward.simulations.hospitals.grammar import Rules, expand
from fedward.simulations.hospitals.lexicon import Language, Specialty
from fedward.simulations.hospitals.patients import Patient
from fedward.simulations.hospitals.seeded import Random

MAX_NOTES_PER_PATIENT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One note as a hospital (or, for the base model, a publisher) keeps it."""

    patient_id: str
    text: str
    label: str
    """Name of the diagnosis, in the language of the note."""
    language: Language
    written_on: str
    """ISO date."""


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """What the notes of one hospital have in common."""

    language: Language
    specialty: Specialty
    style: Rules
    """Rules of the layout; a note starts at the rule ``note``."""
    doctors: tuple[str, ...]


def write_notes(patient: Patient, house: House, *, today: date, rng: Random) -> Iterator[Note]:
    """Yield one to twenty notes of ``patient`` in the order of their dates, the last at most 40 days before ``today``.

    A patient keeps name, numbers, doctor and diagnosis; one in six has a second diagnosis. The number of notes is
    log-normal: half of the patients have three or fewer, few have more than ten.
    """
    count = min(MAX_NOTES_PER_PATIENT, max(1, round(math.exp(rng.gauss(1.2, 0.75)))))
    conditions = rng.sample(house.specialty.conditions, 2)
    doctor = rng.choice(house.doctors)
    written_on = today - timedelta(days=40 * count)
    for _ in range(count):
        condition = conditions[1] if rng.random() < 1 / 6 else conditions[0]
        written_on += timedelta(days=rng.randint(1, 40))
        rules = {**house.style, **condition.private, **_facts(patient, house, written_on, doctor, rng)}
        yield Note(
            patient_id=patient.patient_id,
            text=expand("{note}", rules, rng),
            label=condition.name,
            language=house.language,
            written_on=written_on.isoformat(),
        )


def _facts(patient: Patient, house: House, written_on: date, doctor: str, rng: Random) -> Rules:
    """Return, as rules with one alternative, what is known about the patient and this visit."""
    is_english = house.language == "en"
    male, female = ("M", "F") if is_english else ("男", "女")
    return {
        "name": (patient.name,),
        "mrn": (patient.patient_id,),
        "sex": (male if patient.is_male else female,),
        "birth": (_spell(patient.birth_date, house),),
        "age": (str(_age(patient.birth_date, written_on)),),
        "phone": (patient.phone,),
        "email": (patient.email,),
        "address": (patient.address,),
        "card": (patient.card,),
        "resident_id": (patient.resident_id,),
        "doctor": (doctor,),
        "date": (_spell(written_on, house),),
        "date_next": (_spell(written_on + timedelta(days=7 * rng.randint(1, 8)), house),),
        "test": house.specialty.tests,
    }


def _age(birth_date: date, day: date) -> int:
    had_birthday = (day.month, day.day) >= (birth_date.month, birth_date.day)
    return day.year - birth_date.year - (not had_birthday)


def _spell(day: date, house: House) -> str:
    return f"{day:%m/%d/%Y}" if house.language == "en" else f"{day.year}年{day.month}月{day.day}日"


__all__ = ["House", "MAX_NOTES_PER_PATIENT", "Note", "write_notes"]
