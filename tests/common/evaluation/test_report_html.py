import re
from html.parser import HTMLParser

import pytest

from fedward.common.evaluation.report import Claim, Report, build
from fedward.common.evaluation.report_html import WORDS, Language, render
from fedward.common.evaluation.verdicts import Section, unmeasured
from tests.common.evaluation.test_report import FACTS, a_section

HOSTILE = '<script>alert("x")</script>&"\''
LANGUAGES: tuple[Language, ...] = ("en", "zh")


def a_report() -> Report:
    return build(
        [
            a_section("membership", 0.5),
            a_section("audit", 0.9),
            Section(section_id="prompts", cells=(unmeasured("leak", HOSTILE, HOSTILE),), notes=(HOSTILE,)),
        ],
        deviations=(HOSTILE,),
        claims={HOSTILE: Claim(unit="patient", neighbours="add", epsilon=2.5, delta=1e-5, epsilon_at_delta_audit=2.5)},
        ledger_heads={"north": "44" * 32},
        **FACTS,
    )


class Reader(HTMLParser):
    """Tags that are open, all that stood there, and the text."""

    VOID = frozenset({"meta", "line", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_is_well_formed_and_asks_for_nothing(language: Language) -> None:
    reader = read(render(a_report(), language))
    assert reader.open == []
    assert not reader.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert not {name for name in reader.attributes if name in {"src", "href", "style"} or name.startswith("on")}
    page = render(a_report(), language)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert len(page.encode()) < 3 << 20


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_comes_from_the_report_is_escaped(language: Language) -> None:
    page = render(a_report(), language)
    assert "<script" not in page
    assert read(page).text.count('alert("x")') >= 4


def test_both_languages_have_the_same_words_and_numbers() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    assert all(WORDS["en"].values())
    assert all(WORDS["zh"].values())
    english, chinese = (re.findall(r"\d+(?:\.\d+)?", read(render(a_report(), language)).text) for language in LANGUAGES)
    assert english == chinese


def test_language_is_declared() -> None:
    assert '<html lang="en">' in render(a_report(), "en")
    assert '<html lang="zh-CN">' in render(a_report(), "zh")


def test_verdict_and_the_worst_cells_come_first() -> None:
    text = read(render(a_report(), "en")).text
    assert text.index("Verdict: FAIL") < text.index("audit: auc · token · loss") < text.index("prompts: leak")


def test_plot_has_axis_limits_intervals_and_a_text_alternative() -> None:
    page = render(a_report(), "en")
    assert page.count("<svg") == 2  # a section without an interval has no plot
    assert page.count('role="img" aria-label="') == 2
    assert page.count('stroke-dasharray="3 2"') == 2
    assert page.count(WORDS["en"]["unit_share"]) == 2


def test_report_without_anything_is_a_page() -> None:
    assert "INCONCLUSIVE" in render(build([], **FACTS), "zh")
