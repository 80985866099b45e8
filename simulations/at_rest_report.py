"""What a run's parties keep, what was shredded, and what their accounts have spent: for people and for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from fedward.simulations.keeper import AtRest


def figures(at_rest: AtRest) -> dict[str, Any] | None:
    """For the report; None where the parties kept all in memory."""
    if not at_rest.heads:
        return None
    return {
        "shredded": {party: asdict(one) for party, one in at_rest.certificates.items()},
        "shredded_note": "keys first: ciphertext without a key is noise; assurance and media say what an overwrite was "
        "worth here. Certificates are signed and in the ledgers; `fedward shred` destroys what is kept",
        "plaintext_medium": at_rest.plaintext_medium,
        "account_epsilon": dict(at_rest.account_epsilon),
        "account_delta": at_rest.account_delta,
        "account_note": "of all runs of this output folder on the same sites, at the account's delta, not the plan's",
        "ledger_heads": dict(at_rest.heads),
    }


def line(at_rest: AtRest) -> str:
    """For the terminal; empty where the parties kept all in memory."""
    if not at_rest.heads:
        return ""
    kinds = Counter[str]()
    for certificate in at_rest.certificates.values():
        kinds.update({row.kind: row.count for row in certificate.kept})
    kept = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    where = "in memory" if at_rest.plaintext_medium == "memory" else "on disk"
    cleared = sum(one.caches_cleared for one in at_rest.certificates.values())
    text = f"At rest: records, ledgers and keys of each party sealed; {cleared} temporary files {where} shredded"
    spent = max(at_rest.account_epsilon.values(), default=0.0)
    delta = f" at δ = {at_rest.account_delta:g}, all runs here together"
    budget = f"; a site's account has spent ε = {spent:.2f}{delta}" if spent else ""
    return f"{text}; kept of the run: {kept or 'nothing'}{budget}\n"


__all__ = ["figures", "line"]
