"""What the consortium runs (``RunPlan``) and what a site allows (``SitePolicy``): frozen, strict, read from TOML.

TOML can spell ``nan`` and ``inf``, and a bare pydantic ``float`` takes NaN, ``true`` and ``"1"``: hence strict models
that allow no infinities. Unknown keys are refused. A plan travels, is signed and is hashed as the exact bytes of its
JSON form; nobody encodes it a second time.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from fedward.common.errors import ConfigError, PlanError, ProtocolError
from fedward.common.privacy.accounting import MAX_STEPS
from fedward.common.secagg import graph_floors
from fedward.common.secagg.floors import MAX_SITES, Floors
from fedward.common.secagg.thresholds import MIN_HONEST, Profile

COORDINATOR = "coordinator"
"""The coordinator's name as sender of messages; no site may carry it."""

MAX_CONFIG_BYTES = 4 << 20
"""A plan or recipe is text by people; a longer file is a mistake or an attack."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
SiteId = Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
AUTO: Final = "auto"
"""A number that is found, instead of given."""


def _auto_or(low: float, high: float) -> PlainValidator:
    """Takes ``auto`` or a number from ``low`` to ``high``, with one message for both."""

    def check(value: object) -> float | str:
        if value == AUTO and isinstance(value, str):
            return AUTO
        if type(value) in (int, float) and low <= value <= high:  # type: ignore[operator]  # NaN fails
            return float(value)  # type: ignore[arg-type]
        raise ValueError(f'expected "auto" or a number from {low:g} to {high:g}')

    return PlainValidator(check)


ClipNorm = Annotated[float | Literal["auto"], _auto_or(1e-6, 1e6)]
SampleRate = Annotated[float | Literal["auto"], _auto_or(1e-9, 1.0)]
TWO_SITES = 2
Aggregation = Literal["ffa", "fedsvd", "alternate", "naive"]
"""Which factors sites train, and what the server does with their sum; see ``common.lora.aggregation``."""


class Settings(BaseModel):
    """Base of every part of a configuration: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class PrivacyMode(StrEnum):
    """Where the noise is added."""

    LOCAL = "local"
    """Every site runs DP-SGD with its full noise: its guarantee needs no other party."""
    DISTRIBUTED = "distributed"
    """Every site adds a share of the noise inside the ring: the cohort's sum is private, a site's vector is not."""
    NONE = "none"
    """No clipping, no noise, no guarantee: the baseline for research."""


class PrivacyUnit(StrEnum):
    """What the neighbouring relation adds or removes."""

    PATIENT = "patient"
    """All records of one person. Where a set names no persons, the column that tells records apart stands in."""
    RECORD = "record"
    """One record alone: weaker. Reports print the epsilon of a whole patient beside it."""


class BasePlan(Settings):
    """The frozen base model."""

    name: str = "embedded"
    """``embedded``, ``smollm2``, a local folder, or a hub id."""
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 over the base's files, in hex. The coordinator fills it in; every site compares it with its own copy."""
    max_length_tokens: int = Field(default=256, ge=8, le=8192)
    """Longer records are cut."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the frozen weights and of the products with them; adapters, norms and noise stay float32."""
    quantization: Literal["none", "nf4"] = "none"
    """``nf4``: the frozen linear layers in 4 bits with bfloat16 products (QLoRA); needs a CUDA device at every site."""


class LoraPlan(Settings):
    """The adapter."""

    rank: int = Field(default=8, ge=1, le=256)
    """Rows of A and columns of B."""
    alpha: float = Field(default=16.0, ge=1e-3, le=1e6, allow_inf_nan=False)
    """The adapter's output is scaled by ``alpha / rank``, at sites of a lower rank too."""
    rank_stabilised: bool = False
    """Scale by ``alpha / √rank`` instead (rsLoRA), so that a larger rank does not weaken the adapter."""
    targets: tuple[str, ...] = ("all-linear",)
    """Names of the modules that get an adapter, or ``all-linear``."""
    aggregation: Aggregation = "ffa"
    """``ffa``: A is drawn from the seed and frozen, only B is trained, so the sum of updates is exact. ``fedsvd``: the
    same, and after each round the coordinator turns A and B so that the rows of A are orthonormal, the weightiest
    first. ``alternate``: B is trained in odd rounds, A in even ones. ``naive``: both at once, averaged apart; inexact,
    for comparison."""
    a_init: Literal["random", "orthonormal"] = "random"
    """How A starts, from the seed. ``random``: uniform, as in PEFT; its rows are about 0.58 long. ``orthonormal``: rows
    of length 1, at right angles. ``fedsvd`` always starts orthonormal."""

    @property
    def starts_orthonormal(self) -> bool:
        """Whether the rows of A start orthonormal."""
        return self.aggregation == "fedsvd" or self.a_init == "orthonormal"


