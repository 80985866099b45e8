"""The confidence ladder and what a detector is asked for."""

from __future__ import annotations

import builtins
import importlib

import pytest

from fedward.common.desensitize.detectors import rules
from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.scan import StructuredDetector
from fedward.common.desensitize.spans import EntityType
from fedward.common.errors import ConfigError

LADDER = [
    ("110101199001011234", EntityType.ID_CN, 1),
    ("身份证110101199001011234", EntityType.ID_CN, 2),
    ("110101199001011237", EntityType.ID_CN, 3),
    ("身份证110101199001011237", EntityType.ID_CN, 4),
    ("13800138000", EntityType.PHONE, 2),
    ("批号13800138000", EntityType.PHONE, 1),
    ("15412345678", EntityType.PHONE, 1),
    ("电话15412345678", EntityType.PHONE, 2),
    ("4111111111111111", EntityType.CARD, 3),
    ("条码4111111111111111", EntityType.CARD, 3),
    ("卡号4111111111111112", EntityType.CARD, 2),
    ("1234567890123452", EntityType.CARD, 1),
    ("E12345678", EntityType.PASSPORT, 1),
    ("护照E12345678", EntityType.PASSPORT, 2),
    ("1.2.3.4", EntityType.IP, 1),
    ("IP 1.2.3.4", EntityType.IP, 2),
    ("版本10.2.3.4", EntityType.IP, 1),
    ("2024-03", EntityType.DATE, 1),
    ("a@b.cn", EntityType.EMAIL, 3),
    ("IBAN GB82WEST12345698765432", EntityType.IBAN, 4),
]


def _level(text: str, type_: EntityType) -> int:
    """The highest level at which ``text`` still gives a hit of the type."""
    for level in (5, 4, 3, 2, 1):
        levels = {**dict.fromkeys(EntityType, 5), type_: level}
        if StructuredDetector(levels).detect(Document.of(text)):
            return level
    return 0


@pytest.mark.parametrize(("text", "type_", "level"), LADDER)
def test_the_ladder(text: str, type_: EntityType, level: int) -> None:
    assert _level(text, type_) == level


def test_hits_below_the_level_are_not_returned() -> None:
    detector = StructuredDetector({EntityType.PHONE: 3})
    assert [span.type for span in detector.detect(Document.of("13800138000 a@b.cn"))] == [EntityType.EMAIL]


def test_a_type_that_is_not_named_counts_from_level_two() -> None:
    assert StructuredDetector({}).detect(Document.of("15412345678；13800138000"))[0].start == 12


@pytest.mark.parametrize("text", ["电话，批号13912345678", "批号。电话15412345678", "电话\n15412345678"])
def test_a_label_counts_within_its_field_only(text: str) -> None:
    assert bool(StructuredDetector({}).detect(Document.of(text))) == (text[0] == "批")


def test_a_label_counts_at_most_thirty_two_bytes_back() -> None:
    near, far = "电话" + "子" * 8 + "15412345678", "电话" + "子" * 9 + "15412345678"
    detector = StructuredDetector({})
    assert detector.detect(Document.of(near))
    assert not detector.detect(Document.of(far))


def test_the_nearest_label_decides() -> None:
    assert not StructuredDetector({}).detect(Document.of("电话 批号 13912345678"))
    assert StructuredDetector({}).detect(Document.of("批号 电话 13912345678"))


def test_an_engine_that_is_missing_is_refused_by_name_and_replaced_when_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match="re2"):
        StructuredDetector({}, engine="re2")
    assert StructuredDetector({}).detect(Document.of("13800138000"))


def test_the_wrappers_own_search_serves_where_the_extension_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.getattr
    monkeypatch.setattr(rules, "getattr", lambda o, n, *d: None if n == "Anchor" else real(o, n, *d), raising=False)
    text = "手机138-0013-8000，a@b.cn"
    slow = StructuredDetector({}, engine="re2")
    monkeypatch.undo()
    assert slow.detect(Document.of(text)) == StructuredDetector({}, engine="re2").detect(Document.of(text))


def test_no_scan_rule_uses_what_the_engines_read_differently() -> None:
    pattern = b"|".join(part for parts in rules.scan_patterns(bare_passports=True, engine="re2") for part in parts)
    for forbidden in (rb"\b", rb"\w", rb"\d", rb"\s", b"(?=", b"(?!", b"(?<", b"(?i", b"(?P"):
        assert forbidden not in pattern
    assert pattern.count(b"(") - pattern.count(b"(?:") == pattern.count(rb"\(") + pattern.count(b"[^()") + sum(
        pattern.count(c) for c in (b"[ ().-]", b">\\[(_")
    )


def test_a_hit_says_by_which_rule_and_shows_no_text() -> None:
    (span,) = StructuredDetector({}).detect(Document.of("身份证110101199001011237"))
    assert span.method == "id_checked"
