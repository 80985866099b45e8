"""Looks at a sample of a site's data and drafts a policy for a person to sign.

Invariants: a seeded sample of at most 10,000 rows, so the same data and key give the same draft; what comes out are
counts, shares and reasons, no value; nothing is decided here: a draft is text until somebody signs it. Not handled
here: reading files, and running the detectors over the canaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedward.common.desensitize.anonymity import KAnonymity, k_anonymity
from fedward.common.desensitize.canaries import CanaryRow, Injected, estimate
from fedward.common.desensitize.column_guess import ColumnGuess, character_classes, guess_column
from fedward.common.desensitize.columns import quasi_columns
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy, DesensitizePolicy
from fedward.common.desensitize.policy_toml import to_toml
from fedward.common.desensitize.spans import EntityType, Span

MAX_SAMPLE = 10_000
_MAX_COLUMNS = 4096
LEVELS = (1, 2, 3)
"""The least levels that a type may be given; 4 and 5 would leave all that has no label or is not known."""
Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnProfile:
    """One column, in counts."""

    name: str
    num_rows: int
    fill_rate: float
    num_distinct: int
    distinct_share: float
    """Of the filled ones."""
    lengths: tuple[int, int, int]
    """Least, median and greatest, in characters."""
    character_classes: Mapping[str, float]
    valid: Mapping[EntityType, float]
    """Share of the filled values that are valid as each type."""
    guess: ColumnGuess


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelProposal:
    """The least level proposed for a type."""

    type: EntityType
    level: int
    recall: CanaryRow
    over_scrub: float
    """Share of the characters outside the canaries that this type would change at this level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyDraft:
    """A policy that nobody has signed yet."""

    policy: DesensitizePolicy
    toml: str = field(repr=False)
    columns: tuple[ColumnProfile, ...]
    levels: tuple[LevelProposal, ...]
    anonymity: KAnonymity | None


def sample_rows(rows: Iterable[Row], keys: ScrubKeys, limit: int = MAX_SAMPLE) -> list[Row]:
    """Rows that all had the same chance (reservoir sampling, Vitter's algorithm R), in the order they came."""
    draw = KeyedStream.of(keys, "profile", "ROWS")
    kept: list[tuple[int, Row]] = []
    for index, row in enumerate(rows):
        if index < limit:
            kept.append((index, row))
        elif (place := draw.below(index + 1)) < limit:
            kept[place] = (index, row)
    return [row for _, row in sorted(kept, key=lambda item: item[0])]


