"""The attack table holds, its controls succeed, and it notices a party that has lost a check."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet

from fedward.cli import main
from fedward.client import site
from fedward.common.errors import RunError
from fedward.common.secagg import cohort_checks, own_keys
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.state import State
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks import auxiliary_rows, entropy, flower, graph_rows
from fedward.simulations.attacks.holes import Hole, opened, without
from fedward.simulations.attacks.secagg import ATTACKS, NOT_PLAYED, measure
from fedward.simulations.attacks.site_crash_rows import FORGETFUL
from fedward.simulations.attacks.site_offer_rows import without_rules
from fedward.simulations.attacks.site_scene import sites
from fedward.simulations.attacks.survivor_rows import NEVER_CLOSED, only_pair_masks
from fedward.simulations.attacks.table import Attack, judge

PARTS = {
    "a peer's key swapped, a request forged",
    "a site of the server's, another roster",
    "an old bundle, the own bundle changed",
    "a key that is none, or another site's",
    "a cohort too small, a site twice",
    "thresholds lowered, colluders understated",
    "the plan changed, a weaker profile",
    "other holders, another transport key, another graph",
    "a second bundle, a bundle from before a restart",
    "another model, a false common sum",
    "two stories, each validly signed",
    "Train again, with another cohort, of an older round",
    "many attempts to average the noise away",
    "a retry without one site",
    "a site both alive and dropped",
    "survivors that cannot be",
    "a survivor that sent nothing",
    "other survivors",
    "confirmations missing, too few or mixed",
    "shares for another cohort, or after the erasure",
    "share packets swapped between sites",
    "NaN in an update, too few shares",
    "a wrong, a second, a late vector",
    "a false share, a false dealer",
    "everything that server and colluders hold",
    "a crash after every durable write",
    "the reply scanned for counts, losses, times",
    "garbage in range from a member",
    "answers of witnesses withheld, or of an earlier start",
    "heads of ledgers dropped, altered or taken back",
    "two stories of heads",
    "an old ledger file put back",
}
"""The rows of the design's tables."""
CASES = [(attack, profile) for attack in ATTACKS for profile in attack.profiles]


def party_of(attack: Attack) -> str:
    return attack.party or attack.scene(attack.profiles[0]).party


def marked(attack: Attack, profile: Profile) -> ParameterSet:
    """The default profile is quick to play; that the others treat an agent alike takes its time."""
    is_slow = party_of(attack) == "site agent" and profile is not Profile.RESILIENT
    return pytest.param(attack, profile, marks=[pytest.mark.slow] if is_slow else [])


def named(text: str) -> Attack:
    return next(attack for attack in ATTACKS if text in attack.name)


@pytest.mark.parametrize(
    ("attack", "profile"), [marked(*case) for case in CASES], ids=lambda value: getattr(value, "name", None)
)
def test_attack_gets_its_refusal_and_nothing_else_and_its_control_succeeds(attack: Attack, profile: Profile) -> None:
    row = judge(attack, profile)
    assert (row["received"], row["rule"]) == (row["expected"], attack.rule)
    assert row["charged"] == attack.charges
    assert not row["vector_recovered"]
    assert not row["succeeded"]
    assert row["control"]["succeeded"]


def test_every_row_of_the_table_is_played() -> None:
    assert {attack.part for attack in ATTACKS} == PARTS


def test_no_row_is_listed_twice_for_a_profile() -> None:
    listed = [(attack.name, profile, party_of(attack)) for attack, profile in CASES]
    assert len(listed) == len(set(listed))


def test_what_a_bare_machine_refuses_is_tried_on_an_agent_too() -> None:
    # Other graphs and other coordinates behind the model are refused before an agent's own rules are asked.
    below = {attack.name for attack in (*graph_rows.ATTACKS, *auxiliary_rows.ATTACKS)}
    by_party = {party: {a.name for a in ATTACKS if party_of(a) == party} for party in ("participant", "site agent")}
    assert by_party["participant"] - by_party["site agent"] - below == {
        "fewer coordinates",  # an agent's model has as many as it has
        "a bundle of an older round",  # an older attempt instead
        "an older round",
        "a cohort below the victim's policy",  # the agent judges the plan by its policy
        "three sites, of whom none may be lost",  # no such plan can be written
        "another model in Mask than in Train",
        "a late cohort of the victim alone",
        "a second late cohort",
        "a site's crash after every durable write",  # several rows, one for each write
    }


def test_nothing_of_the_table_is_left_out() -> None:
    assert not NOT_PLAYED


