"""Corpora of any size and density, the same for the same seed.

A document has one or more templates about one patient, and between them lines without identifiers: real sentences
and decoys, as many as the density asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from random import Random  # noqa: TID251  # reproducible fiction

from fedward.simulations.scrub_corpus.gold import Sample
from fedward.simulations.scrub_corpus.scribe import Scribe
from fedward.simulations.scrub_corpus.slots_en import EnglishScribe
from fedward.simulations.scrub_corpus.slots_zh import ChineseScribe

FAMILIES = ("clinical", "bank", "admin", "dialogue", "records")
DENSE = 12.0
"""Identifiers a kB from which on a document holds little else."""
_DECOY_SHARE = 0.6
_KNOWN_TYPES = (("name", "PERSON"), ("phone", "PHONE"), ("id", "ID_CN"), ("ssn", "SSN"), ("card", "CARD"))


def sample(seed: int, number: int, language: str, *, hits_per_kb: float = 5.0) -> Sample:
    """One document.

    Args:
        seed: of the corpus.
        number: of the document; its patient is its own.
        language: ``zh`` or ``en``.
        hits_per_kb: identifiers in 1,000 bytes of UTF-8, about.
    """
    rng = Random(f"scrub-corpus:{seed}:{number}:{language}:{hits_per_kb:g}")  # noqa: S311  # fiction
    scribe: Scribe = ChineseScribe(rng) if language == "zh" else EnglishScribe(rng)
    family = rng.choice(FAMILIES)
    for part in range(rng.choice((1, 1, 2))):
        if part:
            scribe.draft.add("\n")
            scribe.forget_others()
        _pad(scribe, hits_per_kb, share=0.4)
        scribe.fill(scribe.pick(family, "documents"))
    _pad(scribe, hits_per_kb, share=1.0)
    return Sample(
        document_id=f"{language}-{seed}-{number}",
        patient_id=f"P-{seed}-{number}",
        kind=f"{language}.{family}",
        text=scribe.draft.text,
        gold=scribe.draft.gold(),
        known=_known(scribe),
    )


def corpus(seed: int, count: int, language: str, *, hits_per_kb: float = 5.0) -> list[Sample]:
    """``count`` documents."""
    return [sample(seed, number, language, hits_per_kb=hits_per_kb) for number in range(count)]


def corpus_of_bytes(seed: int, num_bytes: int, language: str, *, hits_per_kb: float) -> list[Sample]:
    """Documents of ``num_bytes`` of UTF-8 together, or a little more."""
    found, size = [], 0
    for one in _endless(seed, language, hits_per_kb):
        found.append(one)
        size += len(one.text.encode())
        if size >= num_bytes:
            break
    return found


def hits_per_kb_of(samples: Sequence[Sample]) -> float:
    """Gold identifiers in 1,000 bytes of UTF-8."""
    num_bytes = sum(len(one.text.encode()) for one in samples)
    return 1000 * sum(gold.type != "NEUTRAL" for one in samples for gold in one.gold) / max(num_bytes, 1)


def hard_negatives(language: str) -> list[str]:
    """Lines in which nothing is an identifier."""
    text = resources.files(__package__).joinpath(f"hard_negatives_{language}.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line]


def _endless(seed: int, language: str, hits_per_kb: float) -> Iterator[Sample]:
    number = 0
    while True:
        yield sample(seed, number, language, hits_per_kb=hits_per_kb)
        number += 1


def _pad(scribe: Scribe, hits_per_kb: float, *, share: float) -> None:
    """Write lines without identifiers until the text so far is no denser than asked, times ``share``."""
    if scribe.draft.num_hits == 0 and scribe.rng.random() < 0.5:
        return  # about half of the documents start with their first identifier
    if hits_per_kb < DENSE and not scribe.draft.text:
        _line(scribe)
    goal = share * 1000 * scribe.draft.num_hits / hits_per_kb
    while len(scribe.draft.text.encode()) < goal:
        _line(scribe)


def _line(scribe: Scribe) -> None:
    if scribe.draft.text and not scribe.draft.text.endswith("\n"):
        scribe.draft.add("\n" if scribe.rng.random() < 0.7 else " ")
    kind = "lines" if scribe.rng.random() < _DECOY_SHARE else "filler"
    scribe.fill(scribe.rng.choice(scribe.tables["decoys"][kind]))
    scribe.draft.add("\n" if scribe.rng.random() < 0.7 else " ")


def _known(scribe: Scribe) -> dict[str, tuple[str, ...]]:
    """What the patient's own columns hold."""
    patient = scribe.person("p")
    columns = {type_: getattr(patient, field, None) for field, type_ in _KNOWN_TYPES}
    known = {type_: (value,) for type_, value in columns.items() if isinstance(value, str)}
    if isinstance(phone := getattr(patient, "phone", None), tuple):
        known["PHONE"] = ("-".join(phone),)
    return {**known, "MRN": (patient.mrn,), "EMAIL": (patient.email,), "ADDRESS": (patient.address,)}
