"""Each stage of a small pipeline broken in turn: the leak check holds the record back; the whole one passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.layers import apply_layers
from fedward.common.desensitize.leakcheck import Leak, check
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType as E
from fedward.common.desensitize.spans import Span, merge
from fedward.common.desensitize.surrogates import Surrogates
from tests.common.desensitize.scrubbed import Issued

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
POLICY = DesensitizePolicy(layers=("entity", "semantic", "noise"), semantic_rate=0.1, noise_rate=0.1)
KNOWN = {E.PERSON: ("王小芳",), E.PHONE: ("13800138000",)}
CONTEXT = Context(document_id="D-1", patient_id="P-0001", known=KNOWN)
DETECTOR = StructuredDetector(dict.fromkeys(E, 1))
LEVELS = {t: POLICY.level_of(t) for t in E if POLICY.action_of(t) is not Action.KEEP}
NOTES = (
    "患者王小芳，身份证号110101199001011237，联系电话13800138000，住院号：ZY1234567。入院后，患者出现头痛，因为情况稳定，所以继续观察。"
    "银行卡号6222021234567890128，邮箱wangxf@example.com，于2024年3月5日出院，2024年3月15日复查。王小芳已经同意。",
    "Patient 王小芳 was seen on 2024-03-05. However, she often needs help. SSN: 536-88-1114. Phone: 13800138000. "
    "In the morning, the fever rose. Card number: 4111111111111111, e-mail wangxf@example.com. MRN: 00482913. "
    "Today she is well.",
)


@dataclass(frozen=True)
class Stages:
    """The pipeline, one function a stage."""

    detect: Callable[[str], list[Span]]
    replace: Callable[[E, str], str]
    emit: Callable[[str, list[Span], Callable[[E, str], str]], tuple[str, list[Issued]]]
    layer: Callable[[str, Sequence[tuple[int, int]]], tuple[str, Sequence[tuple[int, int]]]]

    def run(self, source: str) -> tuple[Leak, ...]:
        text, issued = self.emit(source, self.detect(source), self.replace)
        text, places = self.layer(text, [(item.start, item.end) for item in issued])
        moved = sorted(item._replace(start=p[0], end=p[1]) for item, p in zip(issued, places, strict=True))
        return check(
            source, text, moved, context=CONTEXT, levels=LEVELS, detector=DETECTOR, originals={}, canaries=[CANARY]
        )


CANARY = "canary 7351 9264"


def detect(source: str) -> list[Span]:
    spans = [s for s in DETECTOR.detect(Document.of(source)) if s.level >= POLICY.level_of(s.type)]
    for type_, values in KNOWN.items():
        for value in values:
            start = source.find(value)
            while start >= 0:
                spans.append(Span(start, start + len(value), type_, 5, "known"))
                start = source.find(value, start + 1)
    return merge(spans)


def keyed(type_: E, original: str) -> str:
    return Surrogates(POLICY, KEYS).for_document(CONTEXT).replace(type_, original).text


def emit(source: str, spans: list[Span], new: Callable[[E, str], str]) -> tuple[str, list[Issued]]:
    parts, issued, place, length = [], [], 0, 0
    for span in spans:
        text = new(span.type, source[span.start : span.end])
        start = length + span.start - place
        length = start + len(text)
        parts += [source[place : span.start], text]
        issued.append(Issued(start, length, span, POLICY.action_of(span.type)))
        place = span.end
    return "".join([*parts, source[place:]]), issued


def layer(text: str, issued: Sequence[tuple[int, int]]) -> tuple[str, Sequence[tuple[int, int]]]:
    edited = apply_layers(text, issued, document_id="D-1", policy=POLICY, keys=KEYS)
    return edited.text, edited.carried


WHOLE = Stages(detect, keyed, emit, layer)


def without(type_: E) -> Stages:
    return replace(WHOLE, detect=lambda source: [s for s in detect(source) if s.type is not type_])


def shorter(by: int) -> Stages:
    return replace(WHOLE, detect=lambda source: [s._replace(end=max(s.start + 1, s.end - by)) for s in detect(source)])


def first_only(source: str) -> list[Span]:
    seen: set[str] = set()
    return [s for s in detect(source) if not (source[s.start : s.end] in seen or seen.add(source[s.start : s.end]))]  # type: ignore[func-returns-value]


def drawn_anew(type_: E, original: str, _count: list[int] = []) -> str:  # noqa: B006 - it is meant to remember
    _count.append(0)
    context = Context(document_id="D", patient_id=f"P-{len(_count)}")
    return Surrogates(POLICY, KEYS).for_document(context).replace(type_, original).text


def swapped(type_: E, original: str) -> str:
    other = {"王小芳": "110101199001011237", "13800138000": "13800138000"}
    return other.get(original, keyed(type_, original))


def wrong_check(type_: E, original: str) -> str:
    right = keyed(type_, original)
    return right[:-1] + ("8" if right[-1] == "9" else "9")


def not_written(source: str, spans: list[Span], _: object) -> tuple[str, list[Issued]]:
    return source, [Issued(span.start, span.end, span, Action.SURROGATE) for span in spans]


def drifted(text: str, issued: Sequence[tuple[int, int]]) -> tuple[str, Sequence[tuple[int, int]]]:
    return text, [(start + 2, end + 2) for start, end in issued]


def parting(text: str, issued: Sequence[tuple[int, int]]) -> tuple[str, Sequence[tuple[int, int]]]:
    """A filler after every tenth character, whatever stands there."""
    new = "其实".join(text[i : i + 10] for i in range(0, len(text), 10))
    return new, [(s + s // 10 * 2, e + (e - 1) // 10 * 2) for s, e in issued]


def put_back(text: str, issued: Sequence[tuple[int, int]]) -> tuple[str, Sequence[tuple[int, int]]]:
    return text + "电话13800138000", issued


SABOTAGED = {
    "detection finds nothing": replace(WHOLE, detect=lambda _: []),
    "detection misses ids": without(E.ID_CN),
    "detection misses phones": without(E.PHONE),
    "detection misses cards": without(E.CARD),
    "detection misses names": without(E.PERSON),
    "detection misses record numbers": without(E.MRN),
    "detection misses e-mail": without(E.EMAIL),
    "detection misses dates": without(E.DATE),
    "spans lose their last character": shorter(1),
    "spans lose six characters": shorter(6),
    "no second pass": replace(WHOLE, detect=first_only),
    "the surrogate is the original": replace(WHOLE, replace=lambda _, original: original),
    "the surrogate holds the original": replace(WHOLE, replace=lambda _, original: f"x{original}x"),
    "the surrogate is respelt": replace(WHOLE, replace=lambda _, original: " ".join(original)),
    "surrogates with wrong check digits": replace(WHOLE, replace=wrong_check),
    "one value, several surrogates": replace(WHOLE, replace=drawn_anew),
    "values swapped": replace(WHOLE, replace=swapped),
    "nothing is emitted": replace(WHOLE, emit=lambda source, _, __: (source, [])),
    "issued but not written": replace(WHOLE, emit=not_written),
    "a layer loses the places": replace(WHOLE, layer=drifted),
    "noise parts the numbers": replace(WHOLE, layer=parting),
    "a layer puts a value back": replace(WHOLE, layer=put_back),
    "a canary comes through": replace(WHOLE, layer=lambda text, issued: (text + CANARY, issued)),
}  # fmt: skip


@pytest.mark.parametrize("source", NOTES, ids=["zh", "en"])
def test_the_whole_pipeline_passes(source: str) -> None:
    assert WHOLE.run(source) == ()


@pytest.mark.parametrize("name", SABOTAGED)
def test_a_stage_that_fails_is_caught(name: str) -> None:
    """In the first note, which has a value of every type that a stage may lose."""
    assert SABOTAGED[name].run(NOTES[0]) != ()
