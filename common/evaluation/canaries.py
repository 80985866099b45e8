"""Coins, the sheet that a site commits to before round 1, and what its opening must hold.

Invariants: the seed is the whole list, for coins and texts follow from it; a commitment is made before the first
round and opened after the last; one canonical spelling of a sheet exists, and only that opens. Coins move no public
constant of training. Not handled here: texts (``canary_texts``), when a sheet may be opened, and the ledger.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from fedward.common import _validate
from fedward.common.errors import CommitmentError, ConfigError, IdentityError, PrivacyError
from fedward.common.evaluation.audit import ALPHA, DELTA, FRACTIONS
from fedward.common.identity import check_site_id
from fedward.common.privacy import _strict_json

SCHEMA = "fedward.coins/1"
GENERATOR = "fedward.canaries/1"
"""Of the texts: another generator is another name, so that an old seed still gives the old texts."""
SEED_BYTES = 32
SALT_BYTES = 32
DIGEST_BYTES = 32
MAX_CANARIES_PER_GROUP = 5_000
MAX_SHEET_BYTES = 1 << 16
CANARY_SHARE_MAX = 0.05
X6_RECORDS = 6
_COIN_LABEL = b"fedward/coin/1"
_COMMITMENT_LABEL = b"fedward/coins/1"
_RECORDS_LABEL = b"fedward/record-coins/1"


class Group(StrEnum):
    """What a probe is, and whether a coin decides about it."""

    RECORDS = "records"
    HELDOUT = "heldout"
    TOKEN = "token"  # noqa: S105 - a group of canaries
    TOKEN_RESERVE = "token_reserve"  # noqa: S105
    SECRET = "secret"  # noqa: S105
    SECRET_X6 = "secret_x6"  # noqa: S105
    TWINS = "twins"
    CONTROL = "control"

    @property
    def has_coin(self) -> bool:
        """Whether a fair coin decides about each of its units; the others are never in the audited run."""
        return self in (Group.RECORDS, Group.TOKEN, Group.SECRET, Group.SECRET_X6, Group.CONTROL)

    @property
    def is_in_training(self) -> bool:
        """Whether a coin that comes up "in" puts its unit into the audited run; control canaries enter the shadow."""
        return self.has_coin and self is not Group.CONTROL


SHEET_GROUPS = (Group.TOKEN, Group.TOKEN_RESERVE, Group.SECRET, Group.SECRET_X6, Group.TWINS, Group.CONTROL)
"""What a canary sheet counts; records and held-out units depend on people and have a sheet of their own."""


def coin(seed: bytes, group: str, index: int) -> bool:
    """The fair coin of unit ``index``: the lowest bit of the first byte of an HMAC-SHA256 under the seed.

    Raises:
        ConfigError: the seed is not 32 bytes, or the index not in [0, 2**32).
    """
    if len(seed) != SEED_BYTES:
        raise ConfigError(f"a coin seed has {SEED_BYTES} bytes, not {len(seed)}")
    if not 0 <= index < 1 << 32:
        raise ConfigError(f"index = {index}: expected 0 to 2**32 - 1")
    message = b"\0".join((_COIN_LABEL, group.encode(), index.to_bytes(4, "big")))
    return bool(hmac.digest(seed, message, hashlib.sha256)[0] & 1)


def coins(seed: bytes, group: Group, count: int) -> tuple[bool, ...]:
    """The first ``count`` coins of a group; all false for a group that is never in."""
    return tuple(group.has_coin and coin(seed, group, index) for index in range(count))


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What is fixed before training, so that nobody can choose it by its result.

    Args:
        scores: per group the names of all scores.
        headline: per group the one that is judged first.
        fractions: of guesses, each in (0, 0.5].
        delta: of the audit.
        alpha: allowed error of the bound.
    """

    scores: Mapping[str, tuple[str, ...]]
    headline: Mapping[str, str]
    fractions: tuple[float, ...] = FRACTIONS
    delta: float = DELTA
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if self.scores.keys() != self.headline.keys() or not self.scores:
            raise ConfigError("each registered group needs its scores and one headline score")
        for group, names in self.scores.items():
            if self.headline[group] not in names or len(set(names)) != len(names):
                raise ConfigError(f"{group}: the headline score must be one of the registered ones, each named once")
        if not self.fractions or any(not 0 < fraction <= 0.5 for fraction in self.fractions):
            raise ConfigError("fractions: expected one or more numbers above 0 and at most 0.5")
        if not (0 < self.delta < 1 and 0 < self.alpha <= 0.2):
            raise ConfigError("delta must lie in (0, 1) and alpha in (0, 0.2]")

    def document(self) -> dict[str, Any]:
        """As JSON without floats: reals are the shortest decimal text that gives them again."""
        return {
            "scores": {group: list(names) for group, names in self.scores.items()},
            "headline": dict(self.headline),
            "fractions": [repr(fraction) for fraction in self.fractions],
            "delta": repr(self.delta),
            "alpha": repr(self.alpha),
        }


