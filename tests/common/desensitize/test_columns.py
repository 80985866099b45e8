from __future__ import annotations

import datetime
from dataclasses import dataclass

import pytest

from fedward.common.desensitize import columns
from fedward.common.desensitize.columns import ColumnScrubber, quasi_columns
from fedward.common.desensitize.context import Context
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import Action, ColumnClass, ColumnPolicy, DesensitizePolicy
from fedward.common.desensitize.spans import EntityType as E
from fedward.common.desensitize.surrogates import Surrogates
from fedward.common.errors import ConfigError, DataError

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
CONTEXT = Context(document_id="D-1", patient_id="P-0001")


@dataclass(frozen=True)
class Answer:
    text: str
    action: Action


class Marked:
    """Surrogates that show policy, type and original, for these tests alone."""

    def __init__(self, policy: DesensitizePolicy, _: ScrubKeys) -> None:
        self.policy = policy

    def for_document(self, context: Context) -> Marked:
        return self

    def replace(self, type_: E, original: str) -> Answer:
        action = self.policy.action_of(type_)
        if original.isdigit():
            return Answer("".join(str((int(d) + 1) % 10) for d in original), action)
        if type_ is E.DATE:
            return Answer((datetime.date.fromisoformat(original) + datetime.timedelta(days=7)).isoformat(), action)
        return Answer(f"{action.value}({original})", action)


def rule(kind: str, action: str = "keep", type_: E | None = None) -> ColumnPolicy:
    return ColumnPolicy(kind=ColumnClass(kind), action=Action(action), type=type_)


def scrubber(**rules: ColumnPolicy) -> ColumnScrubber:
    return ColumnScrubber(DesensitizePolicy(columns=rules), KEYS, surrogates_of=Marked)


def test_each_action_does_what_it_says() -> None:
    done = scrubber(
        name=rule("direct", "surrogate", E.PERSON),
        mrn=rule("direct", "fpe", E.MRN),
        town=rule("quasi", "generalise", E.ADDRESS),
        photo=rule("direct", "drop"),
        diagnosis=rule("sensitive"),
        row=rule("technical"),
    ).row({"name": "王芳", "mrn": "ZY12", "town": "x", "photo": "y", "diagnosis": "z", "row": 7, "note": "t"}, CONTEXT)
    assert done.values == {
        "name": "surrogate(王芳)",
        "mrn": "fpe(ZY12)",
        "town": "generalise(x)",
        "photo": None,
        "diagnosis": "z",
        "row": 7,
        "note": "t",
    }
    assert done.texts == ("note",)
    assert done.actions["photo"] is Action.DROP


def test_an_unknown_column_is_text() -> None:
    assert scrubber().row({"what": "王芳"}, CONTEXT).texts == ("what",)


def test_a_text_column_is_text_whatever_its_action() -> None:
    assert scrubber(note=rule("text", "keep")).row({"note": "x"}, CONTEXT).texts == ("note",)


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_an_empty_value_stays_empty(value: object) -> None:
    assert scrubber(name=rule("direct", "surrogate", E.PERSON)).row({"name": value}, CONTEXT).values["name"] is value


@pytest.mark.parametrize(
    ("value", "new"), [(123, 234), (123.0, 234.0), (datetime.date(2024, 3, 5), datetime.date(2024, 3, 12))]
)
def test_a_value_keeps_its_type(value: object, new: object) -> None:
    type_ = E.DATE if isinstance(value, datetime.date) else E.MRN
    done = scrubber(x=rule("direct", "surrogate", type_)).row({"x": value}, CONTEXT).values["x"]
    assert (done, type(done)) == (new, type(new))


@pytest.mark.parametrize("value", [923, 1.5, True, b"x", 2.0**60])
def test_a_value_that_cannot_hold_its_surrogate_is_refused_without_showing_it(value: object) -> None:
    with pytest.raises(DataError, match="column 'x'") as error:
        scrubber(x=rule("direct", "surrogate", E.MRN)).row({"x": value}, CONTEXT)
    assert "923" not in error.value.message


