"""One run over files: cut, desensitise in workers, make each chunk durable, put them together, or end without output.

Invariants: nothing stands under the output's name until the run is over and has passed; more failing records than the
policy allows, a bad record, a dead worker or Ctrl-C leave no output; what was durable is taken up by the next run of
the same key. Not handled here: what is printed.
"""

from __future__ import annotations

import datetime
import hmac
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedward import __version__
from fedward.client.scrub.chunks import Mark, cut
from fedward.client.scrub.inputs import Input, check_target, open_input
from fedward.client.scrub.journal import Journal
from fedward.client.scrub.measure import Estimates, estimate
from fedward.client.scrub.names import check_names
from fedward.client.scrub.output import MARK_SCHEMA, key_check, write_output
from fedward.client.scrub.pool import open_pool
from fedward.client.scrub.progress import Progress, Silent
from fedward.client.scrub.quarantine import quarantine_path, write_quarantine
from fedward.client.scrub.settings import CHUNK_BYTES, MAX_RECORD_BYTES, MAX_SPLIT_BYTES, Fields, Kind, Setup
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.tally import Tally
from fedward.common.errors import ConfigError, DataError, DesensitizationError

MAX_WORKERS = 64
_SMALL_BYTES = 4 * CHUNK_BYTES
"""An input up to this size is not worth the start of a second process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is to be done.

    Args:
        descriptor: of the key; None: the key is of this run alone, so an interrupted run cannot go on.
        workers: None: as many as there are processors, one for a small input.
        kind: format of the input; None: by its suffix.
        dry_run: count and report, write nothing.
    """

    source: Path
    target: Path
    policy: DesensitizePolicy
    keys: ScrubKeys
    descriptor: KeyDescriptor | None = None
    fields: Fields = field(default_factory=Fields)
    kind: Kind | None = None
    encoding: str | None = None
    workers: int | None = None
    dry_run: bool = False
    skip_bad: bool = False
    split: bool = False
    again: bool = False
    quarantine_text: bool = False
    record_date: datetime.date | None = None
    """To which ages are reckoned that a birth date implies; None: none is implied."""
    measure: bool = False
    """Estimate recall and over-scrub on a sample first; always where the policy enforces its canaries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What became of it."""

    tally: Tally
    found: Input
    digest: str
    """SHA-256 of the output; empty in a dry run."""
    quarantined: int
    resumed_chunks: int
    workers: int
    seconds: float
    started_anew: bool = False
    """Chunks of an earlier run lay there and were of no use."""
    canaries: tuple[dict[str, Any], ...] = ()
    over_scrub: dict[str, Any] = field(default_factory=dict)


def prepare(job: Job) -> Input:
    """Look at input and output before any record is read.

    Raises:
        FedwardError: why the run cannot be.
    """
    if not job.dry_run:
        check_target(job.source, job.target)
    if job.workers is not None and not 1 <= job.workers <= MAX_WORKERS:
        raise ConfigError(f"--workers {job.workers}: expected 1 to {MAX_WORKERS}", hint="Give a number in that range.")
    return open_input(
        job.source,
        kind=job.kind,
        encoding=job.encoding,
        fields=job.fields,
        again=job.again,
        limit=MAX_SPLIT_BYTES if job.split else MAX_RECORD_BYTES,
    )


def scrub_files(job: Job, found: Input, progress: Progress | None = None) -> Summary:
    """Carry a job out.

    Raises:
        DataError: a bad record.
        DesensitizationError: more records fail the leak check than the policy allows, or canaries miss a target that
            the policy enforces.
        RunError: a worker died, or the disk is full; a run with a key of the site can be resumed.
    """
    check_names(found, job.policy, job.keys, job.descriptor)
    progress, estimates = progress or Silent(), _estimated(job, found)
    start_s = time.monotonic()
    setup = _setup(job, found)
    run = _Run(job, found, setup, progress)
    journal = None if job.dry_run else Journal(job.target, _identity(job, found, setup))
    digest = ""
    if journal is None:
        run.carry_out(None)
        _require_few(job, run)
    else:
        digest = _durably(job, found, run, journal)
    return Summary(
        tally=run.tally,
        found=found,
        digest=digest,
        quarantined=len(run.left_out),
        resumed_chunks=run.resumed,
        workers=run.workers,
        seconds=time.monotonic() - start_s,
        started_anew=run.started_anew,
        canaries=estimates.canaries,
        over_scrub=estimates.over_scrub,
    )


def _estimated(job: Job, found: Input) -> Estimates:
    """Recall and over-scrub on a sample, if asked for; refuse what misses an enforced target.

    Raises:
        DesensitizationError: the canaries of some type miss their target.
    """
    if not (job.measure or job.policy.canaries.enforce):
        return Estimates(over_scrub={})
    estimates = estimate(found, job.policy, job.keys, job.descriptor)
    if job.policy.canaries.enforce and estimates.missed:
        raise DesensitizationError(
            f"injected canaries are missed more often than the policy allows: {', '.join(estimates.missed)}",
            hint="Lower the least level of these types, or the target; --dry-run --report shows the table.",
        )
    return estimates


