"""Everything that a simulated party needs to come to life, in this process or in another one's.

A job is written once by ``fedward simulate`` and read by whoever plays a part: the coordinator, or a site in a Ray
actor. Two processes that read the same job build the same sites.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field

from fedward.common.config import (
    COORDINATOR,
    Aggregation,
    MetricName,
    PrivacyMode,
    PrivacyUnit,
    RunPlan,
    Settings,
    SitePolicy,
    Weighting,
    validated,
)
from fedward.common.errors import ConfigError
from fedward.common.identity import Identity, Roster
from fedward.common.privacy.noise import Entropy
from fedward.common.secagg.plain import PROFILE, PlainRing
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import digest, transcript
from fedward.simulations.recipe import Recipe

SIMULATION_POLICY = SitePolicy(
    max_epsilon=1e6,
    account_epsilon=1e6,
    max_delta=1e-3,
    units=tuple(PrivacyUnit),
    require_desensitization=False,
    privacy_modes=tuple(PrivacyMode),
    min_noise_multiplier=1e-6,
    max_clip_norm=1e9,
    max_sample_rate=1.0,
    max_rounds=100_000,
    max_steps_per_round=100_000,
    max_length_tokens=8192,
    max_records_per_unit=1000,
    max_lora_rank=256,
    max_parameters=1 << 40,
    lora_targets=None,
    weights=get_args(Weighting),
    aggregations=get_args(Aggregation),
    allowed_metrics=get_args(MetricName),
    profiles=(*(profile.value for profile in Profile), PROFILE),
    min_cohort=1,
    assumed_colluders=0,
    allow_two_sites=True,
    max_attempts=5,
    attempt_ttl_s=1e9,
    max_plans_per_day=1_000_000,
)
"""A simulated site allows what research needs, ``plain_ring``, inexact sums and runs without privacy included. No real
one does."""


class SimulationJob(Settings):
    """One simulated run."""

    recipe: Recipe
    plan_json: str
    """The final plan's exact bytes, as text."""
    base_name: str
    base_path: str
    base_digest: str
    data_root: str
    run_id_hex: str = Field(pattern=r"^[0-9a-f]{32}$")
    secret_hex: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    """Source of the simulated identities."""
    scrub_secret_hex: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    """Source of the sites' desensitisation keys."""
    ledgers: str = ""
    """Folder in which the sites leave their ledgers; empty: they end with the run."""
    seeded_noise: bool
    """Noise and sampling from the plan's seed: repeatable, and therefore without any privacy."""

    @property
    def plan_bytes(self) -> bytes:
        """What is offered, hashed and accepted."""
        return self.plan_json.encode()

    @property
    def plan(self) -> RunPlan:
        """The final plan."""
        return RunPlan.from_bytes(self.plan_bytes)

    @property
    def run_id(self) -> bytes:
        """16 bytes."""
        return bytes.fromhex(self.run_id_hex)

    @property
    def is_repeatable(self) -> bool:
        """Whether all randomness comes from the seed. A run without privacy has nothing that needs secret dice."""
        return self.seeded_noise or not self.plan.is_private

    def identity(self, name: str) -> Identity:
        """The identity of a site or of the coordinator."""
        return Identity.simulated(bytes.fromhex(self.secret_hex), name)

    def roster(self) -> Roster:
        """Coordinator and sites; what nobody goes below is the plan's, for here one person makes both."""
        plan = self.plan
        return Roster(
            coordinator_key=self.identity(COORDINATOR).public_key,
            members={site.id: self.identity(site.id).public_key for site in plan.sites},
            assumed_colluders=plan.secagg.assumed_colluders or 0,
            min_cohort=plan.secagg.min_cohort,
            profiles=(plan.secagg.profile,),
        )

    def entropy_for(self, site_id: str) -> Callable[[int, int], Entropy]:
        """The randomness of one site by round and attempt."""
        if not self.is_repeatable:
            return lambda round_number, attempt: Entropy.system()
        root = digest("fedward/simulation/v1/entropy", self.plan.seed)

        def seeded(round_number: int, attempt: int) -> Entropy:
            info = transcript("fedward/simulation/v1/site", site_id, round_number, attempt)
            return Entropy.seeded(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root))

        return seeded

    def to_file(self, path: Path) -> None:
        """Write for the other parties of this simulation, readable by their account alone."""
        path.touch(mode=0o600)
        path.write_text(self.model_dump_json(by_alias=True), "utf-8")

    @classmethod
    def from_file(cls, path: Path) -> SimulationJob:
        """The inverse of ``to_file``.

        Raises:
            ConfigError: no such file, or not a job.
        """
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the simulation's job file cannot be read: {error.strerror}") from error
        return validated(cls, raw, "the simulation's job file")


def aggregator() -> PlainRing:
    """What simulations have beside the masked profiles, and real sites lack."""
    return PlainRing()