PLANTED: dict[str, tuple[str, list[Hole]]] = {
    "small cohorts": ("cohort below the victim's policy", [without(Floors, "check_cohort", "COHORT_TOO_SMALL")]),
    "bundles unsigned": ("mask key swapped", [without(cohort_checks, "check_bundles", "BAD_SIGNATURE")]),
    "low floor": ("u_min lowered by one", [without(Floors, "check_floor", "HONEST_FLOOR")]),
    "both kinds": (
        "both kinds of share: alive first",
        [*NEVER_CLOSED, without(Participant, "_survivors", "SURVIVORS_CHANGED")],
    ),
    "any clip": ("the clip raised in Train", [without(site, "check_clip", "PLAN_MISMATCH")]),
    "little noise": ("less noise than the policy's", [without_rules("noise")]),
    "answers before it writes": ("killed between journal and reply", [FORGETFUL]),
    "no own mask": (
        "a live site declared dropped",
        [Hole("", own_keys, "mask_keys", only_pair_masks)],
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_check_that_is_lost_makes_its_attack_succeed(name: str) -> None:
    text, holes = PLANTED[name]
    attack = named(text)
    with opened(holes):
        figures = measure([attack], flower=False)
    assert figures["succeeded"] > 0
    assert not figures["passed"]


def test_control_that_does_not_succeed_is_broken() -> None:
    attack = named("u_min lowered by one")
    toothless = Attack(name="toothless", part=attack.part, play=attack.play, expected=attack.expected, holes=[])
    figures = measure([toothless], flower=False)
    assert (figures["succeeded"], figures["broken"], figures["passed"]) == (0, 3, False)


def test_control_that_gets_nothing_to_be_seen_is_broken() -> None:
    empty = Attack(name="says so", part="", play=lambda _: True, expected="", holes=[])
    row = judge(empty, Profile.STRICT)
    assert not row["is_sound"]
    assert row["control"]["got"] == ""


def test_control_that_has_to_recover_a_vector_is_broken_by_less() -> None:
    attack = named("u_min lowered by one")
    wants_more = replace(attack, vector_in=attack.profiles)
    assert not judge(wants_more, Profile.STRICT)["is_sound"]


def test_refusal_by_another_rule_is_broken() -> None:
    attack = named("less noise than the policy's")
    assert not judge(replace(attack, rule="delta"), Profile.RESILIENT)["is_sound"]


def test_agents_of_all_profiles_open_the_same_sum() -> None:
    scenes = [sites()(profile) for profile in Profile]
    totals = [scene.sum_of((1, 0), scene.names) for scene in scenes]
    assert all(np.array_equal(total, totals[0]) for total in totals)
    assert {scene.num_charged for scene in scenes} == {1}


def test_another_code_than_expected_is_broken() -> None:
    attack = named("u_min lowered by one")
    other = Attack(name="other", part=attack.part, play=attack.play, expected="LATE", holes=attack.holes)
    assert measure([other], flower=False)["broken"] == 3


def test_check_that_is_not_there_cannot_be_cut_out() -> None:
    with pytest.raises(RunError, match="no check for LATE"):
        without(Floors, "check_cohort", "LATE")


def test_hole_is_closed_again_after_the_control() -> None:
    before = State.without_secrets
    with opened(NEVER_CLOSED):
        assert State.without_secrets is not before
    assert State.without_secrets is before


@pytest.mark.parametrize("act", flower.ATTACKS.values(), ids=list(flower.ATTACKS))
def test_flowers_client_gives_the_vector_away(act: Callable[[], bool]) -> None:
    with flower.in_a_task():
        assert act()


def test_all_bits_of_our_seeds_vary_and_flowers_do_not() -> None:
    ours, flowers = entropy.measure()
    assert ours == {
        "generator": "fedward",
        "key_bytes": 32,
        "seed_bits": 256,
        "varying_seed_bits": 256,
        "dead_key_bits": 0,
        "two_keys_with_one_stream": False,
        "passed": True,
    }
    assert (flowers["seed_bits"], flowers["varying_seed_bits"], flowers["passed"]) == (32, 28, False)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    kept = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["fedward", "attack", "secagg", *words])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, kept)
    return int(ended.value.code or 0)


def test_command_prints_one_json_object_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--json", "--only", "cohort of the victim alone") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"attacks", "succeeded", "broken", "rows", "not_played", "definitions", "passed"} == set(figures)
    assert (figures["attacks"], figures["succeeded"]) == (7, 0)
    assert {row["profile"] for row in figures["rows"]} == {profile.value for profile in Profile}
    assert all(row["control"]["vector_recovered"] for row in figures["rows"])


def test_command_fails_if_an_attack_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = without(Floors, "check_floor", "HONEST_FLOOR")
    monkeypatch.setattr(hole.owner, hole.attribute, hole.replacement)
    assert command(monkeypatch, "--only", "u_min lowered by one") == 1
    assert "6 succeeded" in capsys.readouterr().out


def test_command_refuses_a_name_that_no_attack_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "--only", "no such thing") == 2
