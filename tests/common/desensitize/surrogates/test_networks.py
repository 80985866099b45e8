"""Mail, addresses of networks and handles move into reserved ranges."""

import ipaddress
import re

import pytest

from fedward.common.desensitize.spans import EntityType
from fedward.common.desensitize.surrogates import is_valid
from tests.common.desensitize.surrogates.making import document, replaced

EMAIL, IP, HANDLE, URL = EntityType.EMAIL, EntityType.IP, EntityType.HANDLE, EntityType.URL


@pytest.mark.parametrize(
    ("original", "pattern"),
    [
        ("wangfang@hospital.cn", r"[a-z]+\d+@example\.com"),
        ("wang.fang@charity.org", r"[a-z]+\.[a-z]+\d+@example\.org"),
        ("123456@qq.com", r"\d{6}@example\.com"),
        ("WANG_FANG@HOSPITAL.CN", r"[A-Z]+_[A-Z]+\d+@EXAMPLE\.COM"),
        ("wang\uff20hospital.cn", "[a-z]+\\d+\uff20example\\.com"),
    ],
)
def test_mailbox_moves_to_an_example_domain(original: str, pattern: str) -> None:
    (fresh,) = replaced(EMAIL, original)
    assert re.fullmatch(pattern, fresh)
    assert is_valid(EMAIL, fresh)


@pytest.mark.parametrize("original", ["192.168.1.1", "10.0.0.1", "8.8.8.8:53", "192.168.0.0/16"])
def test_address_moves_to_ten_slash_eight(original: str) -> None:
    (fresh,) = replaced(IP, original)
    host = re.split("[:/]", fresh)[0]
    assert ipaddress.ip_address(host) in ipaddress.ip_network("10.0.0.0/8")
    assert fresh.removeprefix(host) == original.removeprefix(re.split("[:/]", original)[0])


@pytest.mark.parametrize("original", ["2001:db8::1", "fe80::1", "FE80::ABCD", "::ffff:1.2.3.4"])
def test_address_moves_to_the_documentation_prefix(original: str) -> None:
    (fresh,) = replaced(IP, original)
    assert ipaddress.ip_address(fresh) in ipaddress.ip_network("2001:db8::/32")
    assert fresh != original


@pytest.mark.parametrize(
    ("original", "pattern"),
    [("wxid_abc123", r"wxid_[a-z]{3}\d{3}"), ("@John_Doe", r"@[A-Z][a-z]{3}_[A-Z][a-z]{2}"), ("12345678", r"\d{8}")],
)
def test_handle_keeps_its_shape(original: str, pattern: str) -> None:
    (fresh,) = replaced(HANDLE, original)
    assert re.fullmatch(pattern, fresh)
    assert fresh != original


def test_link_is_a_placeholder_or_an_example() -> None:
    assert document().replace(URL, "https://hospital.cn/p?id=1").text == "[URL1]"
    fresh = document(actions={URL: "surrogate"}).replace(URL, "https://www.hospital.cn/p?id=1").text
    assert re.fullmatch(r"https://www\.example\.com/[0-9a-f]{12}", fresh)


@pytest.mark.parametrize(
    ("type_", "original"),
    [
        (EMAIL, "a@b@c.d"),
        (EMAIL, "张伟"),
        (IP, "1.2.3"),
        (IP, "fe80::1%eth0"),
        (IP, "12:34:56"),
        (HANDLE, "快乐小王"),
        (HANDLE, "a b"),
    ],
)
def test_what_has_another_form_becomes_a_placeholder(type_: EntityType, original: str) -> None:
    assert document().replace(type_, original).action == "placeholder"
