"""The policy's file in a site's folder: read only if it is the one that was set last, and changed only by setting it.

``policy.set`` in the ledger names the SHA-256 of the file's bytes, never its text, and is signed like every entry by
the site's identity; ``PlanDesk`` and this module refuse a file that somebody edited by hand. The entry is written
before the file: a crash between the two leaves a site that refuses to work until the policy is set again, never one
that works under a policy that nobody set.

Not handled here: what a policy means (``policy``), and asking a person (``site_policy_cli``).
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fedward.common.config import MAX_CONFIG_BYTES, SitePolicy, to_json, validated
from fedward.common.errors import ConfigError, PolicyAlteredError
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.plans import PlanReplay
from fedward.common.ledger.replay import POLICY_SET

if TYPE_CHECKING:
    from fedward.client.site_folder import SiteFolder
    from fedward.common.vault.roles import Principal

PLACE: Final = ("policy.toml",)


class Looser(StrEnum):
    """Which change of a field allows more."""

    HIGHER = "higher"
    LOWER = "lower"
    MORE = "more names"
    """None is any name."""
    OFF = "off"
    ON = "on"
    ANY = "any change"


LOOSER: Final[Mapping[str, Looser]] = {
    "max_epsilon": Looser.HIGHER,
    "account_epsilon": Looser.HIGHER,
    "account_delta": Looser.HIGHER,
    "account": Looser.ANY,  # another account begins with nothing spent
    "max_delta": Looser.HIGHER,
    "units": Looser.MORE,
    "require_desensitization": Looser.OFF,
    "privacy_modes": Looser.MORE,
    "min_noise_multiplier": Looser.LOWER,
    "max_clip_norm": Looser.HIGHER,
    "max_sample_rate": Looser.HIGHER,
    "max_rounds": Looser.HIGHER,
    "max_steps_per_round": Looser.HIGHER,
    "base_models": Looser.MORE,
    "max_length_tokens": Looser.HIGHER,
    "max_records_per_unit": Looser.HIGHER,
    "min_sites_per_unit": Looser.LOWER,
    "max_lora_rank": Looser.HIGHER,
    "max_parameters": Looser.HIGHER,
    "lora_targets": Looser.MORE,
    "weights": Looser.MORE,
    "max_sum_norm": Looser.HIGHER,
    "aggregations": Looser.MORE,
    "profiles": Looser.MORE,
    "min_cohort": Looser.LOWER,
    "assumed_colluders": Looser.LOWER,
    "min_honest": Looser.LOWER,
    "allowed_metrics": Looser.MORE,
    "allow_two_sites": Looser.ON,
    "max_attempts": Looser.HIGHER,
    "attempt_ttl_s": Looser.HIGHER,
    "approve": Looser.ANY,
    "approval_ttl_s": Looser.HIGHER,
    "max_plans_per_day": Looser.HIGHER,
    "disclose": Looser.ANY,
    "min_witnesses": Looser.LOWER,
}
"""Of every field of a policy; a test fails on one that is missing."""
_STRICT: Final = {"approve": "manual", "disclose": "first"}
"""Of fields that are words: a change to this one tightens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field that a new policy has otherwise."""

    name: str
    old: object
    new: object
    is_loosened: bool
    """It allows something that was refused before; where that cannot be told, it counts as loosened."""


def parse_policy(raw: bytes, what: str = PLACE[-1]) -> SitePolicy:
    """A policy from the bytes of its file.

    Raises:
        ConfigError: too long, no TOML, or names the first setting that is wrong.
    """
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{what}: longer than {MAX_CONFIG_BYTES} bytes")
    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what}: not a TOML file: {error}", hint="TOML is UTF-8 text.") from error
    return validated(SitePolicy, to_json(values, what), what)


def differences(old: SitePolicy, new: SitePolicy) -> tuple[Change, ...]:
    """What ``new`` has otherwise, in the order of the fields."""
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in SitePolicy.model_fields]
    return tuple(
        Change(name=name, old=before, new=after, is_loosened=_is_loosened(name, before, after))
        for name, before, after in pairs
        if before != after
    )


def _is_loosened(name: str, old: object, new: object) -> bool:
    """Whatever cannot be compared counts as loosened."""
    how = LOOSER.get(name, Looser.ANY)
    if how in (Looser.MORE, Looser.HIGHER) and (old is None or new is None):
        return new is None  # without a limit anything goes
    if how is Looser.MORE and isinstance(old, tuple) and isinstance(new, tuple):
        return not set(new) <= set(old)
    if how in (Looser.HIGHER, Looser.LOWER) and isinstance(old, int | float) and isinstance(new, int | float):
        return new > old if how is Looser.HIGHER else new < old
    if how in (Looser.ON, Looser.OFF):
        return new is (how is Looser.ON)
    return name not in _STRICT or new != _STRICT[name]


def current_policy(site: SiteFolder) -> tuple[SitePolicy, bytes | None]:
    """The policy that binds, and the SHA-256 of its file; the defaults and None where none was ever set.

    Raises:
        PolicyAlteredError: the file is not the one that was set last.
        VaultError: others may write it.
    """
    set_last = _replayed(site).policy
    try:
        raw = site.folder.read(PLACE, max_bytes=MAX_CONFIG_BYTES)
    except FileNotFoundError:
        raw = None
    digest = None if raw is None else hashlib.sha256(raw).digest()
    if (digest.hex() if digest else "") != set_last:
        raise PolicyAlteredError("POLICY_ALTERED: the policy's file is not the one that was set last")
    return (SitePolicy() if raw is None else parse_policy(raw)), digest


def set_policy(site: SiteFolder, raw: bytes, *, principal: Principal) -> bytes:
    """Make ``raw`` the site's policy; returns its SHA-256.

    Raises:
        ConfigError: it is no policy.
        AccessRefusedError: the principal may not set it.
    """
    from fedward.common.vault.roles import Action, Office

    parse_policy(raw)
    site.vault.gate.check(Office.POLICY, Action.WRITE, principal=principal)
    digest = hashlib.sha256(raw).digest()
    site.trail.append([Draft(kind=POLICY_SET, fields={"sha256": digest.hex()})])
    site.folder.write(PLACE, raw)
    return digest


def _replayed(site: SiteFolder) -> PlanReplay:
    plans = PlanReplay()
    for entry in site.trail.entries():  # never all of them in memory
        plans.take(entry)
    return plans


__all__ = ["Change", "current_policy", "differences", "Looser", "LOOSER", "parse_policy", "PLACE", "set_policy"]
