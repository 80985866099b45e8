"""``fedward attack secagg``: the attack table, each row with its control; the same against Flower's client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedward.simulations.attacks import (
    auxiliary_rows,
    bundle_rows,
    cohort_rows,
    coordinator_rows,
    crash_rows,
    graph_rows,
    model_rows,
    round_rows,
    share_rows,
    site_crash_rows,
    site_life_rows,
    site_offer_rows,
    site_replays,
    site_train_rows,
    survivor_rows,
    witness_rows,
)
from fedward.simulations.attacks.table import Attack, judge, summary
from fedward.simulations.console import Interface, Silent

ATTACKS: tuple[Attack, ...] = (
    *cohort_rows.ATTACKS,
    *auxiliary_rows.ATTACKS,
    *bundle_rows.ATTACKS,
    *survivor_rows.ATTACKS,
    *round_rows.ATTACKS,
    *model_rows.ATTACKS,
    *coordinator_rows.ATTACKS,
    *share_rows.ATTACKS,
    *crash_rows.ATTACKS,
    *graph_rows.ATTACKS,
    *site_replays.ATTACKS,
    *site_train_rows.ATTACKS,
    *site_offer_rows.ATTACKS,
    *site_life_rows.ATTACKS,
    *site_crash_rows.ATTACKS,
    *witness_rows.ATTACKS,
)
NOT_PLAYED: Mapping[str, str] = {}
"""What the design's table has besides, and why it is not here."""
DEFINITIONS: Mapping[str, str] = {
    "attacks": "rows: an attack in a profile",
    "succeeded": "rows in which the attacker got the victim's vector, or another thing it must not have",
    "broken": "rows whose refusal code or charge is not the expected one, or whose control does not succeed",
    "against": "who must see through it: a site's agent, its bare protocol machine (participant), or the coordinator",
    "charged": "releases in the victim's account (site agent), or vectors it wrote down as sent (participant)",
    "control": "the same play with only the named checks cut out of the parties' code; it must succeed",
    "got": "what the control got and the real attack did not: the vector, a reply of the victim, or a measured harm",
    "is_known_limit": "it passes, and the documentation says so; it does not give a vector away",
}


def measure(attacks: Sequence[Attack] = ATTACKS, *, flower: bool = True, ui: Interface | None = None) -> dict[str, Any]:
    """Play the table.

    Args:
        attacks: rows.
        flower: whether to play the first three against Flower's client too, and to examine both mask generators.
        ui: shows progress.

    Returns:
        A JSON object: ``attacks``, ``succeeded``, ``broken``, ``rows``, ``not_played``, ``definitions``; with Flower
        ``flower`` and ``seed_entropy``. ``passed``: nothing succeeded, nothing is broken, and Flower's client did give
        the vectors away, without which the first rows would show little.
    """
    played = [(attack, profile) for attack in attacks for profile in attack.profiles]
    rows = []
    with (ui or Silent()).bar("Hostile servers", len(played)) as tick:
        for number, (attack, profile) in enumerate(played):
            tick(number, attack.name[:40])
            rows.append(judge(attack, profile))
        tick(len(played), "")
    figures: dict[str, Any] = {**summary(rows), "rows": rows}
    passed = not figures["succeeded"] and not figures["broken"]
    if flower:
        from fedward.simulations.attacks import entropy
        from fedward.simulations.attacks import flower as against

        figures["flower"] = against.measure()
        figures["seed_entropy"] = entropy.measure()
        ours, flowers = figures["seed_entropy"]
        passed = passed and all(row["vector_recovered"] for row in figures["flower"])
        passed = passed and ours["passed"] and not flowers["passed"]
    return {**figures, "not_played": dict(NOT_PLAYED), "definitions": dict(DEFINITIONS), "passed": passed}


__all__ = ["ATTACKS", "DEFINITIONS", "measure", "NOT_PLAYED"]
