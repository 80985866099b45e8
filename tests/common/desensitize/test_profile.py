from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize import anonymity, canaries, column_guess, policy_toml, profile
from fedward.common.desensitize.anonymity import k_anonymity
from fedward.common.desensitize.canaries import Injected, inject
from fedward.common.desensitize.columns import ColumnScrubber
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.policy import (
    Action,
    CanaryTargets,
    ColumnClass,
    ColumnPolicy,
    DesensitizePolicy,
    load_policy,
)
from fedward.common.desensitize.policy_toml import to_toml
from fedward.common.desensitize.profile import draft_policy, profile_columns, propose_levels, sample_rows
from fedward.common.desensitize.spans import EntityType as E
from fedward.common.desensitize.spans import Span
from tests.common.desensitize.tables_made_up import KEYS, bank_zh, clinic_en, nameless

D, Q, S, T, X = ColumnClass.DIRECT, ColumnClass.QUASI, ColumnClass.SENSITIVE, ColumnClass.TEXT, ColumnClass.TECHNICAL

BANK = {
    "客户号": (D, E.MRN), "户名": (D, E.PERSON), "证件号码": (D, E.ID_CN), "手机": (D, E.PHONE), "账号": (D, E.ACCOUNT),
    "性别": (Q, None), "出生日期": (Q, E.DATE), "家庭住址": (Q, E.ADDRESS), "职业": (Q, None), "余额": (S, None),
    "备注": (T, None),
}  # fmt: skip
CLINIC = {
    "row": (X, None), "PatientName": (D, E.PERSON), "mrn": (D, E.MRN), "SSN": (D, E.SSN), "home_phone": (D, E.PHONE),
    "zip": (Q, E.POSTCODE), "age": (Q, E.AGE), "sex": (Q, None), "admission_date": (Q, E.DATE), "diagnosis": (S, None),
    "clinical notes": (T, None),
}  # fmt: skip
NAMELESS = {
    "c1": (D, E.PERSON), "c2": (D, E.PERSON), "c3": (D, E.CARD), "c4": (D, E.EMAIL), "c5": (D, E.MRN), "c6": (T, None),
    "c7": (T, None), "c8": (T, None), "c9": (Q, E.DATE),
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "expected"),
    [(bank_zh, BANK), (clinic_en, CLINIC), (nameless, NAMELESS)],
    ids=["bank", "clinic", "nameless"],
)
def test_every_column_is_taken_for_what_it_is(table: object, expected: dict[str, tuple[ColumnClass, E | None]]) -> None:
    found = profile_columns(table())  # type: ignore[operator]
    assert {c.name: (c.guess.kind, c.guess.type) for c in found} == expected


def test_a_profile_counts() -> None:
    by_name = {column.name: column for column in profile_columns(clinic_en())}
    phone, mrn = by_name["home_phone"], by_name["mrn"]
    assert 0.5 < phone.fill_rate < 0.8
    assert phone.valid[E.PHONE] == 1.0
    assert (mrn.num_rows, mrn.num_distinct, mrn.distinct_share, mrn.lengths) == (200, 200, 1.0, (8, 8, 8))
    assert mrn.character_classes == {"digit": 1.0}


def test_values_are_believed_before_the_name() -> None:
    rows = [{"余额": f"1381111{n:04d}"} for n in range(50)]
    assert profile_columns(rows)[0].guess.type is E.PHONE


def test_an_ordinary_word_column_is_not_taken_for_names() -> None:
    rows = [{"c": word} for word in ("高热", "正常", "异常", "稳定", "良好", "待查", "复诊", "好转")]
    assert profile_columns(rows)[0].guess.kind is T


def test_no_value_stands_in_a_profile_but_by_its_column_name() -> None:
    text = repr(draft_policy(bank_zh(20)))
    values = {str(v) for row in bank_zh(20) for v in row.values() if len(str(v)) > 4}
    assert not [value for value in values if value in text]


@pytest.mark.parametrize("table", [bank_zh, clinic_en, nameless])
def test_a_draft_loads_as_the_policy_that_it_drafts_and_its_columns_can_be_applied(
    table: object, tmp_path: Path
) -> None:
    draft = draft_policy(table())  # type: ignore[operator]
    path = tmp_path / "policy.toml"
    path.write_text(draft.toml, "utf-8")
    assert load_policy(path) == draft.policy
    ColumnScrubber(draft.policy, KEYS, surrogates_of=lambda *_: None)  # type: ignore[arg-type]


def test_a_draft_says_why_and_what_the_quasi_identifiers_do() -> None:
    toml = draft_policy(clinic_en()).toml
    assert "# A draft" in toml
    assert "# by its name (zip)" in toml
    assert "k_min 1" in toml
    assert "kept and counted" in toml


# ------------------------------------------------------------------------------------------ sampling


def test_a_small_table_is_sampled_whole_and_in_order() -> None:
    rows = [{"n": n} for n in range(30)]
    assert sample_rows(iter(rows), KEYS) == rows


def test_a_sample_is_seeded_distinct_in_order_and_from_everywhere() -> None:
    rows = [{"n": n} for n in range(5000)]
    chosen = [int(str(row["n"])) for row in sample_rows(iter(rows), KEYS, 500)]
    assert chosen == [int(str(row["n"])) for row in sample_rows(iter(rows), KEYS, 500)]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 500
    assert 2200 < sum(chosen) / 500 < 2800
    other = ScrubKeys(secret=bytes(32), site_id="bank-a", key_id="1")
    assert chosen != [int(str(row["n"])) for row in sample_rows(iter(rows), other, 500)]


# ------------------------------------------------------------------------------------------ levels


