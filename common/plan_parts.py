"""The tables of a ``RunPlan``, one class each; what they must be together, ``config`` checks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from fedward.common.desensitize.policy import ScrubProfile, Stance
from fedward.common.errors import ConfigError
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.thresholds import Profile
from fedward.common.settings import AUTO, Decay, PositiveFloat, Settings, Share, SiteId, auto_or

COORDINATOR = "coordinator"
"""The coordinator's name as sender of messages; no site may carry it."""
ClipNorm = Annotated[float | Literal["auto"], auto_or(1e-6, 1e6)]
SampleRate = Annotated[float | Literal["auto"], auto_or(1e-9, 1.0)]
TWO_SITES = 2
Aggregation = Literal["ffa", "fedsvd", "alternate", "naive"]
"""Which factors sites train, and what the server does with their sum; see ``common.lora.aggregation``."""


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


class DesensitizePlan(Settings):
    """What must have been done to every site's records before they are trained on."""

    required: bool = True
    """A site that trains on records as they are is not in the run. Each acceptance names the policy under which the
    site's records were desensitised."""
    least_profile: ScrubProfile = "fast"
    """``structured``: numbers, dates and whatever else has a form. ``fast``: names, organisations and addresses too, by
    rules and a tagger. ``max-recall``: by every tagger there is. A site may do more."""
    least_stance: Stance = "balanced"
    """How sure a hit must be to count, at most: ``strict`` misses the most, ``safe`` replaces the most."""
    safe_harbor: bool = False
    """Only under policies by the rules of 45 CFR 164.514(b)(2)."""


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
