"""Letters and digits in other spellings are read; what is none of them stays as it is."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.context import Context
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.desensitize.pipeline import Desensitizer
from fedward.common.desensitize.plain_spelling import spelt_plainly
from fedward.common.desensitize.policy import DesensitizePolicy

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
PHONE = "13800138000"
SPELLINGS = {
    "json": "".join(f"\\u{ord(c):04x}" for c in PHONE),
    "json in json": "".join(f"\\\\u{ord(c):04X}" for c in PHONE),
    "html": "".join(f"&#{ord(c)};" for c in PHONE),
    "html in hexadecimal": "".join(f"&#x{ord(c):x};" for c in PHONE),
    "circled": "".join(chr(0x245F + int(c)) if c != "0" else "\u24ea" for c in PHONE),
    "mathematical": "".join(chr(0x1D7CE + int(c)) for c in PHONE),
    "arabic": "".join(chr(0x660 + int(c)) for c in PHONE),
    "raised": "".join("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[int(c)] for c in PHONE),
}


@pytest.mark.parametrize("name", sorted(SPELLINGS))
def test_a_number_is_found_in_every_spelling(name: str) -> None:
    desensitizer = Desensitizer(DesensitizePolicy(profile="structured"), KEYS)
    result = desensitizer.record(f"电话：{SPELLINGS[name]}。", Context(document_id="1"))
    assert SPELLINGS[name] not in (result.text or "")
    assert PHONE not in (result.text or "")
    assert [span.type.value for span in result.spans] == ["PHONE"]


@pytest.mark.parametrize(
    "spelt", ["\\u5f20\\u4e09", "&#24352;&#19977;", "&#x5F20;&#x4e09", "%E5%BC%A0%E4%B8%89", "%e5%bc%a0三"]
)
def test_a_name_is_found_in_every_spelling(spelt: str) -> None:
    result = Desensitizer(DesensitizePolicy(), KEYS).record(f"患者姓名：{spelt}，男", Context(document_id="1"))
    assert spelt not in (result.text or "")
    assert [span.type.value for span in result.spans] == ["PERSON"]


def test_a_name_with_accents_of_their_own_is_replaced_whole() -> None:
    apart = unicodedata.normalize("NFD", "Mr José García")
    result = Desensitizer(DesensitizePolicy(), KEYS).record(f"Seen: {apart} today.", Context(document_id="1"))
    assert "Garc" not in (result.text or "")
    assert "\u0301" not in (result.text or "")


@pytest.mark.parametrize(
    "text",
    [
        "5%30%40%, 10%E 20%",
        "x\u00b2 + y\u00b3, 10\u2079/L, \u2460 \u2461 \u2462",
        "quotes \\u0022 and &#34; and &#60;b&#62; and %22 stay",
        "&#99999999; \\u12 %E5%BC",
        "plain ASCII",
        "血压142/91mmHg，①复查；②随诊",
    ],
)
def test_what_is_no_letter_and_no_long_number_stays(text: str) -> None:
    assert spelt_plainly(text) is text


def test_a_text_without_identifiers_keeps_its_spelling() -> None:
    text = "一般情况\\u53ef，" + unicodedata.normalize("NFD", "café")
    result = Desensitizer(DesensitizePolicy(), KEYS).record(text, Context(document_id="1"))
    assert (result.text, result.source) == (text, text)


@given(st.text())
def test_any_text_can_be_spelt(text: str) -> None:
    assert isinstance(spelt_plainly(text), str)


@given(st.text(alphabet=st.characters(max_codepoint=0x7F, exclude_characters="\\&%")))
def test_plain_ascii_is_left_alone(text: str) -> None:
    assert spelt_plainly(text) is text