@functools.cache
def injected() -> tuple[Injected, ...]:
    targets = CanaryTargets(num_structured=300)
    return tuple(inject(["无发热。" * 5], KEYS, targets, types=[E.PHONE, E.MRN]))


def propose(phone_level: int, noise_level: int, missed: int, target: float) -> profile.LevelProposal:
    """Phones found at a level but for some, and a false phone in each text at another."""
    found = []
    for index, item in enumerate(injected()):
        spans = [
            Span(p.start, p.end, p.type, phone_level, "test")
            for p in item.planted
            if p.type is E.MRN or index >= missed
        ]
        free = next(i for i in range(len(item.text)) if not any(p.start <= i < p.end for p in item.planted))
        found.append([*spans, Span(free, free + 1, E.PHONE, noise_level, "test")])
    policy = DesensitizePolicy(canaries=CanaryTargets(min_recall_structured=target))
    return next(p for p in propose_levels(injected(), found, policy) if p.type is E.PHONE)


@pytest.mark.parametrize(
    ("phone_level", "noise_level", "expected"),
    [(3, 1, 2), (3, 2, 3), (2, 1, 2), (1, 1, 1), (2, 2, 1), (3, 3, 1)],
)
def test_the_level_that_meets_the_target_and_changes_least_is_proposed(
    phone_level: int, noise_level: int, expected: int
) -> None:
    assert propose(phone_level, noise_level, 0, 0.9).level == expected


def test_where_no_level_meets_the_target_it_is_the_first_and_the_draft_says_so() -> None:
    proposal = propose(3, 1, missed=50, target=0.99)
    assert (proposal.level, proposal.recall.meets_target) == (1, False)
    assert "At no level do the canaries meet the target: PHONE" in draft_policy([], levels=[proposal]).toml


def test_a_proposed_level_stands_in_the_draft_with_its_interval() -> None:
    draft = draft_policy([], levels=[propose(3, 2, 0, 0.9)])
    assert draft.policy.level_of(E.PHONE) == 3
    assert "# canary recall 1.0000, 95 % from 0.9" in draft.toml


# ------------------------------------------------------------------------------------------ TOML


keys = st.text(min_size=1, max_size=8)
column_rules = st.builds(
    ColumnPolicy,
    kind=st.sampled_from(list(ColumnClass)),
    action=st.sampled_from(list(Action)),
    type=st.none() | st.sampled_from(list(E)),
)
policies = st.builds(
    DesensitizePolicy,
    stance=st.sampled_from(["strict", "balanced", "safe"]),
    levels=st.dictionaries(st.sampled_from(list(E)), st.integers(1, 5), max_size=3),
    actions=st.dictionaries(st.sampled_from(list(E)), st.sampled_from(list(Action)), max_size=3),
    semantic_rate=st.floats(0, 0.1),
    layers=st.sampled_from([("entity",), ("entity", "noise")]),
    columns=st.dictionaries(keys, column_rules, max_size=3),
    canaries=st.builds(CanaryTargets, num_names=st.integers(0, 9)),
)


@settings(max_examples=60)
@given(policies, st.text(max_size=20))
def test_a_policy_comes_back_from_its_toml(policy: DesensitizePolicy, comment: str) -> None:
    path = Path(_folder()) / "policy.toml"
    comments = {f"columns.{name}": comment for name in policy.columns} | {"stance": comment}
    path.write_bytes(to_toml(policy, comments, [comment]).encode())
    assert load_policy(path) == policy


@functools.cache
def _folder() -> str:
    import tempfile

    return tempfile.mkdtemp()


def test_a_comment_cannot_become_a_setting() -> None:
    toml = to_toml(DesensitizePolicy(), {"stance": "x\nsafe_harbor = true"}, ["y\rprofile = 1"])
    assert toml.count("\n") == 3
    assert toml.startswith("# y profile = 1\n# x safe_harbor = true\n")


# ------------------------------------------------------------------------------------------ k-anonymity


def test_classes_are_counted() -> None:
    rows = [{"sex": "M", "zip": "90001"}] * 6 + [{"sex": "F", "zip": "90002"}] * 2 + [{"sex": "F", "zip": "90003"}]
    found = k_anonymity(rows, ["sex", "zip"])
    assert (found.num_classes, found.k_min, found.share_below) == (3, 1, 3 / 9)
    assert found.sizes == ((1, 1), (2, 1), (6, 1))


def test_a_generalisation_that_would_help_is_suggested_first() -> None:
    rows = [{"zip": f"90{n:03d}", "sex": "M"} for n in range(100)] + [{"zip": "91000", "sex": "F"}] * 9
    best = k_anonymity(rows, ["zip", "sex"]).suggestions[0]
    assert (best.columns, best.how, best.share_below) == (("zip",), "three digits", 0.0)


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ([f"19{n:02d}-01-02" for n in range(20, 60)], "year"),
        (list(map(str, range(40))), "band of 10"),
        ([f"浙江省第{n}县" for n in range(40)], "first level"),
        ([f"job {n}" for n in range(40)], "drop"),
    ],
)
def test_a_column_is_made_coarser_by_its_kind(values: list[str], how: str) -> None:
    found = k_anonymity([{"x": value} for value in values], ["x"])
    assert how in {suggestion.how for suggestion in found.suggestions}


def test_no_row_below_five_needs_no_suggestion() -> None:
    assert k_anonymity([{"sex": "M"}] * 5, ["sex"]).suggestions == ()


def test_an_empty_table_has_no_class() -> None:
    found = k_anonymity([], ["sex"])
    assert (found.num_classes, found.k_min, found.share_below) == (0, 0, 0.0)


@pytest.mark.parametrize("module", [anonymity, canaries, column_guess, policy_toml, profile])
def test_all_is_sorted(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(set(names) & set(dir(module)), key=str.casefold)
