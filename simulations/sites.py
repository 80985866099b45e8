"""Simulated sites: records read, split, tokenised, and a ``SiteAgent`` for each, on one shared base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedward.client.clean_records import CleanRecords, clean_records
from fedward.client.intake import DataSource, Patients, Record, load_records, split_patients
from fedward.client.ledger_store import LedgerStore
from fedward.client.record_units import record_units
from fedward.client.site import SiteAgent
from fedward.client.witness import Witnessing
from fedward.common.agreement import events_beside_training, probe_events, run_epsilon, with_sample_rate
from fedward.common.config import PrivacyUnit, RunPlan
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.tally import Tally
from fedward.common.distributed_terms import releases_per_round, round_noise
from fedward.common.errors import DataError, DesensitizationError, EmptyDataError, PlanError
from fedward.common.privacy.accounting import epsilon
from fedward.simulations.job import SIMULATION_POLICY, SimulationJob, aggregator
from fedward.simulations.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from fedward.client.training.session import AdapterSession


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteData:
    """One site's patients and held-out records, as token ids."""

    site_id: str
    units: Sequence[Sequence[Sequence[int]]] = field(repr=False)
    heldout: Sequence[Sequence[int]] = field(repr=False)
    heldout_bytes: Sequence[int] = field(repr=False)
    """UTF-8 length of the scored part of each held-out text."""
    num_records: int
    """For the researcher's own eyes: a real site tells nobody."""
    records_left_out: int = 0
    """Where the unit is a record: how many were more than a patient may have."""
    patients_of_records: int | None = None
    """Where the unit is a record: of how many patients they are. None: a unit is a patient."""
    scrubbed: CleanRecords | None = field(default=None, repr=False)
    """What desensitisation counted; its records are gone. None: the records are as they came."""

    @property
    def num_patients(self) -> int:
        """Patients that are trained on."""
        return len(self.units) if self.patients_of_records is None else self.patients_of_records


@dataclass(frozen=True, kw_only=True, slots=True)
class SitePatients(Patients):
    """A site's patients, and what desensitisation counted on the way."""

    scrubbed: CleanRecords | None = field(default=None, repr=False)


def read_patients(
    recipe: Recipe, site_id: str, root: Path, *, keys: ScrubKeys, with_canaries: bool = True
) -> SitePatients:
    """A site's patients, the held-out ones apart; desensitised, unless the recipe does without.

    Args:
        keys: of the site's desensitisation.
        with_canaries: estimate recall too.

    Raises:
        DataError: what is wrong with the site's file.
        DesensitizationError: too many records fail the leak check.
    """
    try:
        return _read_patients(recipe, site_id, root, keys, with_canaries)
    except (DataError, DesensitizationError) as error:
        raise type(error)(f"site {site_id!r}: {error.message}", hint=error.advice) from error


def _read_patients(recipe: Recipe, site_id: str, root: Path, keys: ScrubKeys, with_canaries: bool) -> SitePatients:
    found = _loaded(recipe, recipe.source(site_id, root), keys, with_canaries=with_canaries)
    apart = recipe.heldout_source(site_id, root)
    if apart is None:
        share = recipe.evaluation.heldout_share
        patients = split_patients(found.records, heldout_share=share, split_seed=recipe.seed)
    else:
        train = split_patients(found.records, heldout_share=0.0, split_seed=recipe.seed).train
        beside = _loaded(recipe, apart, keys, with_canaries=False)
        heldout = split_patients(beside.records, heldout_share=0.0, split_seed=recipe.seed).train
        patients = Patients(train=train, heldout=_strangers(train, heldout))
        found.tally.add(beside.tally)
    if not patients.train:
        raise EmptyDataError("no patient to train on")
    scrubbed = replace(found, records=()) if recipe.desensitize.required else None
    return SitePatients(train=patients.train, heldout=patients.heldout, scrubbed=scrubbed)


def _loaded(recipe: Recipe, source: DataSource, keys: ScrubKeys, *, with_canaries: bool) -> CleanRecords:
    """The records of a file, desensitised where the recipe asks for it."""
    records = load_records(source)
    if not recipe.desensitize.required:
        return CleanRecords(records=records, policy=recipe.scrub, tally=Tally())
    return clean_records(records, recipe.scrub, keys, with_canaries=with_canaries)


def _strangers(
    train: tuple[tuple[Record, ...], ...], heldout: tuple[tuple[Record, ...], ...]
) -> tuple[tuple[Record, ...], ...]:
    """Held-out patients without those who are trained on."""
    known = {records[0].patient_id for records in train}
    return tuple(records for records in heldout if records[0].patient_id not in known)


