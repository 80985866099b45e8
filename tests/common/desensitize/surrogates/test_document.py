"""Actions, scopes, consistency, hostile originals, and format-preserving encryption within a text."""

import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.fpe import KeyDescriptor
from fedward.common.desensitize.policy import Action, DesensitizePolicy
from fedward.common.desensitize.ranking import InvalidValueError
from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import DocumentSurrogates, Surrogates
from fedward.common.desensitize.surrogates.canonical import canonical
from fedward.common.errors import ConfigError, DesensitizationError
from tests.common.desensitize.surrogates.making import KEYS, document

T = EntityType
DESCRIPTOR = KeyDescriptor(key_id="1", site_id="hospital-a", created="2026-01-01", not_after="2026-12-31")
EXAMPLES = {
    T.PERSON: "张伟",
    T.PHONE: "13800138000",
    T.EMAIL: "wang@hospital.cn",
    T.ID_CN: "110101199001011237",
    T.SSN: "123-45-6789",
    T.NATIONAL_ID: "AB123456",
    T.PASSPORT: "E12345678",
    T.LICENCE: "A1234567",
    T.MRN: "ZY1234567",
    T.HEALTH_PLAN: "123456789",
    T.CARD: "4111111111111111",
    T.ACCOUNT: "6217000010001234567",
    T.IBAN: "DE89370400440532013000",
    T.TXN: "20240305123456",
    T.PLATE: "京A12345",
    T.VIN: "1HGCM82633A004352",
    T.DEVICE: "490154203237518",
    T.IP: "192.168.1.1",
    T.HANDLE: "wxid_abc123",
    T.ORG_ID: "91350100M000100Y43",
    T.DATE: "2024-03-05",
    T.ORG: "北京协和医院",
}
HOSTILE = st.text(max_size=40) | st.text(
    alphabet="张伟王老 AaXx09.-:/@+()年月日岁号\uff11\u200b\ud800\u0660²", max_size=24
)


def encrypting(type_: EntityType, on_invalid: str = "token") -> DocumentSurrogates:
    policy = DesensitizePolicy(actions={type_: Action.FPE}, on_invalid=on_invalid)  # type: ignore[arg-type]
    return Surrogates(policy, KEYS, descriptor=DESCRIPTOR).for_document(Context(document_id="d"))


@pytest.mark.parametrize("type_", EntityType)
@settings(max_examples=40)
@given(original=HOSTILE, action=st.sampled_from([a for a in Action if a is not Action.FPE]))
@example("\ud800", Action.SURROGATE)
@example("\u0661\u0662\u0663", Action.SURROGATE)
@example("²" * 11, Action.SURROGATE)
@example("x" * 5000, Action.SURROGATE)
def test_hostile_original_never_crashes_and_never_returns(type_: EntityType, original: str, action: Action) -> None:
    made = document(actions={type_: action}).replace(type_, original)
    if action is Action.DROP:
        assert made.text == ""
    elif action is Action.KEEP:
        assert made.text == original
    elif made.text == original:
        assert made.action is Action.GENERALISE
        assert type_ in (T.DATE, T.AGE, T.ADDRESS, T.LOC)
    else:
        assert made.text
        assert action is not Action.PLACEHOLDER or made.text.startswith("[")


@pytest.mark.parametrize("type_", EXAMPLES, ids=str)
def test_surrogate_is_the_same_in_its_scope_and_another_elsewhere(type_: EntityType) -> None:
    original = EXAMPLES[type_]
    made = document("P-0001").replace(type_, original)
    assert made.action == "surrogate"
    assert made == document("P-0001", document_id="d2").replace(type_, original)
    others = [document(patient).replace(type_, original).text for patient in ("P-0002", "P-0003", "P-0004")]
    assert any(text != made.text for text in others)
    other_key = dataclasses.replace(KEYS, key_id="2")
    assert document("P-0001", keys=other_key).replace(type_, original) != made


@pytest.mark.parametrize(("scope", "same"), [("site", True), ("patient", False), ("document", False)])
def test_scope_decides_how_far_a_surrogate_goes(scope: str, same: bool) -> None:
    one = document("P-0001", document_id="a", scope=scope).replace(T.MRN, "ZY1234567")
    other = document("P-0002", document_id="b", scope=scope).replace(T.MRN, "ZY1234567")
    assert (one == other) is same


def test_document_scope_parts_the_records_of_one_patient() -> None:
    made = [document("P-0001", document_id=d, scope="document").replace(T.MRN, "ZY1234567") for d in "ab"]
    assert made[0] != made[1]


def test_order_of_replacing_does_not_matter_once_all_is_announced() -> None:
    originals = [*EXAMPLES.items(), (T.PERSON, "李医生"), (T.PERSON, "John Smith"), (T.PERSON, "J. Smith")]
    first, second = document(), document()
    for made in (first, second):
        made.announce(originals)
    forward = {o: first.replace(*o) for o in originals}
    backward = {o: second.replace(*o) for o in reversed(originals)}
    assert forward == backward