def profile_columns(rows: Sequence[Row]) -> tuple[ColumnProfile, ...]:
    """Profile every column that occurs in ``rows``, in the order they first do.

    Args:
        rows: a sample, see ``sample_rows``; a value that is neither text nor a number is read as ``str`` writes it.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))[:_MAX_COLUMNS]
    return tuple(_profile(name, [row.get(name) for row in rows]) for name in names)


def _profile(name: str, values: Sequence[object]) -> ColumnProfile:
    filled = [text for value in values if (text := "" if value is None else str(value).strip())]
    lengths = sorted(map(len, filled)) or [0]
    found, valid = guess_column(name, filled)
    distinct = len(set(filled))
    return ColumnProfile(
        name=name, num_rows=len(values), fill_rate=len(filled) / len(values) if values else 0.0,
        num_distinct=distinct, distinct_share=distinct / len(filled) if filled else 0.0,
        lengths=(lengths[0], lengths[len(lengths) // 2], lengths[-1]),
        character_classes=character_classes(filled), valid=valid, guess=found,
    )  # fmt: skip


def propose_levels(
    injected: Sequence[Injected], found: Sequence[Sequence[Span]], policy: DesensitizePolicy
) -> tuple[LevelProposal, ...]:
    """The least level for each type of the canaries.

    Of the levels whose recall meets the target with its lower end, the one that changes least; of equals the lower
    one, which is safer. Where none meets it, level 1.

    Args:
        injected: the site's texts with canaries.
        found: for each, what the detectors find at level 1 and above.
        policy: the levels of the other types, and the targets.
    """
    types = sorted({planted.type for item in injected for planted in item.planted})
    return tuple(_proposal(type_, injected, found, policy) for type_ in types)


def _proposal(
    type_: EntityType, injected: Sequence[Injected], found: Sequence[Sequence[Span]], policy: DesensitizePolicy
) -> LevelProposal:
    options = []
    for level in LEVELS:
        spans = [
            [s for s in some if s.level >= (level if s.type is type_ else policy.level_of(s.type))] for some in found
        ]
        row = next(row for row in estimate(injected, spans, policy.canaries).rows if row.type is type_)
        options.append(
            LevelProposal(type=type_, level=level, recall=row, over_scrub=_over_scrub(type_, injected, spans))
        )
    good = [option for option in options if option.recall.meets_target]
    return min(good, key=lambda option: (option.over_scrub, option.level)) if good else options[0]


def _over_scrub(type_: EntityType, injected: Sequence[Injected], spans: Sequence[Sequence[Span]]) -> float:
    changed = total = 0
    for item, some in zip(injected, spans, strict=True):
        outside = bytearray(b"\1") * len(item.text)
        for planted in item.planted:
            outside[planted.start : planted.end] = bytes(planted.end - planted.start)
        total += sum(outside)
        for span in some:
            if span.type is type_:
                changed += sum(outside[span.start : span.end])
                outside[span.start : span.end] = bytes(span.end - span.start)
    return changed / total if total else 0.0


def draft_policy(
    rows: Sequence[Row], base: DesensitizePolicy | None = None, levels: Sequence[LevelProposal] = ()
) -> PolicyDraft:
    """A policy for ``rows``, as TOML with a reason for everything that differs from ``base``.

    Args:
        rows: a sample; without any, only ``levels`` are drafted.
        base: what stays of it are all settings but columns and levels.
        levels: from ``propose_levels``.
    """
    start = base or DesensitizePolicy()
    columns = profile_columns(rows)
    changes: dict[str, Any] = {
        "columns": {
            column.name: ColumnPolicy(kind=column.guess.kind, action=column.guess.action, type=column.guess.type)
            for column in columns
        },
        "levels": {**start.levels, **{p.type: p.level for p in levels if p.level != start.level_of(p.type)}},
    }
    policy = start.model_copy(update=changes)
    quasi = quasi_columns(policy)
    anonymity = k_anonymity(rows, quasi) if rows and quasi else None
    return PolicyDraft(
        policy=policy, toml=to_toml(policy, _comments(columns, levels), _head(levels, anonymity)),
        columns=columns, levels=tuple(levels), anonymity=anonymity,
    )  # fmt: skip


def _comments(columns: Sequence[ColumnProfile], levels: Sequence[LevelProposal]) -> dict[str, str]:
    notes = {f"columns.{column.name}": _column_note(column) for column in columns}
    for proposal in levels:
        row = proposal.recall
        notes[f"levels.{proposal.type.value}"] = (
            f"canary recall {row.recall:.4f}, 95 % from {row.low:.4f} to {row.high:.4f} (optimistic), "
            f"target {row.target:g}; changes {proposal.over_scrub:.4%} of the other characters"
        )
    return notes


def _column_note(column: ColumnProfile) -> str:
    text = f"{column.guess.reason}; filled {column.fill_rate:.0%}, distinct {column.distinct_share:.0%}"
    if column.guess.kind is ColumnClass.QUASI and column.guess.action is Action.KEEP:
        text += "; kept and counted (k-anonymity)"
    return text


def _head(levels: Sequence[LevelProposal], anonymity: KAnonymity | None) -> list[str]:
    lines = ["A draft: it holds from the moment somebody responsible has read and signed it.", ""]
    missed = [proposal.type.value for proposal in levels if not proposal.recall.meets_target]
    if missed:
        lines += [f"At no level do the canaries meet the target: {', '.join(missed)}.", ""]
    if anonymity is not None:
        lines.append(
            f"Quasi-identifiers as they are now: {anonymity.num_classes} classes in {anonymity.num_rows} rows, "
            f"k_min {anonymity.k_min}, {anonymity.share_below:.1%} of the rows in classes below 5."
        )
        lines += [
            f"  {', '.join(s.columns)}: {s.how}: k_min {s.k_min}, {s.share_below:.1%} below 5"
            for s in anonymity.suggestions[:5]
        ]
    return lines


__all__ = [
    "ColumnProfile",
    "draft_policy",
    "LevelProposal",
    "LEVELS",
    "MAX_SAMPLE",
    "PolicyDraft",
    "profile_columns",
    "propose_levels",
    "sample_rows",
]
