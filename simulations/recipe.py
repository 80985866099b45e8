"""A recipe: the plan of a run and, for a simulation, where each site's records lie. Read from TOML.

The sections are those of ``RunPlan``; beside them stand ``[data]``, the settings that the sites share, and in each
``[[sites]]`` the ones that differ. Paths are relative to a data folder that is given on the command line, so that no
data ever needs to lie beside a recipe.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fedward.client.intake import DataSource
from fedward.common.config import (
    BasePlan,
    DesensitizePlan,
    DpPlan,
    EvaluationPlan,
    LoraPlan,
    RunPlan,
    SecAggPlan,
    ServerPlan,
    Settings,
    TrainingPlan,
    read_toml,
    to_json,
    validated,
)
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.errors import ConfigError
from fedward.common.settings import SiteId

DISTRIBUTED: Mapping[str, Any] = {
    "privacy.mode": "distributed",
    "training.steps_per_round": 1,
    "secagg.weights": "fixed_denominator",
}
"""Changes that make a recipe one of mode ``distributed``; its rounds are then single steps."""


class DataSettings(Settings):
    """How a site's files are read. What a site leaves out it takes from the recipe's ``[data]``."""

    path: str | None = None
    """File, or folder of a Hugging Face data set."""
    heldout_path: str | None = None
    """Held-out records, if they lie apart; else ``evaluation.heldout_share`` of the patients is set aside."""
    text_columns: tuple[str, ...] | None = None
    """Joined by line breaks into a record's text."""
    patient_column: str | None = None
    """Whose record it is: the unit of privacy."""
    label_column: str | None = None
    """For measures of classification; not used in training."""
    where: dict[str, str] = Field(default_factory=dict)
    """Only rows whose columns have these values."""
    format: Literal["auto", "jsonl", "csv", "parquet", "huggingface"] | None = None
    encoding: str | None = None
    patient_share: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    """Use only this share of the patients, chosen by a keyed hash of their ids."""

    def over(self, shared: DataSettings) -> DataSettings:
        """These settings, with gaps filled from ``shared``."""
        own = {name: getattr(self, name) for name in DataSettings.model_fields}
        filled = {name: getattr(shared, name) if value is None else value for name, value in own.items()}
        return DataSettings(**{**filled, "where": {**shared.where, **self.where}})


class RecipeSite(DataSettings):
    """One simulated site."""

    id: SiteId
    nominal_units: int = Field(ge=1)
    """N₀: a rounded, public number of patients; see ``SitePlan``."""
    rank: int | None = Field(default=None, ge=1, le=256)
    """Train only so many columns of the adapter; see ``SitePlan``."""


class Recipe(Settings):
    """What ``fedward simulate`` runs."""

    format: Literal["fedward.recipe/1"] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=200)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    rounds: int = Field(default=5, ge=1, le=100_000)
    desensitize: DesensitizePlan = DesensitizePlan()
    base: BasePlan = BasePlan()
    lora: LoraPlan = LoraPlan()
    privacy: DpPlan = DpPlan()
    training: TrainingPlan = TrainingPlan()
    server: ServerPlan = ServerPlan()
    secagg: SecAggPlan = SecAggPlan()
    evaluation: EvaluationPlan = EvaluationPlan()
    data: DataSettings = DataSettings()
    scrub: DesensitizePolicy = DesensitizePolicy()
    """The policy under which all simulated sites desensitise their records."""
    sites: tuple[RecipeSite, ...] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for site in self.sites:
            settings = site.over(self.data)
            if not settings.path or not settings.text_columns:
                raise ValueError(f"site {site.id!r} needs `path` and `text_columns`, its own or in [data]")
            if not settings.patient_column:
                raise ValueError(
                    f"site {site.id!r} needs `patient_column`: all records of one patient are protected together. "
                    "Where each record is another person's, name the column of record ids"
                )
        self.draft_plan()
        return self

    def draft_plan(self) -> RunPlan:
        """The plan, not yet with base digest, layout and noise."""
        shared = {"data", "sites", "format", "scrub"}
        document = self.model_dump(mode="json", exclude=shared)
        document["schema"] = "fedward.plan/1"
        shown = ("id", "nominal_units", "rank")
        document["sites"] = [{name: getattr(site, name) for name in shown} for site in self.sites]
        return validated(RunPlan, to_json(document, "the plan"), "the plan")

    def site(self, site_id: str) -> RecipeSite:
        """The settings of one site, which the recipe must name."""
        return next(site for site in self.sites if site.id == site_id)

    def source(self, site_id: str, root: Path) -> DataSource:
        """Where a site's records are, below the data folder ``root``."""
        return self._source(self.site(site_id).over(self.data), root, heldout=False)

    def heldout_source(self, site_id: str, root: Path) -> DataSource | None:
        """Where a site's held-out records are, if they lie apart."""
        settings = self.site(site_id).over(self.data)
        return None if settings.heldout_path is None else self._source(settings, root, heldout=True)

    def _source(self, settings: DataSettings, root: Path, *, heldout: bool) -> DataSource:
        path = settings.heldout_path if heldout else settings.path
        return DataSource(
            path=root / (path or ""),
            text_columns=settings.text_columns or (),
            patient_column=settings.patient_column,
            label_column=settings.label_column,
            where=settings.where,
            format=settings.format or "auto",
            encoding=settings.encoding or "utf-8",
            patient_share=settings.patient_share,
        )


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe, with changes from the command line laid over it.

    Args:
        changes: dotted setting to value, such as ``{"base.name": "smollm2"}``.

    Raises:
        ConfigError: names the setting that is wrong.
    """
    document = read_toml(path)
    for dotted, value in (changes or {}).items():
        _set(document, dotted.split("."), value)
    return validated(Recipe, to_json(document, str(path)), str(path))


def parse_setting(text: str) -> tuple[str, Any]:
    """``training.sample_rate=0.05`` as a dotted setting and its value; what is not TOML is taken as a word.

    Raises:
        ConfigError: no ``=`` in it.
    """
    key, sign, value = text.partition("=")
    if not (sign and key.strip()):
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE", hint="For example --set training.sample_rate=0.05")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _set(document: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = document.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"{'.'.join(keys)} cannot be set here: {key!r} is no section", hint="Edit it in the recipe itself."
            )
        document = inner
    document[keys[-1]] = value
