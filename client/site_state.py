"""What a site keeps sealed beside its ledger: the run it is in, as JSON.

The run's transport key is in it; secrets of rounds are not, and neither are the accounts and the runs it has left:
those are the ledger's. Not handled here: where it is kept, and that it is sealed (``ledger_store``).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

from fedward.client.accepted_run import AcceptedRun
from fedward.common.config import RunPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteState:
    """A run, and how far it has come."""

    run: AcceptedRun
    transport_secret: bytes | None = field(repr=False)
    """None: no masks, or a run that is over."""

    def to_bytes(self) -> bytes:
        """To be sealed."""
        run, secret = self.run, self.transport_secret
        document = {
            "run_id": run.run_id.hex(),
            "plan": base64.b64encode(run.plan_bytes).decode(),
            "last": [run.last_round, run.last_attempt, run.is_over],
            "clip_norm": run.clip_norm,
            "drawn_weight": run.drawn_weight,
            "transport": None if secret is None else secret.hex(),
        }
        return json.dumps(document).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> SiteState:
        """The inverse of ``to_bytes``."""
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
        secret = document["transport"]
        return cls(run=run, transport_secret=None if secret is None else bytes.fromhex(secret))


__all__ = ["SiteState"]
