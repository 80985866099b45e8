"""One simulation from recipe to report: base, data, plan, rounds, measurements, files."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from fedward.client.intake import Patients
from fedward.client.training.base_model import require_device
from fedward.common.atomic import write_atomically
from fedward.common.config import COORDINATOR, PrivacyMode
from fedward.common.errors import ConfigError
from fedward.common.logs.logger import log
from fedward.common.lora import adapters
from fedward.common.secagg.transcript import digest
from fedward.simulations import report as reports
from fedward.simulations.console import Interface, RoundProgress
from fedward.simulations.job import SimulationJob, aggregator
from fedward.simulations.privacy_report import plan_warnings
from fedward.simulations.recipe import Recipe
from fedward.simulations.sites import SiteData, SitePatients, final_plan, read_patients, site_agent, tokenise

if TYPE_CHECKING:
    from fedward.client.training.base_model import Base
    from fedward.client.training.session import AdapterSession
    from fedward.server.rounds import RunResult

Runtime = Literal["inprocess", "flwr"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a recipe is run."""

    data_root: Path
    out: Path
    runtime: Runtime = "inprocess"
    seeded_noise: bool = False
    cache_dir: Path | None = None
    random_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Of which the sites' desensitisation keys are made, unless the run is repeatable."""

    def scrub_secret(self, recipe: Recipe) -> bytes:
        """The source of the sites' desensitisation keys; public, from the seed, where a run is to be repeatable."""
        if self.seeded_noise or recipe.privacy.mode is PrivacyMode.NONE:
            return digest("fedward/simulation/v1/scrub", recipe.seed)
        return self.random_secret


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    _start: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a ``with`` block."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def total(self) -> dict[str, float]:
        """All stages, and the whole so far."""
        return {**self.seconds, "total": time.perf_counter() - self._start}


def simulate(recipe: Recipe, options: Options, ui: Interface, watch: Stopwatch | None = None) -> reports.Outcome:
    """Run ``recipe`` and write ``adapter/`` and ``report.json`` to the output folder.

    Until the run is over nothing is written. Then an old report goes first, so that no adapter ever lies beside the
    report of another run.

    Raises:
        FedwardError: what went wrong, with a hint.
    """
    watch = watch or Stopwatch()
    _check_out(options.out)
    for line in plan_warnings(recipe.draft_plan()):
        ui.say(f"[yellow]! {escape(line)}[/]")
    require_device(recipe.base.quantization)
    with watch.stage("data"):
        patients = read_all(recipe, options, ui)
    with watch.stage("base"), ui.bar("Loading libraries and base model", 1) as tick:
        session, base = load_session(recipe, options, ui)
        tick(1)
    with watch.stage("tokenise"):
        sites = tokenise_all(recipe, patients, session, ui)
    with watch.stage("plan"):
        session.probe()  # every site will; here a base that fails says why
        job = make_job(recipe, options, session, base)
    start = adapters.initial_adapter(job.plan.layout, job.plan.seed)
    from fedward.simulations.measure import held_out_utility, samples

    with watch.stage("evaluate_before"):
        before = held_out_utility(session, start, sites, ui, "Held-out text, base model")
    with watch.stage("rounds"):
        result = _run(job, options, sites, session, ui)
    with watch.stage("evaluate_after"):
        after = held_out_utility(session, result.adapter, sites, ui, "Held-out text, tuned model")
        texts = samples(session, start, result.adapter, sites, num_tokens=recipe.evaluation.sample_tokens)
    counts = _count_sites(patients)
    outcome = reports.Outcome(
        job=job,
        runtime=options.runtime,
        result=result,
        sites=sites,
        before=before,
        after=after,
        samples=texts,
        shared_patients=sum(count > 1 for count in counts.values()),
        most_sites=max(counts.values(), default=1),
        seconds=watch.total(),
    )
    _write(outcome, options.out, session)
    return outcome


def _check_out(out: Path) -> None:
    """Find out now, not after an hour of training, that the result cannot be written, or would replace other things."""
    adapter, report = out / "adapter", out / "report.json"
    try:
        if (out.is_symlink() or out.exists()) and not out.is_dir():
            raise ConfigError(f"{out} is a file or a broken link", hint="Give a folder with --out.")
        if adapter.is_symlink() or (adapter.exists() and not (adapter / "adapter_config.json").is_file()):
            raise ConfigError(f"{adapter} is there and is no adapter of an earlier run", hint="Choose another --out.")
        if report.is_symlink() or (report.exists() and not report.is_file()):
            raise ConfigError(f"{report} is there and is no file", hint="Choose another --out.")
        nearest = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
        probe = nearest / f".fedward-{secrets.token_hex(4)}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise ConfigError(f"--out cannot be written: {error.strerror}", hint="Choose another --out.") from error


