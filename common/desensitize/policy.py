"""What a site wants done to its text: which types, from which level, and what stands in their place.

A policy is frozen, comes from TOML and is named by the SHA-256 of its canonical form in the report and in the ledger.
Not handled here: how a type is found or replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError
from fedward.common.settings import Settings, read_toml, to_json, validated


class Action(StrEnum):
    """What happens to an identifier, or to a column."""

    KEEP = "keep"
    PLACEHOLDER = "placeholder"
    """[姓名1], [PHONE2]: numbered within the document."""
    SURROGATE = "surrogate"
    """One way, keyed, consistent in its scope, of the same form."""
    FPE = "fpe"
    """FF1: reversible with the key, for columns that must join or be restored."""
    GENERALISE = "generalise"
    DROP = "drop"


class ColumnClass(StrEnum):
    """What a column is; each has one class, and an unknown column is scanned as free text."""

    DIRECT = "direct"
    QUASI = "quasi"
    SENSITIVE = "sensitive"
    """Diagnosis, balance: kept, it is what the model learns."""
    TEXT = "text"
    TECHNICAL = "technical"


ScrubProfile = Literal["structured", "fast", "max-recall"]
Stance = Literal["strict", "balanced", "safe"]
PROFILES: tuple[ScrubProfile, ...] = get_args(ScrubProfile)
"""From the least to the most that is done to find names."""
LEVEL_OF_STANCE = {"strict": 3, "balanced": 2, "safe": 1}
QUASI_TYPES = frozenset(
    {EntityType.DATE, EntityType.AGE, EntityType.ADDRESS, EntityType.POSTCODE, EntityType.LOC, EntityType.ORG}
)
"""What identifies only together; everything else is direct."""
_PLACEHOLDER_TYPES = (EntityType.SECRET, EntityType.MASKED, EntityType.URL)
_DEFAULT_ACTIONS: Mapping[EntityType, Action] = {
    **dict.fromkeys(EntityType, Action.SURROGATE),
    **dict.fromkeys(_PLACEHOLDER_TYPES, Action.PLACEHOLDER),
    EntityType.AGE: Action.GENERALISE,
    EntityType.ADDRESS: Action.GENERALISE,
    EntityType.POSTCODE: Action.GENERALISE,
    EntityType.LOC: Action.KEEP,
    EntityType.IMAGE: Action.DROP,
}

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=0.10, allow_inf_nan=False)]


class ColumnPolicy(Settings):
    """What is done to one column."""

    kind: ColumnClass
    """Direct, quasi, sensitive, text or technical."""
    action: Action = Action.KEEP
    """For text columns ignored: they are desensitised in place."""
    type: EntityType | None = None
    """Whose surrogate, FPE domain or generalisation applies."""


class CanaryTargets(Settings):
    """What the injected canaries must show before an output is accepted."""

    num_structured: Annotated[int, Field(ge=0, le=100_000)] = 4000
    """Synthetic identifiers for each structured type."""
    num_names: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Synthetic names for each language."""
    min_recall_structured: Fraction = 0.999
    """Bound for the lower end of Wilson's 95 % interval."""
    min_recall_names: Fraction = 0.0
    """The same for names; 0 reports and does not refuse."""
    enforce: bool = False
    """End a run whose canaries miss a target; otherwise its report warns."""


