"""The coordinator's log of a run: an observer of the round loop that tells the log, and then whoever else looks on.

What is logged is public within the consortium: positions, codes, sizes of cohorts, and the metrics that a plan opens.
Not handled here: where the log is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedward.common.auxiliary_terms import OpenedMetric
from fedward.common.logs.events import CODES, RULES
from fedward.common.logs.logger import Log
from fedward.server.rounds import Observer, RoundRecord

_OK = "ok"
_PER_UNIT = 1000
_OFFER = 0


class RunLog:
    """An ``Observer`` in front of another.

    Args:
        log: takes the events.
        run_id: 16 bytes.
        sites: the plan's, in its order; events name a site by its place there.
        then: told as well.
    """

    def __init__(self, log: Log, run_id: bytes, sites: Sequence[str], then: Observer) -> None:
        self._log = log
        self._run_id = run_id
        self._places = {site: place for place, site in enumerate(sites)}
        self._then = then

    def run_started(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        """See ``Observer.run_started``."""
        self._log.event("run.started", run=self._run_id, accepted=len(accepted), refused=len(refusals))
        for site, outcome in refusals.items():
            self._left_out(_OFFER, site, outcome)
        self._then.run_started(accepted, refusals)

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """See ``Observer.site_answered``."""
        if outcome != _OK:
            self._left_out(round_number, site_id, outcome)
        self._then.site_answered(round_number, site_id, outcome)

    def clip_found(self, clip_norm: float) -> None:
        """See ``Observer.clip_found``. Not logged: a value found in gradients, though a private one."""
        self._then.clip_found(clip_norm)

    def round_finished(self, record: RoundRecord) -> None:
        """See ``Observer.round_finished``."""
        self._log.event(
            "round.opened",
            run=self._run_id,
            round=record.round_number,
            attempt=record.attempt,
            cohort=len(record.cohort),
            survivors=len(record.survivors),
            took=record.seconds,
        )
        for metric in record.figures.metrics:
            if metric.noise_deviation > 0 and math.isfinite(metric.value):  # without noise nobody has paid for it
                self._trend(record.round_number, metric)
        self._then.round_finished(record)

    def _trend(self, round_number: int, metric: OpenedMetric) -> None:
        thousandths = round(metric.value * _PER_UNIT)
        self._log.event(
            "trend.opened", run=self._run_id, round=round_number, metric=metric.name, thousandths=thousandths
        )

    def _left_out(self, round_number: int, site_id: str, outcome: str) -> None:
        """A site's words are a stranger's: what is not on our lists becomes REFUSED, and no rule."""
        code, _, rule = outcome.partition("/")
        code = code.partition(":")[0]
        self._log.event(
            "site.left_out",
            run=self._run_id,
            round=round_number,
            site=self._places.get(site_id),
            code=code if code in CODES.words else "REFUSED",
            rule=rule if rule in RULES.words else None,
        )


__all__ = ["RunLog"]
