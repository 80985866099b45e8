"""Clean records, made of hard negatives and of identifiers that were all replaced: how often is one held back?"""

from __future__ import annotations

import functools

from fedward.common.desensitize.canaries import Injected, inject
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.leakcheck import Leak, check
from fedward.common.desensitize.overscrub import hard_negatives
from fedward.common.desensitize.policy import Action, CanaryTargets, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType as E
from fedward.common.desensitize.spans import Span
from fedward.common.desensitize.surrogates import Surrogates
from tests.common.desensitize.scrubbed import Issued

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
POLICY = DesensitizePolicy()
LEVELS = {t: POLICY.level_of(t) for t in E if POLICY.action_of(t) is not Action.KEEP}
MAX_QUARANTINE = POLICY.max_quarantine


def _hosts() -> list[str]:
    draw = KeyedStream.of(KEYS, "test", "hosts")
    hosts = []
    for language in ("zh", "en"):
        texts = [item.text for item in hard_negatives() if item.language == language]
        hosts += ["\n".join(draw.choice(texts) for _ in range(8)) for _ in range(60)]
    return hosts


def _replaced(item: Injected, number: int) -> tuple[str, tuple[Issued, ...]]:
    document = Surrogates(POLICY, KEYS).for_document(Context(document_id=f"D-{number}"))
    parts: list[str] = []
    issued: list[Issued] = []
    place = length = 0
    for planted in item.planted:
        done = document.replace(planted.type, item.text[planted.start : planted.end])
        start = length + planted.start - place
        length = start + len(done.text)
        parts += [item.text[place : planted.start], done.text]
        span = Span(planted.start, planted.end, planted.type, 3, "test")
        issued.append(Issued(start, length, span, done.action))
        place = planted.end
    return "".join([*parts, item.text[place:]]), tuple(issued)


@functools.cache
def _leaks() -> tuple[tuple[Leak, ...], ...]:
    items = list(inject(_hosts(), KEYS, CanaryTargets(num_structured=300, num_names=600)))
    done = [_replaced(item, number) for number, item in enumerate(items)]
    again = StructuredDetector(dict.fromkeys(E, 2)).detect_many([Document.of(text) for text, _ in done])
    return tuple(
        check(
            item.text,
            text,
            issued,
            context=Context(document_id="D"),
            levels=LEVELS,
            detector=None,
            originals={},
            hits=hits,
        )
        for item, (text, issued), hits in zip(items, done, again, strict=True)
    )


def test_no_clean_record_in_a_thousand_is_held_back() -> None:
    held_back = [leaks for leaks in _leaks() if leaks]
    assert len(_leaks()) > 700
    assert len(held_back) <= MAX_QUARANTINE * len(_leaks()), held_back[:5]