class DesensitizePolicy(Settings):
    """The desensitisation policy of a site."""

    profile: ScrubProfile = "fast"
    """``structured``: rules and validators alone, no names, organisations and addresses in prose; ``fast``: those too,
    by grammar, rules and our tagger; ``max-recall``: by every tagger there is, united."""
    stance: Stance = "balanced"
    """Least level of the confidence ladder that counts: 3, 2 or 1."""
    levels: dict[EntityType, Annotated[int, Field(ge=1, le=5)]] = Field(default_factory=dict)
    """Least level of single types, where it differs from the stance."""
    actions: dict[EntityType, Action] = Field(default_factory=dict)
    """Action of single types, where it differs from the default."""
    language: Literal["auto", "zh", "en"] = "auto"
    """Which name rules and taggers read a record; ``auto`` decides by its script."""
    scope: Literal["patient", "document", "site"] = "patient"
    """Within what a surrogate stays the same."""
    dates: Literal["shift", "keep_weekday", "year_only", "keep", "placeholder"] = "shift"
    """Dates move by one keyed shift a patient; ``keep_weekday`` by whole weeks."""
    address: Literal["city", "province", "surrogate"] = "city"
    """What stays of an address. Never the house number."""
    safe_harbor: bool = False
    """45 CFR 164.514(b)(2): placeholders, years and states, and no keyed surrogate."""
    layers: tuple[Literal["entity", "semantic", "noise"], ...] = ("entity",)
    """Entity replacement is always on; the other two carry no formal guarantee."""
    semantic_rate: Rate = 0.05
    """Share of eligible words that the semantic layer may change."""
    noise_rate: Rate = 0.02
    """Share of gaps between unprotected words that get a filler word."""
    columns: dict[str, ColumnPolicy] = Field(default_factory=dict)
    """Columns by name; one that is not named is scanned as free text."""
    canaries: CanaryTargets = CanaryTargets()
    """Recall that injected canaries must show."""
    max_quarantine: Fraction = 0.001
    """Share of records that may fail the leak check before the run ends without an output."""
    on_invalid: Literal["token", "placeholder", "error"] = "token"
    """What FPE does with a value that is not valid; it is never repaired."""

    @model_validator(mode="after")
    def _consistent(self) -> DesensitizePolicy:
        if "entity" not in self.layers or len(set(self.layers)) != len(self.layers):
            raise ValueError('layers: expected "entity", and each layer once')
        if self.safe_harbor and Action.FPE in self.actions.values():
            raise ValueError("actions: safe_harbor allows no format-preserving encryption")
        return self

    def level_of(self, type_: EntityType) -> int:
        """The least level at which a hit of ``type_`` counts."""
        return self.levels.get(type_, LEVEL_OF_STANCE[self.stance])

    def action_of(self, type_: EntityType) -> Action:
        """What happens to a hit of ``type_``."""
        if type_ in self.actions:
            return self.actions[type_]
        if self.safe_harbor and type_ is EntityType.LOC:
            return Action.GENERALISE
        if self.safe_harbor and _DEFAULT_ACTIONS[type_] is Action.SURROGATE and type_ is not EntityType.DATE:
            return Action.PLACEHOLDER
        return _DEFAULT_ACTIONS[type_]

    def passes_over(self, level: int) -> tuple[EntityType, ...]:
        """Direct identifiers that stay where they are found: kept, or counted from above ``level`` on alone."""
        direct = (type_ for type_ in EntityType if type_ not in QUASI_TYPES)
        return tuple(t for t in direct if self.action_of(t) is Action.KEEP or self.level_of(t) > level)

    @property
    def date_mode(self) -> str:
        """``dates``, or what Safe Harbor asks."""
        return "year_only" if self.safe_harbor else self.dates

    @property
    def digest(self) -> str:
        """SHA-256 of the policy with every default written out, in hex."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_policy(path: Path) -> DesensitizePolicy:
    """A policy from TOML.

    Raises:
        ConfigError: names the first setting that is wrong.
    """
    try:
        return validated(DesensitizePolicy, to_json(read_toml(path), path.name), path.name)
    except ConfigError as error:
        raise ConfigError(error.message, hint="docs/desensitization.md describes every setting.") from None


__all__ = [
    "Action",
    "CanaryTargets",
    "ColumnClass",
    "ColumnPolicy",
    "DesensitizePolicy",
    "LEVEL_OF_STANCE",
    "load_policy",
    "PROFILES",
    "QUASI_TYPES",
    "ScrubProfile",
    "Stance",
]