def _durably(job: Job, found: Input, run: _Run, journal: Journal) -> str:
    """Carry the run out with its chunks on disk, and put them together; gives the output's digest.

    An interrupted run's chunks stay for the next one, unless its key is gone; a refused run's go.
    """
    with journal.locked():
        is_useful = False
        try:
            run.carry_out(journal)
            _require_few(job, run)
            digest = write_output(found, job.target, run.parts(journal), _mark(job, run.tally))
            write_quarantine(quarantine_path(job.target), run.left_out)
        except (DataError, DesensitizationError):
            raise
        except BaseException:
            is_useful = job.descriptor is not None
            raise
        finally:
            if not is_useful:
                journal.remove()
    return digest


class _Run:
    """The state of one run."""

    def __init__(self, job: Job, found: Input, setup: Setup, progress: Progress) -> None:
        self._job, self._found, self._setup, self._progress = job, found, setup, progress
        self.workers = job.workers or (1 if found.num_bytes <= _SMALL_BYTES else min(os.cpu_count() or 1, MAX_WORKERS))
        self.tally = Tally()
        self.left_out: list[tuple[str, list[Any]]] = []
        self.resumed = 0
        self.started_anew = False
        self._chunks: list[int] = []
        """The file of each chunk."""
        self._done_bytes = 0

    def carry_out(self, journal: Journal | None) -> None:
        mark = self._resume(journal)
        if mark.member >= len(self._found.members):
            return
        pool = open_pool(self._setup, self.workers)
        try:
            files, members = list(self._found.files), self._found.members
            pieces = cut(files, members, start=mark, index=len(self._chunks), split=self._job.split)
            for chunk, done in pool.run(pieces):
                if journal is not None:
                    journal.add(chunk, done)
                self._take(chunk.start.member, done.describe(), chunk.num_bytes)
        finally:
            pool.close()

    def _resume(self, journal: Journal | None) -> Mark:
        """Where to go on; what is durable counts as done."""
        mark = Mark(0, 0, 1)
        if journal is None:
            return mark
        self.started_anew = journal.has_other_run()
        for durable in journal.resume():
            self._take(durable.start.member, durable.described, durable.num_bytes)
            mark = durable.end
            self.resumed += 1
        return mark

    def _take(self, member: int, described: dict[str, Any], num_bytes: int) -> None:
        self.tally.add(Tally.from_json(described["tally"]))
        name = self._found.members[member].name
        self.left_out += [(name, list(item)) for item in described["left_out"]]
        self._chunks.append(member)
        self._done_bytes += num_bytes
        self._progress.update(self._done_bytes, self.tally)

    def parts(self, journal: Journal) -> list[list[Path]]:
        """The chunks of each file."""
        found: list[list[Path]] = [[] for _ in self._found.members]
        for index, member in enumerate(self._chunks):
            found[member].append(journal.part(index))
        return found


def _setup(job: Job, found: Input) -> Setup:
    return Setup(
        policy=job.policy,
        secret_hex=job.keys.secret.hex(),
        site_id=job.keys.site_id,
        key_id=job.keys.key_id,
        descriptor=None if job.descriptor is None else job.descriptor.to_json(),
        fields=found.fields,
        members=found.members,
        skip_bad=job.skip_bad,
        split=job.split,
        quarantine_text=job.quarantine_text,
        record_date=job.record_date,
    )


def _identity(job: Job, found: Input, setup: Setup) -> dict[str, Any]:
    """All that decides the output. A one-run key is never the same twice, so such a run starts anew."""
    # The time of change and the inode too: a copy may keep size and time of modification, and be of other content.
    stats = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in map(Path.stat, found.files)]
    check = hmac.digest(job.keys.derive("audit", "RESUME"), b"fedward/desensitize/resume/v1", "sha256")[:16]
    return {"version": __version__, "key": check.hex(), "files": stats, "chunk": CHUNK_BYTES, **setup.describe()}


def _require_few(job: Job, run: _Run) -> None:
    """More failing records than the policy allows end the run."""
    tally = run.tally
    if tally.failed <= job.policy.max_quarantine * tally.records:
        return
    kinds = ", ".join(f"{leak} × {count}" for leak, count in tally.leaks.most_common(3))
    raise DesensitizationError(
        f"{tally.failed:,} of {tally.records:,} records fail the leak check ({kinds}); the policy allows "
        f"{job.policy.max_quarantine:.2%}. There is no output",
        hint="A bug or an unforeseen spelling: name the place in an issue. max_quarantine says how many may fail.",
    )


def _mark(job: Job, tally: Tally) -> dict[str, Any]:
    return {
        "schema": MARK_SCHEMA,
        "fedward": __version__,
        "policy": job.policy.digest,
        "key_id": job.keys.key_id,
        "site_id": job.keys.site_id,
        "key_check": key_check(job.keys),
        "records": tally.records - tally.failed - tally.refused,
    }


__all__ = ["Job", "MAX_WORKERS", "prepare", "scrub_files", "Summary"]