def test_originals_of_the_scope_are_avoided_and_the_redraws_counted() -> None:
    original = "SN12345"
    drawn = document().replace(T.MRN, original).text
    made = document()
    made.announce([(T.MRN, drawn)])
    assert made.replace(T.MRN, original).text != drawn
    assert made.num_redraws == 1
    assert document(known={T.MRN: (drawn,)}).replace(T.MRN, original).text != drawn


def test_placeholders_are_numbered_per_document_in_its_language() -> None:
    policy = {T.PERSON: "placeholder", T.PHONE: "placeholder"}
    made = document(actions=policy)
    made.announce([(T.PERSON, "张伟"), (T.PERSON, "李娜")])
    assert [made.replace(T.PERSON, name).text for name in ("张伟", "李娜", "张医生", "张 伟")] == [
        "[姓名1]",
        "[姓名2]",
        "[姓名1]",
        "[姓名1]",
    ]
    assert [made.replace(T.PHONE, n).text for n in ("13800138000", "13900139000", "138-0013-8000")] == [
        "[PHONE1]",
        "[PHONE2]",
        "[PHONE1]",
    ]
    assert document(actions=policy, language="zh").replace(T.PHONE, "13800138000").text == "[电话1]"
    assert document(actions=policy, language="en").replace(T.PERSON, "张伟").text == "[PERSON1]"


def test_language_of_the_document_decides_where_the_policy_does_not() -> None:
    run = Surrogates(DesensitizePolicy(), KEYS)
    made = run.for_document(Context(document_id="d"), language="zh")
    assert made.replace(T.SECRET, "123456").text == "[密码1]"


@pytest.mark.parametrize("type_", [T.SECRET, T.MASKED, T.URL])
def test_secrets_masks_and_links_are_placeholders_by_default(type_: EntityType) -> None:
    assert document().replace(type_, "138****8000").action == "placeholder"


def test_images_are_dropped_and_places_kept_by_default() -> None:
    assert document().replace(T.IMAGE, "data:image/png;base64,xx") == ("", "drop", None)
    assert document().replace(T.LOC, "深圳").action == "keep"


def test_half_masked_value_gets_no_surrogate() -> None:
    assert document(actions={T.MASKED: "surrogate"}).replace(T.MASKED, "138****8000").action == "placeholder"


def test_safe_harbor_leaves_no_keyed_surrogate() -> None:
    made = document(safe_harbor=True)
    assert {made.replace(type_, original).action for type_, original in EXAMPLES.items()} == {
        "placeholder",
        "generalise",
    }


def test_nothing_shows_plaintext() -> None:
    made = document(known={T.PERSON: ("张伟",)})
    made.replace(T.PERSON, "李娜")
    assert not {"张", "李", "P-0001"} & set(repr(made))
    assert "P-0001" not in repr(made)


@pytest.mark.parametrize(
    ("type_", "original", "expected"),
    [
        (T.MRN, "ZY1234567", "ZY3203968"),
        (T.CARD, "4111 1111 1111 1111", "4111 1164 5205 8011"),
        (T.CARD, "6222021234567890128", "6222021349520914938"),
    ],
)
def test_encrypted_value_has_its_known_answer_in_the_written_form(
    type_: EntityType, original: str, expected: str
) -> None:
    assert encrypting(type_).replace(type_, original) == (expected, "fpe", None)


@pytest.mark.parametrize(
    "spellings",
    [
        ("13800138000", "138-0013-8000", "+86 138 0013 8000"),
        ("01062345678", "010-62345678", "+86 10 6234 5678", "(010)62345678"),
    ],
)
def test_spellings_of_an_encrypted_phone_agree(spellings: tuple[str, ...]) -> None:
    made = [encrypting(T.PHONE).replace(T.PHONE, original) for original in spellings]
    assert {fresh.action for fresh in made} == {"fpe"}
    assert len({canonical(T.PHONE, fresh.text)[-8:] for fresh in made}) == 1


def test_invalid_value_takes_what_the_policy_says() -> None:
    assert encrypting(T.CARD).replace(T.CARD, "4111111111111112").text.startswith("[CARD:")
    assert encrypting(T.CARD, "placeholder").replace(T.CARD, "4111111111111112").text == "[CARD1]"
    with pytest.raises(InvalidValueError):
        encrypting(T.CARD, "error").replace(T.CARD, "4111111111111112")


@settings(max_examples=40)
@given(original=HOSTILE)
@pytest.mark.parametrize("type_", [T.PHONE, T.CARD, T.ID_CN, T.MRN])
def test_hostile_original_is_never_encrypted_to_itself(type_: EntityType, original: str) -> None:
    made = encrypting(type_, "placeholder").replace(type_, original)
    assert made.text != original


def test_encryption_without_a_descriptor_or_a_rank_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="descriptor"):
        Surrogates(DesensitizePolicy(actions={T.MRN: Action.FPE}), KEYS)
    with pytest.raises(ConfigError, match="EMAIL"):
        Surrogates(DesensitizePolicy(actions={T.EMAIL: Action.FPE}), KEYS, descriptor=DESCRIPTOR)
    other = dataclasses.replace(KEYS, key_id="2")
    with pytest.raises(DesensitizationError, match="key_id"):
        Surrogates(DesensitizePolicy(actions={T.MRN: Action.FPE}), other, descriptor=DESCRIPTOR)
