"""The folder through which a run under ``flwr run`` and the process that started it speak.

``job.json`` goes in; ``events.jsonl`` grows while the run goes on; ``result.json`` with ``adapter.safetensors``, or
``failure.json``, comes out. The folder is temporary and readable by its owner alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedward.common.atomic import write_atomically
from fedward.common.auxiliary_terms import OpenedFigures, OpenedMetric
from fedward.common.errors import FedwardError, RunError
from fedward.server.rounds import Observer, RoundRecord, RunResult


class EventLog:
    """The round loop's observer: one JSON object a line, appended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def run_started(self, accepted: tuple[str, ...], refusals: Mapping[str, str]) -> None:
        """See ``Observer.run_started``."""
        self._append({"event": "started", "accepted": accepted, "refusals": dict(refusals)})

    def site_answered(self, round_number: int, site_id: str, outcome: str) -> None:
        """See ``Observer.site_answered``."""
        self._append({"event": "answered", "round": round_number, "site": site_id, "outcome": outcome})

    def clip_found(self, clip_norm: float) -> None:
        """See ``Observer.clip_found``."""
        self._append({"event": "clip", "clip_norm": clip_norm})

    def round_finished(self, record: RoundRecord) -> None:
        """See ``Observer.round_finished``."""
        self._append({"event": "finished", "record": asdict(record)})

    def _append(self, event: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


class EventReader:
    """Replays what an ``EventLog`` has appended since the last call."""

    def __init__(self, path: Path, observer: Observer) -> None:
        self._path = path
        self._observer = observer
        self._offset = 0

    def replay(self) -> bool:
        """Tell the observer of all whole lines that are new; whether there were any."""
        if not self._path.exists():
            return False
        raw = self._path.read_bytes()[self._offset :]
        whole = raw[: raw.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._tell(json.loads(line))
        return bool(whole)

    def _tell(self, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            self._observer.run_started(tuple(event["accepted"]), event["refusals"])
        elif event["event"] == "answered":
            self._observer.site_answered(event["round"], event["site"], event["outcome"])
        elif event["event"] == "clip":
            self._observer.clip_found(event["clip_norm"])
        else:
            self._observer.round_finished(_record(event["record"]))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of the files."""

    root: Path

    @property
    def job(self) -> Path:
        """The job that everybody reads."""
        return self.root / "job.json"

    @property
    def events(self) -> Path:
        """What has happened so far."""
        return self.root / "events.jsonl"

    @property
    def result(self) -> Path:
        """There once the run is over."""
        return self.root / "result.json"

    @property
    def failure(self) -> Path:
        """There if the run failed."""
        return self.root / "failure.json"

    @property
    def _adapter(self) -> Path:
        return self.root / "adapter.safetensors"

    def write_result(self, result: RunResult) -> None:
        """The adapter first, the result last: who sees the result finds the adapter."""
        from safetensors.numpy import save

        write_atomically(self._adapter, save(dict(result.adapter)))
        document = {
            "model_digest": result.model_digest.hex(),
            "rounds": [asdict(record) for record in result.rounds],
            "refusals": dict(result.refusals),
            # A statement is a site's own bytes; what is no text is no statement either, as the report will find.
            "events": {site: events.decode("utf-8", "replace") for site, events in result.events.items()},
            "apart": dict(result.apart),
            "clip_norm": result.clip_norm,
            "ended_early": result.ended_early,
        }
        write_atomically(self.result, json.dumps(document).encode())

    def read_result(self) -> RunResult:
        """The inverse of ``write_result``."""
        from safetensors.numpy import load

        document = json.loads(self.result.read_bytes())
        return RunResult(
            adapter=load(self._adapter.read_bytes()),
            model_digest=bytes.fromhex(document["model_digest"]),
            rounds=tuple(_record(record) for record in document["rounds"]),
            refusals=document["refusals"],
            events={site: events.encode() for site, events in document["events"].items()},
            apart=document["apart"],
            clip_norm=document["clip_norm"],
            ended_early=document["ended_early"],
        )

    def write_failure(self, error: Exception) -> None:
        """Why there will be no result: our own errors with their text, foreign ones by their type."""
        known = isinstance(error, FedwardError)
        text = str(error) if known else f"unforeseen {type(error).__name__}"
        write_atomically(self.failure, json.dumps({"message": text}).encode())

    def raise_failure(self) -> None:
        """Raise what the run's other process wrote down.

        Raises:
            RunError: always.
        """
        raise RunError(str(json.loads(self.failure.read_bytes())["message"]))


def _record(raw: dict[str, Any]) -> RoundRecord:
    lists = {name: tuple(raw[name]) for name in ("cohort", "survivors", "faults")}
    metrics = tuple(OpenedMetric(**metric) for metric in raw["figures"]["metrics"])
    figures = OpenedFigures(total_weight=raw["figures"]["total_weight"], metrics=metrics)
    return RoundRecord(**raw | lists | {"figures": figures})
