"""What is judged: our pipeline in one of its profiles, seen from outside through its public interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fedward.simulations.benchmarks.scrub_scores import Found
from fedward.simulations.scrub_corpus.gold import Sample

BATCH_TEXTS = 256
KEY = bytes(range(32))
"""Fixed, so that two runs give the same figures. Nothing real is ever scrubbed with it."""


class Replaced(NamedTuple):
    """What stands where a span was."""

    type: str
    original: str
    text: str
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What became of one text."""

    found: tuple[Found, ...]
    """Redacted spans."""
    kept: tuple[Found, ...] = ()
    """Spans that were seen and stay by policy, as places do."""
    text: str | None = field(default=None, repr=False)
    """The output; None where there is none, as the leak check refused it."""
    replaced: tuple[Replaced, ...] = field(default=(), repr=False)
    leaks: tuple[str, ...] = ()


class Subject(Protocol):
    """Whatever finds identifiers in samples."""

    def read(self, samples: Sequence[Sample]) -> list[Reading]:
        """One reading a sample."""


class Pipeline:
    """Our desensitiser.

    Args:
        profile: ``structured``, ``fast`` or ``max-recall``.
        use_known: give it the values of the patient's own columns.
        settings: further settings of the policy.
    """

    def __init__(self, profile: str, *, use_known: bool = False, settings: Mapping[str, object] | None = None) -> None:
        from fedward.common.desensitize.keys import ScrubKeys
        from fedward.common.desensitize.pipeline import Desensitizer
        from fedward.common.desensitize.policy import DesensitizePolicy

        policy = DesensitizePolicy.model_validate({"profile": profile, **(settings or {})})
        self._desensitizer = Desensitizer(policy, ScrubKeys(secret=KEY, site_id="bench", key_id="1"))
        self._use_known = use_known

    def read(self, samples: Sequence[Sample]) -> list[Reading]:
        """See ``Subject``."""
        from fedward.common.desensitize.context import Context
        from fedward.common.desensitize.spans import EntityType

        readings: list[Reading] = []
        for start in range(0, len(samples), BATCH_TEXTS):
            batch = []
            for one in samples[start : start + BATCH_TEXTS]:
                known = one.known if self._use_known else {}
                columns = {EntityType(type_): values for type_, values in known.items()}
                batch.append((one.text, Context(document_id=one.document_id, patient_id=one.patient_id, known=columns)))
            for result in self._desensitizer.records(batch):
                readings.append(
                    Reading(
                        found=tuple(Found(span.start, span.end, span.type.value) for span in result.spans),
                        kept=tuple(Found(span.start, span.end, span.type.value) for span in result.kept),
                        text=result.text,
                        replaced=tuple(_replaced(result.source, result.text, result.issued)),
                        leaks=result.leaks,
                    )
                )
        return readings


class Function:
    """A function from text to hits, and perhaps one from text to text, for peers and controls."""

    def __init__(self, detect: Callable[[str], Sequence[Found]], rewrite: Callable[[str], str] | None = None) -> None:
        self._detect = detect
        self._rewrite = rewrite

    def read(self, samples: Sequence[Sample]) -> list[Reading]:
        """See ``Subject``."""
        rewrite = self._rewrite
        return [
            Reading(found=tuple(self._detect(one.text)), text=None if rewrite is None else rewrite(one.text))
            for one in samples
        ]


def _replaced(source: str, text: str | None, issued: Sequence[object]) -> Iterator[Replaced]:
    for item in issued if text is not None else ():
        start, end, span, action = (getattr(item, name) for name in ("start", "end", "span", "action"))
        yield Replaced(span.type.value, source[span.start : span.end], (text or "")[start:end], str(action))
