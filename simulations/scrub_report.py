"""What desensitisation did before the training: the part of a simulation's report, and its line on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fedward.common.config import RunPlan
from fedward.common.desensitize.intervals import wilson
from fedward.common.desensitize.report import statements
from fedward.common.desensitize.tally import Tally
from fedward.simulations.sites import SiteData

_SHOWN_TYPES = 4


def figures(plan: RunPlan, sites: Sequence[SiteData]) -> dict[str, Any]:
    """Counts, canary recall and over-scrub share, of all sites and of each."""
    scrubbed = [(data.site_id, data.scrubbed) for data in sites if data.scrubbed is not None]
    document: dict[str, Any] = {"required": plan.desensitize.required, "sites_desensitised": len(scrubbed)}
    if not scrubbed:
        return document
    whole = _whole(sites)
    return {
        **document,
        "records": whole.records,
        "records_left_out": whole.failed,
        "identifiers_replaced": sum(whole.by_type.values()),
        "by_type": whole.by_type,
        "over_scrub_share": round(whole.changed_share, 6),
        "over_scrub_note": "share of all characters that were replaced, identifiers included: an upper bound",
        "canaries": canary_rows(sites),
        "canaries_note": "synthetic identifiers put into the sites' own texts; optimistic, as every such estimate is",
        "statement": statements(scrubbed[0][1].policy)["pipl"],
        "sites": [
            {
                "id": site_id,
                "policy_digest": found.policy.digest,
                "profile": found.policy.profile,
                "records": found.tally.records,
                "records_left_out": found.tally.failed,
                "by_type": found.tally.by_type,
                "over_scrub_share": round(found.tally.changed_share, 6),
            }
            for site_id, found in scrubbed
        ],
    }


def canary_rows(sites: Sequence[SiteData]) -> list[dict[str, Any]]:
    """Recall by type over all sites, with Wilson's 95 % interval."""
    injected: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    for data in sites:
        for row in () if data.scrubbed is None else data.scrubbed.canaries:
            injected[row["type"]] += row["injected"]
            caught[row["type"]] += row["caught"]
    rows = []
    for type_ in sorted(injected):
        low, high = wilson(caught[type_], injected[type_])
        rows.append(
            {
                "type": type_,
                "injected": injected[type_],
                "caught": caught[type_],
                "recall": round(caught[type_] / injected[type_], 6),
                "low": round(low, 6),
                "high": round(high, 6),
            }
        )
    return rows


def warnings(sites: Sequence[SiteData]) -> list[str]:
    """What a reader must not overlook."""
    raw = [data.site_id for data in sites if data.scrubbed is None]
    found = []
    if raw:
        found.append(
            f"desensitisation: none at {', '.join(raw[:3])}{' …' if len(raw) > 3 else ''}. Their records are trained "
            "on as they are."
        )
    failed = _whole(sites).failed
    if failed:
        found.append(f"desensitisation: {failed:,} records failed the leak check and were not trained on.")
    return found


def line(sites: Sequence[SiteData]) -> str:
    """One line for the terminal; empty where nothing was desensitised."""
    if all(data.scrubbed is None for data in sites):
        return ""
    whole = _whole(sites)
    by_type = sorted(whole.by_type.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count:,}" for name, count in by_type[:_SHOWN_TYPES])
    text = f"Desensitised first: {sum(whole.by_type.values()):,} identifiers in {whole.records:,} records ({shown}, …)"
    rows = canary_rows(sites)
    if rows:
        caught, injected = sum(row["caught"] for row in rows), sum(row["injected"] for row in rows)
        low, high = wilson(caught, injected)
        text += f"; planted ones found {caught / injected:.1%} [{low:.1%}, {high:.1%}]"
    return text + f"; {whole.changed_share:.1%} of the text changed\n"


def _whole(sites: Sequence[SiteData]) -> Tally:
    whole = Tally()
    for data in sites:
        if data.scrubbed is not None:
            whole.add(data.scrubbed.tally)
    return whole


__all__ = ["canary_rows", "figures", "line", "warnings"]
