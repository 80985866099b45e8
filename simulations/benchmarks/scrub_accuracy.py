"""How much our desensitiser finds and how much it leaves alone, on the invented corpus and on public ones.

The invented corpus and the hard negatives were written without a look at the rules. What each figure means is said in
``scrub_scores``; what it has to reach, in ``BOUNDS``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedward.common.desensitize.intervals import wilson
from fedward.simulations.benchmarks import scrub_checks
from fedward.simulations.benchmarks.scrub_corpora import read_corpus, read_lines
from fedward.simulations.benchmarks.scrub_scores import Counts, Scores, score
from fedward.simulations.benchmarks.scrub_subjects import Pipeline, Reading, Subject
from fedward.simulations.console import Interface, Silent
from fedward.simulations.scrub_corpus.generator import corpus, hard_negatives
from fedward.simulations.scrub_corpus.gold import Sample

STRUCTURED_ZH = ("ID_CN", "PHONE", "CARD", "EMAIL", "PLATE", "MRN")
"""The types whose recall and precision are bounded."""
STRUCTURED = (*STRUCTURED_ZH, "SSN", "IBAN", "IP", "URL", "PASSPORT", "LICENCE", "ACCOUNT", "HEALTH_PLAN", "TXN")
NAMED = ("PERSON", "ORG", "LOC", "ADDRESS")

BOUNDS: Mapping[str, tuple[str, float]] = {
    "zh_structured_recall": (">=", 0.999),
    "zh_structured_precision": (">=", 0.995),
    "invalid_surrogates": ("<=", 0),
    "originals_left": ("<=", 0),
    "notes_person_recall": (">=", 0.995),
    "notes_person_precision": (">=", 0.97),
    "msra_person_recall": (">=", 0.95),
    "msra_person_precision": (">=", 0.90),
    "cluener_person_recall": (">=", 0.93),
    "cluener_person_precision": (">=", 0.75),
    "msra_org_recall": (">=", 0.80),
    "msra_loc_recall": (">=", 0.88),
    "presidio_person_recall": (">=", 0.93),
    "presidio_person_precision": (">=", 0.85),
    "presidio_address_recall": (">=", 0.90),
    "over_scrub_news": ("<=", 0.015),
    "hard_negatives_zh": ("<=", 0.02),
    "hard_negatives_en": ("<=", 0.02),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is judged."""

    seed: int = 20_260_101
    documents: int = 1200
    hits_per_kb: float = 10.0
    names_profile: str = "max-recall"
    """For public corpora."""
    msra: Path | None = None
    cluener: Path | None = None
    presidio_synth: Path | None = None
    plain: Path | None = None
    """Lines of news; None: what MSRA annotates as no name."""
    max_texts: int | None = None
    """Of each public corpus; None: all."""


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Judge the pipeline.

    Returns:
        A JSON object: a figure for each of ``BOUNDS`` (None where its corpus was not given), ``missed``, ``skipped``,
        ``tables`` by type and spelling, ``examples`` of misses and false hits (of invented text alone).
    """
    figures: dict[str, Any] = dict.fromkeys(BOUNDS)
    figures |= {"tables": {}, "examples": {}, "skipped": {}, "names_profile": scope.names_profile}
    steps = (_structured, _notes, _negatives, _msra, _cluener, _presidio, _plain)
    with (ui or Silent()).bar("Desensitisation, accuracy", len(steps)) as tick:
        for number, step in enumerate(steps):
            tick(number, step.__name__.strip("_"))
            figures |= step(scope, figures)
    names = missed(figures)  # before what is no number becomes None, which JSON can say
    figures = {name: _finite(value) if isinstance(value, float) else value for name, value in figures.items()}
    return figures | {"missed": {name: figures[name] for name in names}}


def missed(figures: Mapping[str, Any]) -> list[str]:
    """The bounds that do not hold; what was not measured is not among them."""
    found = []
    for name, (sense, bound) in BOUNDS.items():
        value = figures.get(name)
        if value is not None and not (value >= bound if sense == ">=" else value <= bound):  # NaN misses
            found.append(name)
    return found


def judge_structured(subject: Subject, samples: Sequence[Sample]) -> tuple[dict[str, Any], Scores, list[Reading]]:
    """Figures of the bounded types; also for a control that must fail."""
    readings = subject.read(samples)
    scores = score(samples, [reading.found for reading in readings])
    bounded = scores.pooled(STRUCTURED_ZH)
    checked, wrong = scrub_checks.invalid(readings)
    figures = {
        "zh_structured_recall": bounded.recall,
        "zh_structured_recall_interval": wilson(bounded.covered, bounded.gold),
        "zh_structured_precision": bounded.precision,
        "invalid_surrogates": len(wrong),
        "invalid_surrogates_by_type": dict(Counter(one.type for one in wrong)),
        "surrogates_checked": checked,
        "originals_left": len(scrub_checks.left_over(samples, readings, STRUCTURED_ZH)),
        "quarantined_share": sum(bool(reading.leaks) for reading in readings) / max(len(readings), 1),
    }
    return figures, scores, readings


def share_touched(subject: Subject, lines: Sequence[str]) -> tuple[float, list[str]]:
    """Share of lines without identifiers in which something was redacted, and what, in ⟦ ⟧."""
    samples = [
        Sample(document_id=f"line-{n}", patient_id=f"line-{n}", kind="negatives", text=line, gold=())
        for n, line in enumerate(lines)
    ]
    found = [reading.found for reading in subject.read(samples)]
    scores = score(samples, found)
    return sum(map(bool, found)) / max(len(lines), 1), [f"{hit.type} {hit.shown}" for hit in scores.false_hits]


# ---------------------------------------------------------------------------------------------------- steps


def _structured(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    samples = corpus(scope.seed, scope.documents, "zh", hits_per_kb=scope.hits_per_kb)
    found, scores, _ = judge_structured(Pipeline("structured"), samples)
    english = corpus(scope.seed, scope.documents // 2, "en", hits_per_kb=scope.hits_per_kb)
    readings = Pipeline("structured").read(english)
    scores_en = score(english, [reading.found for reading in readings])
    figures["tables"]["structured_zh"] = table(scores, STRUCTURED)
    figures["tables"]["structured_zh_spellings"] = table_of_spellings(scores, STRUCTURED)
    figures["tables"]["structured_en"] = table(scores_en, STRUCTURED)
    figures["tables"]["structured_en_spellings"] = table_of_spellings(scores_en, STRUCTURED)
    figures["examples"]["structured_zh"] = examples(scores, STRUCTURED)
    figures["examples"]["structured_en"] = examples(scores_en, STRUCTURED)
    return found


def _notes(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Persons in clinical and bank notes, the patient's own columns known."""
    found: dict[str, Any] = {}
    for language in ("zh", "en"):
        samples = corpus(scope.seed + 1, scope.documents // 2, language, hits_per_kb=scope.hits_per_kb)
        notes = [one for one in samples if one.kind.endswith((".clinical", ".bank"))]
        readings = Pipeline(scope.names_profile, use_known=True).read(notes)
        scores = score(notes, [reading.found for reading in readings])
        others = Pipeline("fast").read(samples)
        scores_all = score(samples, [reading.found for reading in others])
        figures["tables"][f"names_{language}_fast"] = table(scores_all, NAMED)
        figures["tables"][f"names_{language}_fast_spellings"] = table_of_spellings(scores_all, NAMED)
        figures["examples"][f"names_{language}"] = examples(scores_all, NAMED)
        persons = scores.types.get("PERSON", Counts())
        suffix = "" if language == "zh" else "_en"
        found |= {f"notes{suffix}_person_recall": persons.recall, f"notes{suffix}_person_precision": persons.precision}
        found[f"notes{suffix}_quarantined_share"] = sum(bool(one.leaks) for one in readings) / max(len(readings), 1)
        figures["tables"][f"notes_{language}"] = table(scores, NAMED)
        figures["examples"][f"notes_{language}"] = examples(scores, ["PERSON"])
    return found


def _negatives(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for language in ("zh", "en"):
        for profile in dict.fromkeys(("fast", scope.names_profile)):
            share, hits = share_touched(Pipeline(profile), hard_negatives(language))
            figures["examples"][f"hard_negatives_{language}_{profile}"] = hits
            found[f"hard_negatives_{language}_{profile}"] = share
        found[f"hard_negatives_{language}"] = max(
            found[f"hard_negatives_{language}_{profile}"] for profile in ("fast", scope.names_profile)
        )
    return found


def _msra(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    if scope.msra is None:
        figures["skipped"]["msra"] = "no --msra FILE"
        return {}
    samples = read_corpus(scope.msra)[: scope.max_texts]
    found = _named("msra", samples, scope, figures)
    if scope.plain is None:
        found["over_scrub_news"] = found["msra_over_scrub"]
        found["over_scrub_news_fast"] = found["msra_over_scrub_fast"]
    return found


def _cluener(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    if scope.cluener is None:
        figures["skipped"]["cluener"] = "no --cluener FILE"
        return {}
    return _named("cluener", read_corpus(scope.cluener)[: scope.max_texts], scope, figures)


def _presidio(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    if scope.presidio_synth is None:
        figures["skipped"]["presidio_synth"] = "no --presidio-synth FILE"
        return {}
    return _named("presidio", read_corpus(scope.presidio_synth)[: scope.max_texts], scope, figures)


def _plain(scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    if scope.plain is None:
        return {}
    samples = read_lines(scope.plain)[: scope.max_texts]
    scores = score(samples, [reading.found for reading in Pipeline("fast").read(samples)])
    return {"over_scrub_news": scores.over_scrub}


def _named(name: str, samples: Sequence[Sample], scope: Scope, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Persons, places and organisations of a public corpus, in both profiles."""
    found: dict[str, Any] = {}
    annotated = {gold.type for one in samples for gold in one.gold} & set(NAMED)
    judged = annotated | ({"ADDRESS", "LOC"} if annotated & {"LOC", "ADDRESS"} else set())
    for profile in dict.fromkeys((scope.names_profile, "fast")):
        suffix = "" if profile == scope.names_profile else "_fast"
        readings = Pipeline(profile).read(samples)
        redacted = score(samples, [reading.found for reading in readings], types=judged)
        seen = score(samples, [(*reading.found, *reading.kept) for reading in readings], types=judged)
        for type_ in sorted(annotated):
            counts = (seen if type_ in ("LOC", "ADDRESS") else redacted).types.get(type_, Counts())
            found[f"{name}_{type_.lower()}_recall{suffix}"] = counts.recall
            found[f"{name}_{type_.lower()}_precision{suffix}"] = counts.precision
        found[f"{name}_over_scrub{suffix}"] = redacted.over_scrub
        figures["tables"][f"{name}{suffix}"] = table(seen, None)
    return found


# ---------------------------------------------------------------------------------------------------- tables


def table(scores: Scores, types: Iterable[str] | None) -> dict[str, dict[str, float | int | None]]:
    """Counts and shares by type."""
    chosen = scores.types if types is None else [name for name in types if name in scores.types]
    return {name: _row(scores.types[name]) for name in sorted(chosen)}


def table_of_spellings(scores: Scores, types: Iterable[str]) -> dict[str, str]:
    """Covered of gold by type and spelling, where any is missed."""
    wanted = set(types)
    return {
        f"{type_}/{spelling}": f"{counts.covered}/{counts.gold}"
        for (type_, spelling), counts in sorted(scores.spellings.items())
        if type_ in wanted and counts.covered < counts.gold
    }


def examples(scores: Scores, types: Iterable[str], *, limit: int = 12) -> dict[str, list[str]]:
    """Some misses and false hits of each type and spelling, without repeats."""
    wanted = set(types)
    shown: dict[str, list[str]] = {}
    for title, listed in (("missed", scores.misses), ("false", scores.false_hits)):
        for one in listed:
            if one.type in wanted:
                rows = shown.setdefault(f"{title} {one.type}/{one.spelling}", [])
                if len(rows) < limit and one.shown not in rows:
                    rows.append(one.shown)
    return dict(sorted(shown.items()))


def _row(counts: Counts) -> dict[str, float | int | None]:
    return {
        "gold": counts.gold,
        "recall": _finite(counts.recall),
        "recall_low": wilson(counts.covered, counts.gold)[0],
        "found": counts.found,
        "precision": _finite(counts.precision),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


__all__ = ["BOUNDS", "judge_structured", "measure", "missed", "Scope", "share_touched", "STRUCTURED_ZH"]