def _count_sites(patients: Mapping[str, Patients]) -> Counter[str]:
    """Patient id to sites that train on it: if one id is one person, each site's epsilon covers a part only."""
    return Counter(
        patient_id for found in patients.values() for patient_id in {records[0].patient_id for records in found.train}
    )


def read_all(recipe: Recipe, options: Options, ui: Interface) -> dict[str, SitePatients]:
    """Every site's patients, by site id; desensitised by each site, unless the recipe does without."""
    found, secret = {}, options.scrub_secret(recipe)
    title = "Desensitising the sites' records" if recipe.desensitize.required else "Reading the sites' records"
    with ui.bar(title, len(recipe.sites)) as tick:
        for index, site in enumerate(recipe.sites):
            found[site.id] = read_patients(recipe, site.id, options.data_root, scrub_secret=secret)
            tick(index + 1, site.id)
    return found


def load_session(recipe: Recipe, options: Options, ui: Interface) -> tuple[AdapterSession, Base]:
    """The recipe's base with an adapter on it, for all sites of this process."""
    import torch

    from fedward.client.training.base_model import load_base, resolve_base
    from fedward.client.training.session import AdapterSession
    from fedward.simulations.base import embedded_base_dir

    # One thread: sites of a simulation share the cores, and one thread gives the same bits everywhere.
    torch.set_num_threads(1)
    base = resolve_base(recipe.base.name, embedded=embedded_base_dir(), cache_dir=options.cache_dir, progress=ui.say)
    model, tokenizer = load_base(base, dtype=recipe.base.dtype, quantization=recipe.base.quantization)
    return AdapterSession(model, tokenizer, recipe.draft_plan()), base


def tokenise_all(
    recipe: Recipe, patients: Mapping[str, SitePatients], session: AdapterSession, ui: Interface
) -> list[SiteData]:
    """Every site's patients as token ids, in the recipe's order."""
    sites: list[SiteData] = []
    with ui.bar("Tokenising", len(patients)) as tick:
        for site_id, found in patients.items():
            sites.append(tokenise(recipe, site_id, found, session.tokenizer))
            tick(len(sites), site_id)
    return sites


def make_job(recipe: Recipe, options: Options, session: AdapterSession, base: Base) -> SimulationJob:
    """One run of the recipe: its final plan, new identities, a new run id."""
    plan = final_plan(recipe.draft_plan(), session, base_digest=base.digest)
    return SimulationJob(
        recipe=recipe,
        plan_json=plan.to_bytes().decode(),
        base_name=base.name,
        base_path=str(base.path.absolute()),
        base_digest=base.digest,
        data_root=str(options.data_root.absolute()),
        run_id_hex=secrets.token_hex(16),
        secret_hex=secrets.token_hex(32),
        scrub_secret_hex=options.scrub_secret(recipe).hex(),
        seeded_noise=options.seeded_noise,
    )


def _run(
    job: SimulationJob, options: Options, sites: Sequence[SiteData], session: AdapterSession, ui: Interface
) -> RunResult:
    plan = job.plan
    with ui.bar("Federated rounds", plan.rounds * len(plan.sites)) as tick:
        progress = RoundProgress(ui, tick, num_rounds=plan.rounds, num_sites=len(plan.sites))
        if options.runtime == "flwr":
            tick(0, "starting Flower and Ray")
            from fedward.simulations.flower_runtime import run_with_flower

            return run_with_flower(job, progress)
        return run_in_process(job, sites, session, progress)


def run_in_process(
    job: SimulationJob, sites: Sequence[SiteData], session: AdapterSession, progress: RoundProgress
) -> RunResult:
    """All sites in this process, on one frozen base; only adapters are swapped."""
    from fedward.server.app import SystemClock
    from fedward.server.rounds import RoundLoop
    from fedward.server.run_log import RunLog
    from fedward.simulations.memory_grid import MemoryGrid

    agents = {data.site_id: site_agent(job, data, session, on_step=progress.step) for data in sites}
    loop = RoundLoop(
        plan_bytes=job.plan_bytes,
        run_id=job.run_id,
        identity=job.identity(COORDINATOR),
        roster=job.roster(),
        grid=MemoryGrid({site_id: agent.handle for site_id, agent in agents.items()}, seed=job.plan.seed),
        clock=SystemClock(),
        aggregator=aggregator(),
        observer=RunLog(log, job.run_id, [site.id for site in job.plan.sites], progress),
    )
    return loop.run()


def _write(outcome: reports.Outcome, out: Path, session: AdapterSession) -> None:
    document = reports.dumps(reports.report(outcome))
    (out / "report.json").unlink(missing_ok=True)
    adapters.save_peft(
        out / "adapter",
        outcome.job.plan,
        outcome.result.adapter,
        base_path=outcome.job.base_path,
        fan_in_fan_out=session.fan_in_fan_out,
    )
    write_atomically(out / "report.json", document)