class DpPlan(Settings):
    """The differential-privacy part of a run."""

    mode: PrivacyMode = PrivacyMode.LOCAL
    """``local``: every site adds the full noise to its own update, and needs to trust nobody. ``distributed``: each
    adds a share, so that the sum over the sites carries the noise once, not once a site; epsilon then rests on the
    masks and on ``secagg.assumed_colluders``. One step a round: ``training.steps_per_round = 1``, ``secagg.weights =
    fixed_denominator``. No site allows it by default. ``none``: no privacy."""
    unit: PrivacyUnit = PrivacyUnit.PATIENT
    """``patient``: all records of one person are protected together. ``record``: each record alone, which is weaker; at
    most ``training.max_records_per_unit`` records of a patient then enter the data, and reports print the patient's
    epsilon too."""
    epsilon: PositiveFloat = 5.0
    """Target of the whole run, for every site. 1 to 5 is recommended."""
    delta: float = Field(default=1e-5, ge=1e-12, le=1e-3, allow_inf_nan=False)
    """Chosen once; must not be above 1 over the number of patients of a site."""
    clip_norm: ClipNorm = 1.0
    """L2 bound of one unit's gradient, 1e-6 to 1e6. ``auto``: the median norm, found by a private probe before the
    first round, which costs a little of ``epsilon``; for cohorts of 1000 patients or more."""
    noise_multiplier: float | None = Field(default=None, ge=0.01, le=1e6, allow_inf_nan=False)
    """Noise standard deviation divided by ``clip_norm``; in mode ``distributed`` that of the honest sites' noise in the
    sum, divided by what a patient can move it by. None: calibrated from ``epsilon`` and ``delta``."""
    max_sites_per_unit: int = Field(default=1, ge=1, le=10_000)
    """At how many sites one patient may have records. Above 1 the report composes the events of the so many costliest
    sites into one epsilon. In mode ``distributed`` the noise is made so many times as large instead."""

    @property
    def needs_probe(self) -> bool:
        """Whether the clip is still to be found by a probe of the sites."""
        return self.mode is not PrivacyMode.NONE and self.clip_norm == AUTO

    @property
    def resolved_clip_norm(self) -> float:
        """The clip as a number; raises ``ConfigError`` while it is ``auto``."""
        if self.clip_norm == AUTO:
            raise ConfigError("privacy.clip_norm is not a number yet", hint="A probe of the sites finds it.")
        return self.clip_norm


class TrainingPlan(Settings):
    """What a site does between two aggregations."""

    sample_rate: SampleRate = 0.1
    """Poisson probability that a patient is in a step, 1e-9 to 1. ``auto``: 0.1, below which noise grows fast and above
    which more compute buys a few percent."""
    steps_per_round: int = Field(default=10, ge=1, le=100_000)
    """DP-SGD steps of a site in one round."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Local optimiser; its state starts afresh every round. Mode ``distributed`` has none and wants ``sgd``."""
    learning_rate: PositiveFloat = 0.5
    """SGD divides it by ``clip_norm``, so that it does not depend on the clip. Not used in mode ``distributed``: there
    ``server.learning_rate`` is the rate."""
    max_records_per_unit: int = Field(default=8, ge=1, le=1000)
    """At most so many records of a patient enter a step, drawn afresh each time; with the unit ``record``, so many
    enter the data at all."""
    max_batch_tokens: int = Field(default=8192, ge=8, le=10_000_000)
    """Tokens of one physical batch; bounds memory, changes no result of the accounting. A patient is never split over
    two batches, so it must hold ``max_records_per_unit`` records of ``max_length_tokens``."""
    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, more time, the same result."""

    @property
    def resolved_sample_rate(self) -> float:
        """The sample rate as a number; raises ``ConfigError`` while it is ``auto``."""
        if self.sample_rate == AUTO:
            raise ConfigError("training.sample_rate is not a number yet", hint="The coordinator finalises the plan.")
        return self.sample_rate


class ServerPlan(Settings):
    """What the coordinator does with the mean of the updates."""

    optimizer: Literal["fedavg", "fedadam"] = "fedavg"
    """``fedavg`` adds ``learning_rate`` times the mean update; ``fedadam`` takes Adam's step along it."""
    learning_rate: PositiveFloat | None = None
    """Server step length. None: 1 for ``fedavg``, 0.01 for ``fedadam``. In mode ``distributed`` the step goes against
    the mean gradient, measured in clip norms: ``fedavg`` is then plain SGD with this rate, ``fedadam`` is Adam."""
    beta1: Decay = 0.9
    """``fedadam``: decay of the mean of updates."""
    beta2: Decay = 0.99
    """``fedadam``: decay of the mean of squared updates."""
    noise_correction: bool = True
    """``fedadam``: take the known variance of the privacy noise off the squared updates. It is known where sites train
    with ``sgd``; with another local optimiser nothing is taken off."""

    @property
    def step_length(self) -> float:
        """``learning_rate``, or the optimiser's own."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1.0 if self.optimizer == "fedavg" else 0.01


MetricName = Literal["unit_loss"]
"""All metrics that there are. Each depends on data, so each has noise of its own and is charged."""


class MetricPlan(Settings):
    """A figure of every round that rides in the ring beside the updates; only its sum over the sites is opened."""

    name: MetricName
    """``unit_loss``: the loss of the round's starting model on a fresh Poisson draw of the patients that are trained
    on, with ``training.sample_rate``; a patient counts with the mean over the records drawn of it."""
    clamp: float = Field(default=8.0, ge=1e-3, le=1e3, allow_inf_nan=False)
    """Most that one patient counts, in nats a token; a loss that is not a number counts as this."""
    noise_multiplier: float = Field(default=4.0, ge=0.01, le=1e6, allow_inf_nan=False)
    """Standard deviation of each site's noise divided by ``clamp``. Every round is charged for it."""