DEFAULT_REGISTRATION = Registration(
    scores={
        "records": ("loss", "zlib", "mink", "minkpp", "base_ref", "shadow_ref"),
        "token": ("loss", "zlib", "mink", "minkpp", "base_ref"),
        "secret": ("slot", "loss", "base_ref"),
        "secret_x6": ("slot", "loss", "base_ref"),
    },
    headline={"records": "shadow_ref", "token": "loss", "secret": "slot", "secret_x6": "slot"},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CanarySheet:
    """A site's canaries, whole: the seed gives coins and texts.

    Args:
        run_id: of the run.
        site_id: whose sheet it is.
        plan_digest: 32 bytes.
        token_list_digest: 32 bytes; which tokens token canaries are drawn from.
        seed: 32 bytes of the operating system's CSPRNG; secret until it is opened.
        counts: canaries by group, at most 5000 each.
        registered: what was fixed before training.
        generator: of the texts.
    """

    run_id: bytes
    site_id: str
    plan_digest: bytes
    token_list_digest: bytes
    seed: bytes = field(repr=False)
    counts: Mapping[Group, int]
    registered: Registration = DEFAULT_REGISTRATION
    generator: str = GENERATOR

    def __post_init__(self) -> None:
        check_site_id(self.site_id)
        if not 1 <= len(self.run_id) <= DIGEST_BYTES:
            raise ConfigError(f"run_id: expected 1 to {DIGEST_BYTES} bytes")
        if len(self.seed) != SEED_BYTES:
            raise ConfigError(f"a coin seed has {SEED_BYTES} bytes, not {len(self.seed)}")
        if {len(self.plan_digest), len(self.token_list_digest)} != {DIGEST_BYTES}:
            raise ConfigError(f"digests of plan and token list have {DIGEST_BYTES} bytes each")
        if self.generator != GENERATOR:
            raise ConfigError(f"this version makes the texts of {GENERATOR} only")
        for group, count in self.counts.items():
            if group not in SHEET_GROUPS or not 0 <= count <= MAX_CANARIES_PER_GROUP:
                raise ConfigError(f"{group}: expected a canary group and 0 to {MAX_CANARIES_PER_GROUP} canaries")

    def to_bytes(self) -> bytes:
        """The canonical bytes: JSON with sorted keys, without blanks, without floats."""
        document = {
            "schema": SCHEMA,
            "generator": self.generator,
            "run_id": self.run_id.hex(),
            "site_id": self.site_id,
            "plan_digest": self.plan_digest.hex(),
            "token_list_digest": self.token_list_digest.hex(),
            "seed": self.seed.hex(),
            "counts": {group.value: self.counts.get(group, 0) for group in SHEET_GROUPS},
            "registered": self.registered.document(),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    def commitment(self, salt: bytes) -> bytes:
        """32 bytes that bind the site to the sheet and tell nothing of it."""
        return _commitment(_COMMITMENT_LABEL, salt, self.to_bytes())

    def coins(self, group: Group) -> tuple[bool, ...]:
        """The coins of a group's canaries."""
        return coins(self.seed, group, self.counts.get(group, 0))


def open_sheet(commitment: bytes, salt: bytes, raw: bytes) -> CanarySheet:
    """The sheet behind a commitment.

    Raises:
        CommitmentError: another sheet or salt, or bytes that are no canonical sheet.
    """
    if len(raw) > MAX_SHEET_BYTES or len(salt) != SALT_BYTES:
        raise CommitmentError("an opened sheet or its salt has an impossible size")
    if not hmac.compare_digest(_commitment(_COMMITMENT_LABEL, salt, raw), commitment):
        raise CommitmentError("the opened sheet is not the one that was committed to")
    try:
        sheet = _sheet(raw)
    except (PrivacyError, ConfigError, IdentityError, ValueError, TypeError, AttributeError) as error:
        raise CommitmentError("the opened bytes are no canary sheet") from error
    if sheet.to_bytes() != raw:
        raise CommitmentError("the opened sheet is not in its canonical spelling")
    return sheet


def verify_claims(sheet: CanarySheet, registered: Registration, claimed: Mapping[Group, Sequence[bool]]) -> None:
    """Hold what an evaluation used to what the sheet says.

    Raises:
        CommitmentError: names the first setting or coin that differs.
    """
    used, fixed = registered.document(), sheet.registered.document()
    for name, value in fixed.items():
        if used[name] != value:
            raise CommitmentError(f"{name}: the evaluation used another value than the site registered")
    for group in SHEET_GROUPS:
        expected, seen = sheet.coins(group), tuple(claimed.get(group, ()))
        if len(expected) != len(seen):
            raise CommitmentError(f"{group}: {len(seen)} coins were used, the sheet has {len(expected)}")
        for index, (is_in, was_in) in enumerate(zip(expected, seen, strict=True)):
            if is_in != was_in:
                raise CommitmentError(f"{group}: coin {index} was used the wrong way round")


def record_commitment(salt: bytes, seed: bytes, unit_ids: Sequence[bytes]) -> bytes:
    """Commitment to the record sheet: keyed ids of the pool's units, sorted, each with its coin.

    The sheet itself never leaves the site. Coin i belongs to the i-th id in sorted order.

    Raises:
        ConfigError: ids of different or impossible length, or one that stands twice.
    """
    ids = sorted(unit_ids)
    if len(set(ids)) != len(ids) or any(len(unit_id) != DIGEST_BYTES for unit_id in ids):
        raise ConfigError(f"keyed unit ids have {DIGEST_BYTES} bytes each and stand once")
    body = b"".join(unit_id + bytes([coin(seed, Group.RECORDS, i)]) for i, unit_id in enumerate(ids))
    return _commitment(_RECORDS_LABEL, salt, body)


def check_caps(
    counts: Mapping[Group, int], *, num_units: int, unit_is_record: bool, share_max: float = CANARY_SHARE_MAX
) -> None:
    """Refuse more canaries than a site allows among its units, were every coin to come up "in".

    The worst case, not the outcome: whether a plan is accepted must not tell of the coins.

    Args:
        counts: canaries by group.
        num_units: N0, the declared number of units.
        unit_is_record: whether six records of a repeated secret are six units.
        share_max: of the policy.

    Raises:
        ConfigError: too many.
    """
    _validate.positive(num_units=num_units)
    _validate.probability(share_max=share_max)
    units = sum(
        count * (X6_RECORDS if unit_is_record and group is Group.SECRET_X6 else 1)
        for group, count in counts.items()
        if group.is_in_training
    )
    if units > share_max * num_units:
        raise ConfigError(
            f"{units} canaries among {num_units} units: the policy allows a share of {share_max}",
            hint="Lower canaries_per_site or secrets_per_site, or raise canary_share_max in the site's policy.",
        )


def counts_in_bounds(group: Group, *, unit_is_record: bool) -> bool:
    """Whether a group's fair coins may be counted in a bound for the plan's unit.

    Six records under unit = record are six units: for those (epsilon, delta) says nothing about a group of six.
    """
    if group is Group.SECRET_X6:
        return not unit_is_record
    return group in (Group.RECORDS, Group.TOKEN, Group.SECRET)


def _commitment(label: bytes, salt: bytes, body: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ConfigError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(label + b"\0" + salt + body).digest()


_SHEET_FIELDS = {
    "schema": str,
    "generator": str,
    "run_id": str,
    "site_id": str,
    "plan_digest": str,
    "token_list_digest": str,
    "seed": str,
    "counts": dict,
    "registered": dict,
}
_REGISTERED_FIELDS = {"scores": dict, "headline": dict, "fractions": list, "delta": str, "alpha": str}


def _sheet(raw: bytes) -> CanarySheet:
    document = _strict_json.fields(_strict_json.parse(raw, "a canary sheet"), _SHEET_FIELDS, "a canary sheet")
    counts = _strict_json.fields(document["counts"], {group.value: int for group in SHEET_GROUPS}, "counts")
    registered = _strict_json.fields(document["registered"], _REGISTERED_FIELDS, "registered")
    if document["schema"] != SCHEMA:
        raise ConfigError("a sheet of another schema")
    scores = cast("dict[str, list[str]]", registered["scores"])
    return CanarySheet(
        run_id=bytes.fromhex(document["run_id"]),
        site_id=document["site_id"],
        plan_digest=bytes.fromhex(document["plan_digest"]),
        token_list_digest=bytes.fromhex(document["token_list_digest"]),
        seed=bytes.fromhex(document["seed"]),
        counts={Group(group): count for group, count in counts.items()},
        registered=Registration(
            scores={group: tuple(names) for group, names in scores.items()},
            headline=registered["headline"],
            fractions=tuple(map(float, registered["fractions"])),
            delta=float(registered["delta"]),
            alpha=float(registered["alpha"]),
        ),
        generator=document["generator"],
    )


__all__ = [
    "CANARY_SHARE_MAX",
    "CanarySheet",
    "check_caps",
    "coin",
    "coins",
    "counts_in_bounds",
    "DEFAULT_REGISTRATION",
    "GENERATOR",
    "Group",
    "MAX_CANARIES_PER_GROUP",
    "open_sheet",
    "record_commitment",
    "Registration",
    "SALT_BYTES",
    "SCHEMA",
    "SEED_BYTES",
    "SHEET_GROUPS",
    "verify_claims",
    "X6_RECORDS",
]
