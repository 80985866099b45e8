"""What the consortium runs (``RunPlan``) and what a site allows (``SitePolicy``): frozen, strict, read from TOML.

A plan travels, is signed and is hashed as the exact bytes of its JSON form; nobody encodes it a second time. Its tables
are in ``plan_parts``, how either is read in ``settings``; both names are given on from here.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedward.common.errors import ConfigError, PlanError, ProtocolError
from fedward.common.plan_parts import (
    COORDINATOR,
    TWO_SITES,
    Aggregation,
    BasePlan,
    DesensitizePlan,
    DpPlan,
    EvaluationPlan,
    LoraPlan,
    MetricName,
    MetricPlan,
    PrivacyMode,
    PrivacyUnit,
    SecAggPlan,
    ServerPlan,
    SitePlan,
    TensorSpec,
    TrainingPlan,
)
from fedward.common.privacy.accounting import MAX_STEPS
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import MAX_SITES
from fedward.common.secagg.graph_parameters import MAX_GRAPH_SITES
from fedward.common.secagg.thresholds import MIN_HONEST, Profile
from fedward.common.settings import (
    AUTO,
    MAX_CONFIG_BYTES,
    PositiveFloat,
    Probability,
    Settings,
    digest_of,
    read_toml,
    to_json,
    validated,
)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Weighting = Literal["uniform", "declared", "private", "fixed_denominator"]
LORA_TARGETS = (
    "all-linear",
    *("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query_key_value", "dense", "c_attn", "c_proj"),
    *("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc", "dense_h_to_4h", "dense_4h_to_h"),
)
"""Attention and feed-forward layers of the architectures that per-sample gradients are proven for, and their kin."""


class RunPlan(Settings):
    """What the consortium runs. Signed by the coordinator, judged by every site."""

    format: Literal["fedward.plan/1"] = Field(alias="schema")
    """Version of this format."""
    name: str = Field(min_length=1, max_length=200)
    """For people."""
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    """Public randomness: the start of A, the split. Never noise, never sampling of a private run."""
    rounds: int = Field(default=5, ge=1, le=100_000)
    """Number of aggregations."""
    desensitize: DesensitizePlan = DesensitizePlan()
    """What the records have been through."""
    base: BasePlan = BasePlan()
    """The frozen model."""
    lora: LoraPlan = LoraPlan()
    """The adapter."""
    privacy: DpPlan = DpPlan()
    """Target, unit and clip."""
    training: TrainingPlan = TrainingPlan()
    """A site's steps."""
    server: ServerPlan = ServerPlan()
    """The mean's way into the adapter."""
    secagg: SecAggPlan = SecAggPlan()
    """How updates are added up."""
    evaluation: EvaluationPlan = EvaluationPlan()
    """How utility is measured."""
    sites: tuple[SitePlan, ...] = Field(min_length=1, max_length=10_000)
    """Who is invited, with public constants."""
    layout: tuple[TensorSpec, ...] = ()
    """The adapter's tensors by name. The coordinator fills it in; every site compares it with its own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [site.id for site in self.sites]
        if len(set(ids)) != len(ids):
            raise ValueError("sites: two sites have the same id")
        if len(ids) < self.secagg.min_cohort:
            raise ValueError(
                f"secagg.min_cohort is {self.secagg.min_cohort}, but there are {len(ids)} sites: add a site or set it "
                "lower (a sum of two needs secagg.profile = strict, or no masks, and lets each site work out the "
                "other's update)"
            )
        if COORDINATOR in ids:
            raise ValueError(f"sites: no site may be called {COORDINATOR!r}")
        if "all-linear" in self.lora.targets and len(self.lora.targets) > 1:
            raise ValueError("lora.targets: all-linear stands alone")
        if (self.rounds + self.secagg.spare_attempts) * self.training.steps_per_round > MAX_STEPS:
            raise ValueError(f"rounds x training.steps_per_round: more than {MAX_STEPS} steps cannot be accounted for")
        self._check_batch()
        self._check_delta()
        self._check_ranks()
        self._check_start()
        self._check_profile()
        self._check_auxiliary()
        self._check_mode()
        return self

    def _check_batch(self) -> None:
        """A patient's rows must fit one batch whatever they hold, or memory would tell of a single record."""
        is_record = self.privacy.unit is PrivacyUnit.RECORD
        longest = self.base.max_length_tokens * (1 if is_record else self.training.max_records_per_unit)
        if longest > self.training.max_batch_tokens:
            raise ValueError(
                f"training.max_batch_tokens is {self.training.max_batch_tokens}, but a {self.privacy.unit.value} may "
                f"need {'' if is_record else 'max_records_per_unit x '}max_length_tokens = {longest}"
            )

    def _check_delta(self) -> None:
        largest = max(site.nominal_units for site in self.sites)
        if self.is_private and self.privacy.delta * largest > 1:
            raise ValueError(
                f"privacy.delta {self.privacy.delta:g} is above 1 over the {largest} patients of a site: "
                "it would allow a patient's records to be published"
            )

    def _check_ranks(self) -> None:
        """Prefixes are nested, so the last column has the fewest sites; all others have as many or more."""
        whole = self.lora.rank
        if any((site.rank or 1) > whole for site in self.sites):
            raise ValueError(f"sites: a rank is above lora.rank, which is {whole}")
        full = sum(site.rank in (None, whole) for site in self.sites)
        if full < self.secagg.min_cohort:
            raise ValueError(
                f"sites: {full} of them train the last of the {whole} columns, secagg.min_cohort asks for "
                f"{self.secagg.min_cohort}: the sum over a column shows the updates of so few sites. Set lora.rank "
                "lower, or sites[].rank to it at more sites"
            )

    def _check_start(self) -> None:
        """No more rows than a row has entries can be orthonormal."""
        for spec in self.layout if self.lora.starts_orthonormal else ():
            if ".lora_A." in spec.name and spec.shape[0] > spec.shape[1]:
                raise ValueError(
                    f"lora.rank {spec.shape[0]} is above the {spec.shape[1]} inputs of {spec.name}: its rows cannot be "
                    "orthonormal. Set lora.rank lower, or take ffa or alternate with lora.a_init = random"
                )

    def _check_profile(self) -> None:
        """Whether the profile protects a cohort of all sites: a smaller one is judged round by round."""
        secagg, count = self.secagg, len(self.sites)
        if (secagg.min_survivors or 0) > count:
            raise ValueError(f"secagg.min_survivors is {secagg.min_survivors}, but there are {count} sites")
        if secagg.late_cohort and secagg.profile != Profile.STRICT.value:
            raise ValueError("secagg.late_cohort is for the profile strict: the others bear lost sites without it")
        if not secagg.is_masked:
            return
        if count > MAX_SITES and self.privacy.mode is PrivacyMode.DISTRIBUTED:
            raise ValueError(
                f"privacy.mode distributed with {count} sites: under masks it is for {MAX_SITES} at most. Set "
                "privacy.mode = local; or secagg.profile = plain_ring, in a simulation"
            )
        hint = _profile_hint(secagg.profile, count)
        floors = secagg.floors()
        partial = sum(site.rank not in (None, self.lora.rank) for site in self.sites)
        required = max(partial + secagg.min_cohort, secagg.min_survivors or 0)
        try:
            if count > MAX_SITES and secagg.profile != Profile.STRICT.value:
                graph_floors.check_run(floors, count, required=required)
                return
            floors.check_cohort(count, count)
            floors.check_floor(
                num_cohort=count,
                num_holders=count,
                min_survivors=max(required, floors.min_survivors(count, count)),
                stated_colluders=floors.colluders(count),
                required=required,
            )
        except ProtocolError as error:
            raise ValueError(f"secagg.profile {secagg.profile} with {count} sites: {error.message}. {hint}") from error

    def _check_auxiliary(self) -> None:
        """Whether weights and metrics can ride in the ring."""
        secagg = self.secagg
        if len({metric.name for metric in secagg.metrics}) < len(secagg.metrics):
            raise ValueError("secagg.metrics: a metric is named twice")
        if secagg.weights == "private":
            self._check_private_weights()
        if secagg.metrics and self.training.sample_rate == AUTO:
            return  # a metric's scale needs it; the final plan is checked again
        if secagg.weights == "private" or secagg.metrics:
            from fedward.common.auxiliary_terms import coordinates  # it reads plans, so it comes after this module

            try:
                coordinates(self)
            except ConfigError as error:
                raise ValueError(f"{error.message}. {error.advice}") from error

    def _check_private_weights(self) -> None:
        if any(site.rank not in (None, self.lora.rank) for site in self.sites):
            raise ValueError(
                "secagg.weights private with sites of different ranks: a column is divided by the weights of those who "
                "train it, and only the weight of all is opened. Set it to declared, or leave sites[].rank out"
            )

    def _check_mode(self) -> None:
        from fedward.common.distributed_terms import check_mode  # it reads plans itself

        try:
            check_mode(self)
        except ConfigError as error:
            raise ValueError(error.message) from error

    def to_bytes(self) -> bytes:
        """The JSON that travels; its SHA-256 is the plan's digest."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> RunPlan:
        """Parse what travelled.

        Raises:
            ConfigError: not a plan of this version.
        """
        if len(raw) > MAX_CONFIG_BYTES:
            raise ConfigError("the plan is too long")
        return validated(cls, raw, "the plan")

    @property
    def is_private(self) -> bool:
        """Whether the run is differentially private."""
        return self.privacy.mode is not PrivacyMode.NONE

    def site(self, site_id: str) -> SitePlan:
        """The public constants of one site.

        Raises:
            PlanError: the plan does not name it.
        """
        for site in self.sites:
            if site.id == site_id:
                return site
        raise PlanError(f"the plan does not name the site {site_id!r}")


class SitePolicy(Settings):
    """What a site allows, whatever a plan asks for. The stricter of the two binds."""

    max_epsilon: PositiveFloat = 5.0
    """Of one run, at the plan's delta."""
    account_epsilon: PositiveFloat = 8.0
    """Of all runs on this site's records together, at ``account_delta``."""
    account_delta: float = Field(default=1e-6, ge=1e-12, le=1e-5, allow_inf_nan=False)
    """Fixed for the life of the account."""
    account: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """Name of the account in the site's ledger. Budgets belong to people, not to files: data sets whose people may be
    the same share one."""
    max_delta: PositiveFloat = 1e-5
    """Largest delta of a plan."""
    units: tuple[PrivacyUnit, ...] = (PrivacyUnit.PATIENT,)
    """Units of privacy that are strong enough."""
    require_desensitization: bool = True
    """Train only on desensitised records, also where a plan does not ask for it."""
    privacy_modes: tuple[PrivacyMode, ...] = (PrivacyMode.LOCAL,)
    """``none`` is for simulations."""
    min_noise_multiplier: PositiveFloat = 0.3
    """Least noise of a single step, whatever the accounting says."""
    max_clip_norm: PositiveFloat = 16.0
    """Largest L2 bound of one unit's gradient."""
    max_sample_rate: Probability = 0.5
    """Largest Poisson probability."""
    max_rounds: int = Field(default=1000, ge=1)
    """Most aggregations of a run."""
    max_steps_per_round: int = Field(default=1000, ge=1)
    """Most steps between two aggregations."""
    base_models: tuple[Digest, ...] | None = None
    """SHA-256 of the base models that this site trains, tokeniser included. None: any; an empty list: none."""
    max_length_tokens: int = Field(default=4096, ge=8)
    """Longest record, in tokens."""
    max_records_per_unit: int = Field(default=16, ge=1)
    """Most records of one patient: one step may read them all."""
    min_sites_per_unit: int = Field(default=1, ge=1)
    """At how many sites one patient may be, at least, by the plan's reckoning; for towns with many hospitals."""
    max_lora_rank: int = Field(default=64, ge=1)
    """Largest adapter."""
    max_parameters: int = Field(default=1 << 26, ge=1)
    """Most numbers of an adapter."""
    lora_targets: tuple[str, ...] | None = LORA_TARGETS
    """Modules that an adapter may change; ``all-linear`` is all of a base's linear layers. None: any."""
    weights: tuple[Weighting, ...] = ("uniform", "declared", "fixed_denominator")
    """How sites may be weighted. ``private`` depends on the number of this site's patients and costs budget, so it is
    allowed by name only."""
    max_sum_norm: PositiveFloat | None = None
    """Longest sum of updates that a plan may let into the model (``secagg.sum_norm_bound``). None: not asked."""
    aggregations: tuple[Aggregation, ...] = ("ffa", "fedsvd", "alternate")
    """Ways to aggregate adapters. ``naive`` is left out: noise on both factors multiplies, and the sum is not exact."""
    profiles: tuple[str, ...] = tuple(profile.value for profile in Profile)
    """Secure-aggregation profiles; an empty list allows nothing. ``plain_ring`` is for simulations."""
    min_cohort: int = Field(default=3, ge=1)
    """Fewest sites in any sum."""
    assumed_colluders: int | None = Field(default=None, ge=0)
    """Sites that may work together with the coordinator: a plan that states fewer is refused. None: a fifth of the
    plan's, at least one."""
    min_honest: int = Field(default=MIN_HONEST, ge=MIN_HONEST)
    """Honest sites in any sum that a hostile coordinator can open."""
    allowed_metrics: tuple[MetricName, ...] = ()
    """Metrics that may ride beside this site's updates. Each depends on its records and costs budget, so none is
    allowed by default."""
    allow_two_sites: bool = False
    """Take part in a sum of two under ``strict``: each of the two learns the other's update."""
    max_attempts: int = Field(default=2, ge=1)
    """Most attempts at one round; each one is charged in full."""
    attempt_ttl_s: PositiveFloat = 86_400.0
    """So long after its last message a site still holds the secrets of a round that is not over; then it destroys them.
    No shorter than a plan's two timeouts together."""
    approve: Literal["auto", "manual"] = "auto"
    """Whether a plan that breaks no rule is accepted at once, or waits for ``fedward site approve``."""
    approval_ttl_s: PositiveFloat = 604_800.0
    """So long a plan may wait for that; then it is refused for good."""
    max_plans_per_day: int = Field(default=10, ge=1)
    """Most plans of one coordinator that are judged in a day: limits could be found by asking again and again."""
    disclose: Literal["first", "all"] = "first"
    """Whether a refusal names the first rule that a plan breaks, or every one."""
    min_witnesses: int = Field(default=1, ge=0)
    """Peers that must have said, since this site's start, which head of its ledger they hold, before it trains. It is
    judged at each ``Train``, not with a plan."""