class SecAggPlan(Settings):
    """How the updates are added up."""

    profile: Literal["strict", "resilient", "resilient-malicious", "plain_ring"] = "resilient"
    """``resilient``: masks that bear lost sites, for four sites or more; two trips a round. ``strict``: one trip, but a
    lost site makes the round void; for three sites or more. ``resilient-malicious``: three trips, the sites confirm to
    each other whose updates are in the sum. ``plain_ring``: no masks, so the coordinator could read every update; for
    simulations, and no site allows it by default."""
    ring_bits: Literal[32] = 32
    """Size of the ring."""
    min_cohort: int = Field(default=3, ge=1, le=10_000)
    """Fewest sites whose sum is opened. Masked profiles need 3; 2 under ``strict`` means that each site learns the
    other's update, and every site's policy must allow that."""
    min_survivors: int | None = Field(default=None, ge=1, le=10_000)
    """Fewest sites whose sum is opened, where that is to be more than what the profile asks for: all under ``strict``,
    else max(t, n − max(1, ⌊n/10⌋)) of n, with the threshold t = ⌊2n/3⌋ + 1. A smaller number changes nothing."""
    assumed_colluders: int | None = Field(default=None, ge=0, le=10_000)
    """Sites that may work together with the coordinator, in any cohort. None: a fifth of the plan's, at least one."""
    late_cohort: bool = False
    """``strict`` only: the cohort is told to those sites that have trained already, so that a site lost in training
    costs nothing. One more trip."""
    weights: Literal["uniform", "declared", "private", "fixed_denominator"] = "uniform"
    """``declared`` weighs a site by its ``nominal_units``. ``private``: by its own number of patients; only the sum
    over the sites is opened; with privacy each site adds noise to it, once, and is charged for that. A weight is at
    least 1 and at most the largest ``nominal_units``. ``fixed_denominator``, the rule of mode ``distributed`` and of it
    alone: sums of gradients are added as they are and divided by ``sample_rate`` times the ``nominal_units`` of all
    sites in the sum."""
    weight_noise_multiplier: float = Field(default=20.0, ge=0.01, le=1e6, allow_inf_nan=False)
    """``private`` weights: standard deviation of the noise in a site's number of patients."""
    metrics: tuple[MetricPlan, ...] = ()
    """What rides beside the updates. None by default; a site takes part only if its policy allows each of them."""
    sum_norm_bound: PositiveFloat | None = None
    """Masked profiles: the largest L2 norm that one site's weighted update of a round may have. A sum that is longer
    than the survivors' bounds together is not applied, by the coordinator or by any site. None: what sites with four
    times their ``nominal_units`` can send under DP-SGD, noise included; without privacy, what the ring can hold."""
    max_attempts: int = Field(default=2, ge=1, le=5)
    """A round that loses too many sites is tried again, with new batches and new noise, at most so often in all. Every
    attempt is charged, so it takes budget that ``spare_attempts`` must have left."""
    spare_attempts: int = Field(default=0, ge=0, le=1000)
    """Calibrated noise leaves room for so many attempts of the run beyond one a round. At 0 the rounds use epsilon up:
    after a void attempt the last round finds the budget empty, and the run ends early."""
    reply_timeout_s: PositiveFloat = 3600.0
    """How long the coordinator waits for a site's update."""
    trip_timeout_s: PositiveFloat = 120.0
    """How long it waits for any other reply of a masked round: for keys, confirmations and shares."""

    @property
    def is_masked(self) -> bool:
        """Whether nobody can read a single update."""
        return self.profile != "plain_ring"

    def floors(self) -> Floors:
        """What the plan demands of every cohort of a masked profile."""
        return Floors(
            profile=Profile(self.profile),
            min_cohort=self.min_cohort,
            assumed_colluders=self.assumed_colluders,
            allow_two_sites=self.min_cohort <= TWO_SITES,
        )


