"""Dates: known shifts, every written form, exact intervals, impossible days."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import Surrogates
from fedward.common.desensitize.surrogates.dates import ImpossibleDateError, read_date, shift_days, write_date
from tests.common.desensitize.surrogates.making import KEYS, document

DATE = EntityType.DATE
DAYS = st.dates(datetime.date(1901, 1, 1), datetime.date(2098, 12, 31))
# P-0001 moves by 254 days: 2024-03-05 becomes 2024-11-14, 2023-12-25 becomes 2024-09-04.
FORMS = [
    ("2024-03-05", "2024-11-14"),
    ("2024/3/5", "2024/11/14"),
    ("2024.03.05", "2024.11.14"),
    ("20240305", "20241114"),
    ("3/5/2024", "11/14/2024"),
    ("03/05/24", "11/14/24"),
    ("25/12/2023", "04/09/2024"),
    ("5.3.2024", "14.11.2024"),
    ("2024年3月5日", "2024年11月14日"),
    ("2024 年 3 月 5 日", "2024 年 11 月 14 日"),
    ("2023年12月25日", "2024年9月4日"),
    ("2023年12月05日", "2024年08月15日"),
    ("24年3月5日", "24年11月14日"),
    ("二〇二四年三月五日", "二〇二四年十一月十四日"),
    ("二零二三年十二月二十五日", "二零二四年九月四日"),
    ("民国113年3月5日", "民国113年11月14日"),
    ("民國一百一十二年十二月廿五日", "民國一百一十三年九月四日"),
    ("3月5日", "11月14日"),
    ("三月五号", "十一月十四号"),
    ("2024年3月", "2024年11月"),
    ("2024年3月上旬", "2024年11月上旬"),
    ("2024-03", "2024-11"),
    ("03/2024", "11/2024"),
    ("March 5, 2024", "November 14, 2024"),
    ("Mar 5, 2024", "Nov 14, 2024"),
    ("MARCH 5, 2024", "NOVEMBER 14, 2024"),
    ("Mar. 5th, 2024", "Nov. 14th, 2024"),
    ("5 March 2024", "14 November 2024"),
    ("the 5th of March 2024", "the 14th of November 2024"),
    ("5-Mar-2024", "14-Nov-2024"),
    ("March 2024", "November 2024"),
    ("March 5", "November 14"),
    ("Tuesday, March 5, 2024", "Thursday, November 14, 2024"),
    ("Tue 5 Mar 2024", "Thu 14 Nov 2024"),
    ("2024年3月5日（星期二）", "2024年11月14日（星期四）"),
    ("2024-03-05 14:30:05", "2024-11-14 14:30:05"),
    ("2024-03-05T12:30:00+08:00", "2024-11-14T12:30:00+08:00"),
    ("2024年3月5日 上午9时30分", "2024年11月14日 上午9时30分"),
    ("\uff12\uff10\uff12\uff14年\uff13月\uff15日", "\uff12\uff10\uff12\uff14年\uff11\uff11月\uff11\uff14日"),
]


@pytest.mark.parametrize(
    ("patient", "days", "weekday_days"), [("P-0001", 254, 322), ("P-0002", 316, 28), ("患者3", -7, -49)]
)
def test_shift_has_its_known_answer(patient: str, days: int, weekday_days: int) -> None:
    assert shift_days(KEYS, "patient", patient) == days
    assert shift_days(KEYS, "patient", patient, keep_weekday=True) == weekday_days


@given(st.text())
def test_shift_is_a_day_to_a_year_and_never_none(patient: str) -> None:
    assert 1 <= abs(shift_days(KEYS, "patient", patient)) <= 364
    weeks = shift_days(KEYS, "patient", patient, keep_weekday=True)
    assert weeks % 7 == 0
    assert 7 <= abs(weeks) <= 364


@pytest.mark.parametrize(("original", "expected"), FORMS)
def test_date_moves_and_keeps_its_form(original: str, expected: str) -> None:
    assert document("P-0001").replace(DATE, original) == (expected, "surrogate", None)


@pytest.mark.parametrize(
    "form",
    [
        "{0:%Y-%m-%d}",
        "{0:%Y%m%d}",
        "{0.month}/{0.day}/{0.year}",
        "{0.year}年{0.month}月{0.day}日",
        "{0:%B} {0.day}, {0.year}",
        "{0:%d.%m.%Y}",
    ],
)
@given(first=DAYS, second=DAYS)
def test_intervals_are_exact(form: str, first: datetime.date, second: datetime.date) -> None:
    made = Surrogates(DesensitizePolicy(), KEYS).for_document(Context(document_id="d", patient_id="P-0002"))
    moved = [read_date(made.replace(DATE, form.format(day)).text) for day in (first, second)]
    assert moved[0] is not None
    assert moved[1] is not None
    assert moved[1].day - moved[0].day == second - first


@given(day=DAYS)
def test_writing_the_same_day_changes_nothing(day: datetime.date) -> None:
    for form in (
        "{0:%Y-%m-%d}",
        "{0.year}/{0.month}/{0.day}",
        "{0.year}年{0.month}月{0.day}日",
        "{0:%A}, {0:%B} {0.day}, {0.year}",
    ):
        text = form.format(day)
        written = read_date(text)
        assert written is not None
        assert write_date(text, written, day) == text


def test_keep_weekday_keeps_it() -> None:
    moved = read_date(document("P-0001", dates="keep_weekday").replace(DATE, "2024-03-05").text)
    assert moved is not None
    assert moved.day.weekday() == datetime.date(2024, 3, 5).weekday()


@pytest.mark.parametrize("original", ["2024-02-30", "2023年2月29日", "13/13/2024", "00.00.2024", "9999-12-31"])
def test_impossible_date_becomes_a_placeholder(original: str) -> None:
    made = document("P-0001" if original.startswith("9") else "患者3")
    assert made.replace(DATE, original)[1:] == ("placeholder", "impossible_date")


@pytest.mark.parametrize(
    "original", ["昨天", "soon", "12", "2024年春节前后", "1999-1-1-1", "5 Octember 2024", "\x00", "二二二二"]
)
def test_what_is_no_date_becomes_a_placeholder(original: str) -> None:
    assert document().replace(DATE, original).action == "placeholder"


def test_month_that_would_stay_the_same_becomes_a_placeholder() -> None:
    # 患者3 moves by -7 days: the 15th stays in its month.
    assert document("患者3").replace(DATE, "2024年3月").issue == "fixed_point"


@pytest.mark.parametrize("original", ["2024", "2024年", "二〇二四年", "民国113年"])
def test_year_alone_stays(original: str) -> None:
    assert document().replace(DATE, original) == (original, "generalise", None)


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("2024-03-05", "2024"),
        ("3/5/24", "2024"),
        ("2024年3月5日", "2024年"),
        ("二〇二四年三月五日", "二〇二四年"),
        ("March 5, 2024", "2024"),
    ],
)
def test_year_only_keeps_the_year(original: str, expected: str) -> None:
    assert document(safe_harbor=True).replace(DATE, original).text == expected


def test_year_only_has_nothing_to_keep_of_a_day_without_a_year() -> None:
    assert document(safe_harbor=True).replace(DATE, "3月5日").action == "placeholder"


@pytest.mark.parametrize("original", ["1930-01-01", "1934年6月1日", "1933"])
def test_birth_date_that_implies_an_age_over_89_becomes_a_placeholder(original: str) -> None:
    assert document(safe_harbor=True).replace(DATE, original).issue == "age_over_89"


def test_birth_date_of_somebody_of_89_stays_a_date() -> None:
    assert document().replace(DATE, "1934-06-02").action == "surrogate"


@pytest.mark.parametrize(("mode", "action"), [("keep", "keep"), ("placeholder", "placeholder")])
def test_date_mode_decides(mode: str, action: str) -> None:
    assert document(dates=mode).replace(DATE, "2024-03-05").action == action


def test_patients_move_apart_and_documents_of_one_together() -> None:
    first = document("P-0001", document_id="a").replace(DATE, "2024-03-05")
    assert first == document("P-0001", document_id="b").replace(DATE, "2024-03-05")
    assert first != document("P-0002").replace(DATE, "2024-03-05")


def test_records_without_a_patient_move_apart() -> None:
    first = document(None, document_id="a").replace(DATE, "2024-03-05")
    assert first != document(None, document_id="b").replace(DATE, "2024-03-05")


def test_no_such_day_is_told_from_no_date() -> None:
    assert read_date("hello") is None
    with pytest.raises(ImpossibleDateError):
        read_date("2024-02-30")
