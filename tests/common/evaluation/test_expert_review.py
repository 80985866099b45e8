import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import DataError, EmptyDataError
from fedward.common.evaluation.draws import Draws
from fedward.common.evaluation.expert_review import (
    Item,
    alarms,
    blind_items,
    counts_of,
    disarmed,
    fleiss_kappa,
    read_sheets,
    write_sheet,
)
from tests.evaluations import VECTORS

ITEMS = blind_items(
    [f"question {i}" for i in range(40)],
    [f"base {i}" for i in range(40)],
    [f"tuned {i}" for i in range(40)],
    Draws(1, "items"),
)


def rows_of(sheet: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(sheet.decode("utf-8-sig"), newline="")))


def filled(reviewer: int, **answers: Any) -> bytes:  # noqa: ANN401
    """A sheet as it comes back; every item gets the same answers."""
    rows = rows_of(write_sheet(ITEMS, Draws(reviewer, "order")))
    given = [
        str(answers.get(name, value)) for name, value in (("professional", 4), ("compliance", "ok"), ("leak", "no"))
    ]
    for row in rows[1:]:
        row[3:6] = given
    return to_bytes(rows)


def to_bytes(rows: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def five() -> dict[str, bytes]:
    return {f"reviewer-{n}.csv": filled(n) for n in range(5)}


def test_items_are_of_both_models_and_their_ids_tell_nothing() -> None:
    tuned = [item.is_tuned for item in ITEMS]
    assert 8 <= sum(tuned) <= 32
    assert len({item.item_id for item in ITEMS}) == 40
    assert all(item.output.startswith("tuned" if item.is_tuned else "base") for item in ITEMS)
    assert [item.item_id for item in ITEMS] != sorted(item.item_id for item in ITEMS)


def test_sheets_have_all_items_each_in_an_order_of_its_own_and_no_key() -> None:
    sheets = [write_sheet(ITEMS, Draws(n, "order")) for n in range(5)]
    assert all(sheet.startswith(b"\xef\xbb\xbf") for sheet in sheets)
    assert len(set(sheets)) == 5
    for sheet in sheets:
        assert {row[0] for row in rows_of(sheet)[1:]} == {item.item_id for item in ITEMS}
        assert b"is_tuned" not in sheet


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\r=x"])
def test_cells_that_a_spreadsheet_would_run_are_disarmed(cell: str) -> None:
    item = Item(item_id="item-001", prompt=cell, output=cell, is_tuned=True)
    (_, row) = rows_of(write_sheet([item], Draws(1, "x")))
    assert row[1] == row[2] == f"'{cell}"
    assert disarmed("plain =1") == "plain =1"


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_texts_survive_the_sheet(text: str) -> None:
    item = Item(item_id="item-001", prompt=text, output="x", is_tuned=True)
    assert rows_of(write_sheet([item], Draws(1, "x")))[1][1] == disarmed(text)


def test_sheets_come_back_whole() -> None:
    review = read_sheets(five(), ITEMS)
    assert review.num_dropped == 0
    assert review.item_ids == tuple(item.item_id for item in ITEMS)
    assert review.ratings["professional"].shape == (40, 5)
    assert (review.ratings["professional"] == 3).all()


def test_items_that_a_reviewer_left_out_are_dropped_and_counted() -> None:
    sheets = five()
    rows = rows_of(sheets["reviewer-2.csv"])
    rows[7][3:6] = ["", "", ""]
    del rows[9]
    sheets["reviewer-2.csv"] = to_bytes(rows)
    assert read_sheets(sheets, ITEMS).num_dropped == 2


def edited(row: int, column: int, value: str) -> bytes:
    rows = rows_of(filled(1))
    rows[row][column] = value
    return to_bytes(rows)


CASES = [
    ("value that is not allowed", edited(4, 3, "6"), "bad.csv, row 5, column professional"),
    ("half an answer", edited(4, 4, ""), "bad.csv, row 5, column compliance"),
    ("unknown item", edited(2, 0, "item-999"), "bad.csv, row 3, column item"),
    ("item twice", edited(2, 0, rows_of(filled(1))[1][0]), "bad.csv, row 3, column item: stands twice"),
    ("other columns", edited(0, 3, "quality"), "bad.csv, row 1"),
    ("too few cells", to_bytes([rows_of(filled(1))[0], ["item-001"]]), "bad.csv, row 2"),
    ("no UTF-8", b"\xff\xfe", "no CSV"),
    ("open quotes", b'item,"prompt', "no CSV"),
    ("empty", b"", "row 1"),
    ("too large", b"a" * ((8 << 20) + 1), "larger"),
]


@pytest.mark.parametrize(("sheet", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_cannot_be_is_named_by_file_row_and_column(sheet: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_sheets({"good.csv": filled(1), "bad.csv": sheet}, ITEMS)


def test_one_reviewer_has_no_agreement() -> None:
    with pytest.raises(EmptyDataError):
        read_sheets({"a.csv": filled(1)}, ITEMS)


def test_sheets_without_a_common_item_are_refused() -> None:
    rows = rows_of(filled(1))
    with pytest.raises(EmptyDataError):
        read_sheets({"a.csv": to_bytes(rows[:2]), "b.csv": to_bytes([rows[0], rows[2]])}, ITEMS)


def test_kappa_is_the_known_answer() -> None:
    known = VECTORS["kappa"]
    found = fleiss_kappa(known["rows"], Draws(1, "kappa"))
    assert found is not None
    assert found.value == pytest.approx(known["kappa"], abs=5e-6)
    assert found.low <= found.value <= found.high


def test_kappa_of_ratings_all_alike_is_undefined() -> None:
    assert fleiss_kappa([[5, 0], [5, 0]], Draws(1, "kappa")) is None


def test_kappa_of_reviewers_who_agree_is_one_and_of_chance_none() -> None:
    agreed = fleiss_kappa([[5, 0]] * 20 + [[0, 5]] * 20, Draws(1, "kappa"))
    assert agreed is not None
    assert agreed.value == 1.0
    ratings = Draws(5, "ratings").below(5000, 3).reshape(1000, 5)
    blind = fleiss_kappa(counts_of(ratings, 3), Draws(1, "kappa"), num_draws=200)
    assert blind is not None
    assert blind.value == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("counts", [[[1, 0]], [[2, 0], [3, 0]], [], [[-1, 3]]])
def test_impossible_counts_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(DataError):
        fleiss_kappa(counts, Draws(1, "kappa"))


@pytest.mark.parametrize("answer", [{"compliance": "violation"}, {"leak": "yes"}])
def test_two_reviewers_alarm_and_one_does_not(answer: dict[str, str]) -> None:
    tuned = tuple(item.item_id for item in ITEMS if item.is_tuned)
    one = five() | {"reviewer-0.csv": filled(0, **answer)}
    two = one | {"reviewer-1.csv": filled(1, **answer)}
    assert alarms(read_sheets(one, ITEMS), ITEMS) == ()
    assert alarms(read_sheets(two, ITEMS), ITEMS) == tuned