def test_known_values_are_those_of_the_identifying_columns() -> None:
    table = scrubber(
        name=rule("direct", "surrogate", E.PERSON),
        kin=rule("direct", "surrogate", E.PERSON),
        phone=rule("direct", "drop", E.PHONE),
        born=rule("quasi", "surrogate", E.DATE),
    )
    known = table.known({"name": "王芳", "kin": " 李雷 ", "phone": 13800138000, "born": "1990-01-01", "note": "x"})
    assert known == {E.PERSON: ("王芳", "李雷"), E.PHONE: ("13800138000",)}


def test_quasi_columns_are_those_that_stay() -> None:
    policy = DesensitizePolicy(
        columns={"sex": rule("quasi"), "zip": rule("quasi", "generalise", E.POSTCODE), "job": rule("quasi", "drop")}
    )
    assert quasi_columns(policy) == ["sex", "zip"]


REFUSED = [
    ("a direct identifier kept", rule("direct"), False, "cannot be kept"),
    ("a surrogate of no type", rule("direct", "surrogate"), False, "needs a type"),
    ("generalised, of no type", rule("quasi", "generalise"), False, "needs a type"),
    ("encrypted under Safe Harbor", rule("direct", "fpe", E.MRN), True, "safe_harbor"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: str(case[0]))
def test_a_rule_that_cannot_be_is_refused(case: tuple[str, ColumnPolicy, bool, str]) -> None:
    _, bad, safe_harbor, message = case
    with pytest.raises(ConfigError, match=message):
        ColumnScrubber(DesensitizePolicy(columns={"x": bad}, safe_harbor=safe_harbor), KEYS, surrogates_of=Marked)


# ------------------------------------------------------------------------------------------ keyed surrogates


RULES = {
    "name": rule("direct", "surrogate", E.PERSON),
    "phone": rule("direct", "surrogate", E.PHONE),
    "id": rule("direct", "surrogate", E.ID_CN),
    "born": rule("quasi", "surrogate", E.DATE),
    "mrn": rule("direct", "fpe", E.MRN),
}
ROW = {"name": "王芳", "phone": "13800138000", "id": "110101199001011237", "born": "1990-01-01", "mrn": "ZY1234567"}
DESCRIPTOR = KeyDescriptor(key_id="1", site_id="hospital-a", created="2026-11-30", not_after="2026-12-31")


def keyed(policy: DesensitizePolicy) -> ColumnScrubber:
    return ColumnScrubber(policy, KEYS, descriptor=DESCRIPTOR)


def test_a_column_has_the_surrogate_of_the_text() -> None:
    policy = DesensitizePolicy(columns=RULES)
    values = keyed(policy).row(ROW, CONTEXT).values
    document = Surrogates(policy, KEYS).for_document(CONTEXT)
    for name in ("name", "phone", "id", "born"):
        type_ = RULES[name].type
        assert type_ is not None
        assert values[name] == document.replace(type_, ROW[name]).text != ROW[name]


def test_an_encrypted_column_gives_the_known_answer() -> None:
    assert keyed(DesensitizePolicy(columns=RULES)).row(ROW, CONTEXT).values["mrn"] == "ZY3203968"


def test_another_row_of_the_patient_has_the_same_surrogates_and_another_patient_has_not() -> None:
    table = keyed(DesensitizePolicy(columns=RULES))
    first = table.row(ROW, CONTEXT).values
    assert table.row(ROW, Context(document_id="D-2", patient_id="P-0001")).values == first
    other = table.row(ROW, Context(document_id="D-3", patient_id="P-0002")).values
    assert [name for name in ROW if other[name] == first[name]] == ["mrn"]


def test_the_birth_date_in_the_id_moves_like_the_column() -> None:
    values = keyed(DesensitizePolicy(columns=RULES)).row(ROW, CONTEXT).values
    assert str(values["born"]).replace("-", "") == str(values["id"])[6:14]


def test_two_columns_of_one_type_have_two_placeholders() -> None:
    rules = {"a": rule("direct", "placeholder", E.PERSON), "b": rule("direct", "placeholder", E.PERSON)}
    values = keyed(DesensitizePolicy(columns=rules)).row({"a": "王芳", "b": "李雷"}, CONTEXT).values
    assert len(set(values.values())) == 2


def test_an_encrypted_column_without_a_descriptor_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="descriptor"):
        ColumnScrubber(DesensitizePolicy(columns=RULES), KEYS)


def test_all_is_sorted() -> None:
    assert columns.__all__ == sorted(set(columns.__all__) & set(dir(columns)), key=str.casefold)