class EvaluationPlan(Settings):
    """How utility is measured at the sites."""

    heldout_share: Share = 0.1
    """Share of each site's patients that is never trained on."""
    max_heldout_records: int = Field(default=200, ge=1, le=100_000)
    """At most so many held-out records are scored per site."""
    sample_tokens: int = Field(default=0, ge=0, le=2048)
    """Show on the terminal how base and tuned model go on from held-out records, by so many tokens. 0: no record's text
    is shown."""


class SitePlan(Settings):
    """One site's public constants."""

    id: SiteId
    """Name in the roster."""
    nominal_units: int = Field(ge=1, le=1_000_000_000)
    """N₀: the declared, rounded number of patients. Never recomputed from the data, for under add/remove the true
    number is itself private. The gradient's denominator is ``sample_rate`` times this."""
    rank: int | None = Field(default=None, ge=1, le=256)
    """Train only so many columns of B (rows of A), the first ones; the site still runs the whole adapter. None: all of
    ``lora.rank``. At least ``secagg.min_cohort`` sites must train all."""


class TensorSpec(Settings):
    """One tensor of the adapter."""

    name: str
    """Its name in the PEFT file."""
    shape: tuple[int, int]
    """Rows and columns."""


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
                "lower (a sum of two lets each site work out the other's update)"
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
        if secagg.late_cohort and secagg.profile != Profile.STRICT.value:
            raise ValueError("secagg.late_cohort is for the profile strict: the others bear lost sites without it")
        if not secagg.is_masked:
            return
        hint = _profile_hint(secagg.profile, count)
        floors = secagg.floors()
        partial = sum(site.rank not in (None, self.lora.rank) for site in self.sites)
        required = max(partial + secagg.min_cohort, secagg.min_survivors or 0)
        try:
            if count > MAX_SITES and self.privacy.mode.value == "distributed":
                raise ProtocolError("GRAPH_MISMATCH", f"noise in the ring is counted for {MAX_SITES} sites at most")
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
    max_delta: PositiveFloat = 1e-5
    """Largest delta of a plan."""
    units: tuple[PrivacyUnit, ...] = (PrivacyUnit.PATIENT,)
    """Units of privacy that are strong enough."""
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
    max_lora_rank: int = Field(default=64, ge=1)
    """Largest adapter."""
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


def _profile_hint(profile: str, count: int) -> str:
    """What to set instead."""
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
    return "Add sites, or set secagg.assumed_colluders, or secagg.profile = strict"


Parsed = TypeVar("Parsed", bound=Settings)


def validated(model: type[Parsed], raw: bytes, what: str) -> Parsed:
    """Parse JSON ``raw`` into ``model``; every fault becomes one clear error.

    Raises:
        ConfigError: names the first setting that is wrong, and what was expected.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise ConfigError(f"{what}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt key is also a missing one: name what the person wrote.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}"
    if first["type"] == "missing":
        return f"{where!r} is missing"
    text = first["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    return f"{where}: {text}{tail}" if where else f"{text}{tail}"


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises:
        ConfigError: no such file, not UTF-8, not TOML, or too long.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'cannot be read'}", hint="Check the path.") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, a number or a nesting beyond all measure
        raise ConfigError(f"{path}: not a TOML file: {error}", hint="TOML is UTF-8 text; see docs/plan.md.") from error


def to_json(values: object, what: str) -> bytes:
    """Plain values from TOML as JSON, for strict validation.

    Raises:
        ConfigError: a value that JSON cannot hold (a date, NaN, infinity).
    """
    try:
        return json.dumps(values, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{what}: {_unfit(values) or error}", hint="Use strings, whole numbers, finite numbers and lists."
        ) from error


def _unfit(value: object, path: str = "") -> str:
    """The first setting that JSON cannot hold, by its name."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = (_unfit(inner, f"{path}.{key}" if path else str(key)) for key, inner in items)
        return next(filter(None, found), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is not a finite number"
    return "" if isinstance(value, str | int | float) else f"{path} is a {type(value).__name__}"


def digest_of(raw: bytes) -> bytes:
    """SHA-256 of exact bytes: the digest of a plan."""
    return hashlib.sha256(raw).digest()
