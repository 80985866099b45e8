from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedward.common.agreement import round_event
from fedward.common.errors import ConfigError
from fedward.common.lora import adapters
from fedward.common.privacy.accounting import Gaussian, epsilon, history_to_json
from fedward.server.rounds import RoundRecord, RunResult
from fedward.simulations import report as reports
from fedward.simulations import summary
from fedward.simulations.job import SimulationJob
from fedward.simulations.measure import Utility
from fedward.simulations.recipe import Recipe
from fedward.simulations.sites import SiteData
from tests.federation_simulator import make_plan
from tests.simulations.conftest import small_recipe

PLAN = make_plan(rounds=2)
SITES = [site.id for site in PLAN.sites]


def outcome(plan: Any = PLAN, *, seeded_noise: bool = False, **changes: Any) -> reports.Outcome:  # noqa: ANN401
    """A finished run of which every part can be changed."""
    recipe = Recipe.model_validate_json(json.dumps(small_recipe()))
    job = SimulationJob(
        recipe=recipe,
        plan_json=plan.to_bytes().decode(),
        base_name="embedded",
        base_path="base",
        base_digest="0" * 64,
        out=".",
        run_id_hex="11" * 16,
        secret_hex="22" * 32,
        seeded_noise=seeded_noise,
    )
    statement = history_to_json([round_event(plan)] * 2) if plan.is_private else b""
    record = RoundRecord(
        round_number=1,
        attempt=0,
        cohort=tuple(SITES),
        survivors=tuple(SITES),
        dropped={},
        bytes_to_site=100,
        bytes_from_site=90,
        trips=1,
        seconds=1.0,
        update_norm=0.5,
        trained_parameters=6,
        clamped_share=0.0,
    )
    result = RunResult(
        adapter=adapters.initial_adapter(plan.layout, 0),
        model_digest=bytes(32),
        rounds=(record, replace(record, round_number=2)),
        refusals={},
        events=dict.fromkeys(SITES, statement),
    )
    sites = [
        SiteData(site_id=site, units=[[[1, 2, 3]]], heldout=[[1, 2]], heldout_bytes=[4], num_records=1)
        for site in SITES
    ]
    utility = Utility(perplexity=10.0, by_site=dict.fromkeys(SITES, (10.0, 2.0)))
    return reports.Outcome(
        job=job,
        runtime="inprocess",
        result=replace(result, **changes),
        sites=sites,
        before=utility,
        after=utility,
        seconds={"total": 3.0},
    )


def test_epsilon_is_composed_from_what_the_site_says_it_was_charged() -> None:
    report = reports.report(outcome())
    expected = epsilon([round_event(PLAN)] * 2, PLAN.privacy.delta)
    assert [site["epsilon"] for site in report["sites"]] == [expected] * 3
    assert report["headline"]["epsilon_max"] == expected


HOSTILE: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("no JSON", b"{"),
    ("no event", history_to_json([])),
    ("another event", history_to_json([Gaussian(noise_multiplier=2.0, num_releases=1)])),
    ("fewer rounds than its vector was in", history_to_json([round_event(PLAN)])),
    ("more rounds than there were", history_to_json([round_event(PLAN)] * 99)),
]