def tokenise(recipe: Recipe, site_id: str, patients: SitePatients, tokenizer: PreTrainedTokenizerBase) -> SiteData:
    """A site's units as token ids, records cut to the plan's length.

    A unit is a patient, or one record of those that a patient may have.
    """
    from fedward.client.training.base_model import count_scored_bytes, encode_texts

    limit = recipe.base.max_length_tokens
    by_record = recipe.privacy.unit is PrivacyUnit.RECORD
    train, left_out = patients.train, 0
    if by_record:
        train, left_out = record_units(train, limit=recipe.training.max_records_per_unit, seed=recipe.seed)
    texts = [record.text for records in train for record in records]
    ids = iter(encode_texts(tokenizer, texts, max_length_tokens=limit))
    units = [[next(ids) for _ in records] for records in train]
    texts_apart = [record.text for records in patients.heldout for record in records]
    texts_apart = texts_apart[: recipe.evaluation.max_heldout_records]
    heldout = encode_texts(tokenizer, texts_apart, max_length_tokens=limit)
    return SiteData(
        site_id=site_id,
        units=units,
        heldout=heldout,
        heldout_bytes=count_scored_bytes(tokenizer, texts_apart, heldout),
        num_records=len(texts),
        records_left_out=left_out,
        patients_of_records=len(patients.train) if by_record else None,
        scrubbed=patients.scrubbed,
    )


def site_agent(
    job: SimulationJob,
    data: SiteData,
    session: AdapterSession,
    *,
    on_step: Callable[[int, int], None] | None = None,
    store: LedgerStore | None = None,
    witness: Witnessing | None = None,
) -> SiteAgent:
    """The agent of one simulated site.

    Args:
        store: where it goes on from; None: it begins, and lives in this process.
        witness: its part in the exchange of ledgers' heads; None: it takes none.
    """
    from fedward.client.training.local import LocalTrainer

    site_id = data.site_id
    return SiteAgent(
        site_id=site_id,
        identity=job.identity(site_id),
        roster=job.roster(),
        # The plan's unit alone: the account then counts for whom the run protects.
        policy=SIMULATION_POLICY.model_copy(update={"units": (job.plan.privacy.unit,)}),
        trainer=LocalTrainer(
            site_id=site_id, session=session, base_digest=job.base_digest, units=data.units, on_step=on_step
        ),
        aggregator=aggregator(),
        entropy_for=job.entropy_for(site_id),
        desensitized=job.recipe.scrub if job.recipe.desensitize.required else None,
        store=store,
        witness=witness,
    )


def final_plan(draft: RunPlan, session: AdapterSession, *, base_digest: str) -> RunPlan:
    """The plan with what the coordinator fills in: base digest, layout, sample rate, noise.

    Raises:
        CalibrationError: the plan's epsilon cannot be had with its rounds, steps and sample rate.
        ConfigError: the rank is above what this base's modules can have orthonormal rows of.
    """
    from fedward.common.privacy.calibration import calibrate

    limit = session.max_positions
    if limit is not None and draft.base.max_length_tokens > limit:
        raise PlanError(
            f"base.max_length_tokens is {draft.base.max_length_tokens}, but the base reads {limit} tokens at most",
            hint="Lower base.max_length_tokens.",
        )
    draft = with_sample_rate(draft)
    noise = draft.privacy.noise_multiplier
    if draft.is_private and noise is None:
        _check_room(draft)
        noise = calibrate(
            target_epsilon=draft.privacy.epsilon,
            delta=draft.privacy.delta,
            sample_rate=draft.training.resolved_sample_rate,
            num_steps=releases_per_round(draft) * (draft.rounds + draft.secagg.spare_attempts),
            history=events_beside_training(draft, draft.rounds + draft.secagg.spare_attempts),
        )
        noise = round_noise(draft, noise)
    plan = draft.model_copy(
        update={
            "base": draft.base.model_copy(update={"digest": base_digest}),
            "privacy": draft.privacy.model_copy(update={"noise_multiplier": noise}),
            "layout": session.layout,
        }
    )
    _check_epsilon(plan)
    # As every site will read it: what was filled in must obey the plan's rules too.
    return RunPlan.from_bytes(plan.to_bytes())


def _check_room(plan: RunPlan) -> None:
    """A probe, weights or metrics that leave nothing for the training, told in words that name them."""
    cost = epsilon(probe_events(plan), plan.privacy.delta)
    if not cost <= plan.privacy.epsilon:
        raise PlanError(
            f"privacy.clip_norm auto: its probe alone costs epsilon {cost:.3f}, the plan says {plan.privacy.epsilon}",
            hint="Set privacy.clip_norm to a number, or raise epsilon.",
        )
    beside = epsilon(events_beside_training(plan, plan.rounds + plan.secagg.spare_attempts), plan.privacy.delta)
    if not beside <= plan.privacy.epsilon:
        raise PlanError(
            f"private weights and metrics alone, with the probe if there is one, cost epsilon {beside:.3f}, the plan "
            f"says {plan.privacy.epsilon}",
            hint="Raise secagg.weight_noise_multiplier or the metrics' noise_multiplier, or leave them out.",
        )


def _check_epsilon(plan: RunPlan) -> None:
    """Every site would refuse a plan whose stated noise costs more than its stated epsilon; say it now."""
    cost = run_epsilon(plan)
    if plan.is_private and not cost <= plan.privacy.epsilon:
        raise PlanError(
            f"noise_multiplier {plan.privacy.noise_multiplier} costs epsilon {cost:.3f}, the plan says "
            f"{plan.privacy.epsilon}",
            hint="Leave privacy.noise_multiplier out: it is then found from epsilon and delta.",
        )
