"""What a site keeps on its own disk beside journal and model: the run it is in, and its accounts, as JSON.

The run's transport key is in it; secrets of rounds are not. Not handled here: where it is kept (``store``).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from fedward.client.accepted_run import AcceptedRun
from fedward.client.accounts import Accounts
from fedward.common.config import RunPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteState:
    """All but the accounts, which are read in place."""

    run: AcceptedRun
    left: frozenset[bytes]
    """Ids of runs that the site has left for another: it never begins them again."""
    transport_secret: bytes | None = field(repr=False)
    """None: no masks, or a run that is over."""

    def to_bytes(self, accounts: Accounts) -> bytes:
        """With the accounts as they are now."""
        run, secret = self.run, self.transport_secret
        document = {
            "run_id": run.run_id.hex(),
            "left": sorted(run_id.hex() for run_id in self.left),
            "plan": base64.b64encode(run.plan_bytes).decode(),
            "last": [run.last_round, run.last_attempt, run.is_over],
            "clip_norm": run.clip_norm,
            "drawn_weight": run.drawn_weight,
            "transport": None if secret is None else secret.hex(),
            **accounts.to_document(),
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, accounts: Accounts) -> SiteState:
        """The inverse of ``to_bytes``; ``accounts`` takes on what is in it."""
        document = json.loads(raw)
        plan_bytes = base64.b64decode(document["plan"])
        last_round, last_attempt, is_over = document["last"]
        run = AcceptedRun(
            run_id=bytes.fromhex(document["run_id"]),
            plan_bytes=plan_bytes,
            plan=RunPlan.from_bytes(plan_bytes),
            last_round=last_round,
            last_attempt=last_attempt,
            clip_norm=document["clip_norm"],
            drawn_weight=document["drawn_weight"],
            is_over=is_over,
        )
        accounts.read_document(document)
        secret = document["transport"]
        return cls(
            run=run,
            left=frozenset(bytes.fromhex(run_id) for run_id in document["left"]),
            transport_secret=None if secret is None else bytes.fromhex(secret),
        )


__all__ = ["SiteState"]
