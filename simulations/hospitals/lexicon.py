"""The vocabulary of the specialties, read once from ``specialties.toml``, and the two grammars beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain
from typing import Any, Literal

from fedward.simulations.hospitals.grammar import Rules

Language = Literal["zh", "en"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One diagnosis of a specialty in one language; every field is a tuple of alternatives."""

    name: str
    private: Rules
    """Rules ``complaint``, ``finding``, ``drug`` (with dose and frequency), ``plan``, ``condition``."""
    public: Rules
    """Rules ``lay``, ``sign``, ``tip``, ``term``, ``drug`` (the name alone), ``condition``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Specialty:
    """One specialty in one language."""

    key: str
    name: str
    tests: tuple[str, ...]
    conditions: tuple[Condition, ...]


@cache
def specialties(language: Language) -> tuple[Specialty, ...]:
    """Return all specialties, in the order of the file."""
    side = 0 if language == "en" else 1
    return tuple(_specialty(key, entry, side) for key, entry in _load("specialties.toml").items())


@cache
def house_styles(language: Language) -> tuple[Rules, ...]:
    """Return the rule sets of the house styles of private notes; each starts at the rule ``note``."""
    grammar = _load("notes.toml")[language]
    return tuple({**grammar["shared"], **style} for style in grammar["styles"])


@cache
def public_rules(language: Language) -> Rules:
    """Return the rules of the public texts; they start at ``text``; ``any`` is a term of any condition."""
    terms = [condition.public["term"] for specialty in specialties(language) for condition in specialty.conditions]
    return {**_load("public.toml")[language], "any": tuple(chain.from_iterable(terms))}


@cache
def _load(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


def _specialty(key: str, entry: dict[str, Any], side: int) -> Specialty:
    return Specialty(
        key=key,
        name=entry["name"][side],
        tests=tuple(f"{test[side]} {test[2]}" for test in entry["tests"]),
        conditions=tuple(_condition(condition, side) for condition in entry["conditions"]),
    )


def _condition(entry: dict[str, Any], side: int) -> Condition:
    def column(field: str) -> tuple[str, ...]:
        return tuple(row[side] for row in entry[field])

    name = entry["name"][side]
    return Condition(
        name=name,
        private={
            "condition": (name,),
            "complaint": column("complaints"),
            "finding": column("findings"),
            "plan": column("plans"),
            **_prescriptions(entry["drugs"], side),
        },
        public={
            "condition": (name,),
            "lay": (entry["lay"][side],),
            "sign": column("signs"),
            "tip": column("advice"),
            "drug": column("drugs"),
            "term": tuple(
                text for field in ("complaints", "findings", "plans") for text in column(field) if "{" not in text
            ),
        },
    )


def _prescriptions(drugs: list[list[str]], side: int) -> dict[str, tuple[str, ...]]:
    """Return rule ``drug``, which picks a drug, and one rule per drug, which picks its dose and frequency."""
    rules = {f"drug {number}": _spellings(drug, side) for number, drug in enumerate(drugs)}
    return {"drug": tuple(f"{{{rule}}}" for rule in rules), **rules}


def _spellings(drug: list[str], side: int) -> tuple[str, ...]:
    doses, _, unit = drug[2].partition(" ")
    return tuple(
        f"{drug[side]} {dose}{unit} {frequency}" for dose in doses.split("|") for frequency in drug[3].split("|")
    )


__all__ = ["Condition", "house_styles", "Language", "public_rules", "specialties", "Specialty"]
