"""Our side of the desensitisation benchmark: detection alone, the whole pipeline, and encrypted columns.

Every arm gets texts and gives the number of hits, so that nothing can be left out. Texts are folded inside the timed
part; detectors are built before it.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fedward.simulations.benchmarks.scrub_subjects import KEY
from fedward.simulations.scrub_corpus import numbers
from fedward.simulations.scrub_corpus.gold import Sample

Arm = Callable[[Sequence[str]], int]


def structured() -> Arm:
    """The rules alone, as profile ``structured`` reads any text."""
    from fedward.common.desensitize.detectors.document import Document
    from fedward.common.desensitize.detectors.scan import StructuredDetector
    from fedward.common.desensitize.policy import DesensitizePolicy
    from fedward.common.desensitize.spans import EntityType

    policy = DesensitizePolicy()
    detector = StructuredDetector({type_: policy.level_of(type_) for type_ in EntityType})
    return lambda texts: sum(map(len, detector.detect_many([Document.of(text) for text in texts])))


def names(profile: str) -> Arm:
    """Everything that reads a text in ``profile``: rules, grammars, names; merged, not replaced."""
    from fedward.common.desensitize.detectors.build import build_detectors
    from fedward.common.desensitize.detectors.document import Document
    from fedward.common.desensitize.policy import DesensitizePolicy
    from fedward.common.desensitize.spans import merge

    detectors = build_detectors(DesensitizePolicy.model_validate({"profile": profile}))

    def run(texts: Sequence[str]) -> int:
        documents = [Document.of(text) for text in texts]
        found = detectors.structured.detect_many(documents)
        for detector, indices in detectors.assigned(documents):
            for index, spans in zip(indices, _detect(detector, [documents[i] for i in indices]), strict=True):
                found[index] = [*found[index], *spans]
        return sum(len(merge(spans)) for spans in found)

    return run


def pipeline(profile: str) -> Arm:
    """Text in, text out: detection, second pass, surrogates, leak check."""
    desensitizer = _desensitizer(profile)

    def run(texts: Sequence[str]) -> int:
        return sum(len(result.spans) for result in desensitizer.records(_batch(texts)))

    return run


def peak_mib(profile: str, samples: Sequence[Sample]) -> float:
    """MiB that the pipeline takes beside its input while it reads ``samples`` as one batch, models not counted."""
    desensitizer = _desensitizer(profile)
    batch = _batch([one.text for one in samples])
    desensitizer.records(batch[:1])  # what is built once
    tracemalloc.start()
    try:
        desensitizer.records(batch)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def encrypted_column(count: int, rng: Any) -> tuple[Callable[[], int], int]:  # noqa: ANN401 - random.Random
    """Rank, encrypt, un-rank a column of mobile numbers; and how many there are."""
    from fedward.common.desensitize.fpe import permutation
    from fedward.common.desensitize.keys import ScrubKeys
    from fedward.common.desensitize.ranking import MobileRanking

    ranking = MobileRanking()
    cipher = permutation(ScrubKeys(secret=KEY, site_id="bench", key_id="1"), "PHONE", ranking.context, ranking.domain)
    column = [numbers.mobile(rng) for _ in range(count)]

    def run() -> int:
        encrypted = cipher.encrypt_many([ranking.rank(value) for value in column])
        return len({ranking.unrank(int(rank)) for rank in encrypted})

    return run, len(set(column))


def _detect(detector: Any, documents: Sequence[Any]) -> Iterable[Any]:  # noqa: ANN401
    """As the pipeline asks: many at once where a detector can."""
    if hasattr(detector, "detect_many"):
        return detector.detect_many(documents)  # type: ignore[no-any-return]
    return [detector.detect(document) for document in documents]


def _desensitizer(profile: str) -> Any:  # noqa: ANN401 - imported where it is needed
    from fedward.common.desensitize.keys import ScrubKeys
    from fedward.common.desensitize.pipeline import Desensitizer
    from fedward.common.desensitize.policy import DesensitizePolicy

    keys = ScrubKeys(secret=KEY, site_id="bench", key_id="1")
    return Desensitizer(DesensitizePolicy.model_validate({"profile": profile}), keys)


def _batch(texts: Sequence[str]) -> list[tuple[str, Any]]:
    from fedward.common.desensitize.context import Context

    return [(text, Context(document_id=f"d{number}")) for number, text in enumerate(texts)]