def _profile_hint(profile: str, count: int) -> str:
    """What to set instead."""
    if count > MAX_GRAPH_SITES:
        return "Name fewer sites; or set secagg.profile = plain_ring, in a simulation"
    if count > MAX_SITES and profile == Profile.STRICT.value:
        return "Set secagg.profile = resilient or resilient-malicious; or plain_ring, in a simulation"
    if count > MAX_SITES:
        return "Set secagg.assumed_colluders or secagg.min_survivors lower; or profile = plain_ring, in a simulation"
    if count == 3 and profile != Profile.STRICT.value:
        return "Three sites need secagg.profile = strict"
    if count < 3:
        return (
            "Set secagg.profile = strict and secagg.min_cohort = 2, if each site may learn the other's update; or "
            "plain_ring, in a simulation"
        )
    return "Add sites, or set secagg.assumed_colluders lower, or secagg.profile = strict"


__all__ = [
    "Aggregation",
    "AUTO",
    "BasePlan",
    "COORDINATOR",
    "DesensitizePlan",
    "digest_of",
    "DpPlan",
    "EvaluationPlan",
    "LORA_TARGETS",
    "LoraPlan",
    "MAX_CONFIG_BYTES",
    "MetricName",
    "MetricPlan",
    "PrivacyMode",
    "PrivacyUnit",
    "read_toml",
    "RunPlan",
    "SecAggPlan",
    "ServerPlan",
    "Settings",
    "SitePlan",
    "SitePolicy",
    "TensorSpec",
    "to_json",
    "TrainingPlan",
    "TWO_SITES",
    "validated",
    "Weighting",
]