@pytest.mark.parametrize(("name", "statement"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_a_statement_that_cannot_be_this_runs_counts_for_nothing_and_is_named(name: str, statement: bytes) -> None:
    events = {**outcome().result.events, "beta": statement}
    report = reports.report(outcome(events=events))
    assert {site["id"]: site["epsilon"] is None for site in report["sites"]} == {
        "alpha": False,
        "beta": True,
        "gamma": False,
    }
    assert any("beta gave no credible statement" in line for line in report["warnings"])


def test_seeded_noise_is_called_no_privacy_in_headline_and_warnings() -> None:
    report = reports.report(outcome(seeded_noise=True))
    assert "no privacy" in report["headline"]["noise"]
    assert any("no privacy" in line for line in report["warnings"])


def test_a_run_without_privacy_has_no_epsilon() -> None:
    report = reports.report(outcome(make_plan(privacy={"mode": "none"})))
    assert report["headline"]["epsilon_max"] is None
    assert report["privacy"] == {"mode": "none"}


def test_every_report_says_what_is_missing_and_what_epsilon_covers() -> None:
    report = reports.report(outcome())
    text = " ".join(report["warnings"])
    assert "secure aggregation: none" in text
    assert "desensitisation: none" in text
    assert "not earlier runs" in report["privacy"]["covers"]


def test_an_early_end_and_a_reached_clamp_are_warned_of() -> None:
    done = outcome()
    clamped = tuple(replace(record, clamped_share=0.25) for record in done.result.rounds)
    lines = reports.report(outcome(ended_early="round 3 was void", rounds=clamped))["warnings"]
    assert any("ended early: round 3 was void" in line for line in lines)
    assert any("clamp" in line for line in lines)


def test_patients_at_several_sites_are_counted_and_warned_of() -> None:
    report = reports.report(replace(outcome(), shared_patients=7, most_sites=2))
    assert report["privacy"]["patient_ids_at_several_sites"] == 7
    assert any("7 patient ids" in line and "max_sites_per_unit to 2" in line for line in report["warnings"])


def test_a_perplexity_that_rose_is_explained() -> None:
    done = outcome()
    worse = replace(done, after=replace(done.after, perplexity=10.5))
    assert any("perplexity rose" in line and "patients" in line for line in reports.report(worse)["warnings"])
    assert not any("perplexity rose" in line for line in reports.report(done)["warnings"])


def test_a_site_that_refused_has_no_part_in_the_headline() -> None:
    events = {site: events for site, events in outcome().result.events.items() if site != "gamma"}
    report = reports.report(outcome(refusals={"gamma": "POLICY_REFUSED/delta"}, events=events))
    assert report["headline"]["sites"] == 2
    assert report["not_taking_part"] == {"gamma": "POLICY_REFUSED/delta"}
    assert not any("gamma" in line for line in report["warnings"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        reports.dumps({"perplexity": value})


def test_the_adapters_figures_are_those_of_the_layout() -> None:
    figures = reports.report(outcome())["adapter"]
    assert (figures["parameters"], figures["trained_parameters"]) == (2 * 4 + 3 * 2, 3 * 2)


@pytest.mark.parametrize(
    ("method", "odd", "even", "sent"),
    [("ffa", 6, 6, 6), ("fedsvd", 6, 6, 14), ("alternate", 6, 8, 14), ("naive", 14, 14, 14)],
)
def test_the_method_and_what_it_trains_and_sends_are_told(method: str, odd: int, even: int, sent: int) -> None:
    done = outcome(make_plan(rounds=2, lora={"aggregation": method}, server={"optimizer": "fedadam"}))
    figures = reports.report(done)["adapter"]
    assert figures["aggregation"] == method
    assert (figures["trained_in_odd_rounds"], figures["trained_in_even_rounds"]) == (odd, even)
    assert (figures["trained_parameters"], figures["sent_to_sites"]) == (max(odd, even), sent)
    assert figures["a_start"] == ("orthonormal" if method == "fedsvd" else "random")
    assert (figures["server_optimizer"], figures["server_learning_rate"]) == ("fedadam", 0.01)


def printed(done: reports.Outcome) -> str:
    """The summary as plain text."""
    console = Console(width=200, record=True, file=io.StringIO())
    summary.show(done, Path("out"), console)
    return console.export_text()


def test_the_summary_names_the_method_and_the_larger_of_the_last_two_rounds() -> None:
    done = outcome(make_plan(rounds=2, lora={"aggregation": "alternate"}))
    first, second = done.result.rounds
    done = replace(done, result=replace(done.result, rounds=(first, replace(second, bytes_from_site=98))))
    text = printed(done)
    assert "Aggregation: alternate, trains 6 (odd rounds) and 8 (even rounds) of 14 numbers\n" in text
    assert "100 bytes down, 98 bytes up" in text
    done = replace(done, result=replace(done.result, rounds=(first,)))
    assert "100 bytes down, 90 bytes up" in printed(done)


def test_ranks_of_the_sites_are_told() -> None:
    ranks = zip(SITES, (1, 2, 2), strict=True)
    done = outcome(make_plan(rounds=2, sites=[{"id": s, "nominal_units": 50, "rank": r} for s, r in ranks]))
    assert [site["rank"] for site in reports.report(done)["sites"]] == [1, 2, 2]
    assert "ffa, trains 6 of 14 numbers, sites of rank 1 to 2" in printed(done)
