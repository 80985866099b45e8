"""FF1 against the published samples, against a second implementation and against itself."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize import tables
from fedward.common.desensitize.fpe import Ff1, IntegerFpe, KeyDescriptor, permutation, tweak
from fedward.common.desensitize.keys import ScrubKeys
from fedward.common.errors import DesensitizationError, FpeDomainError

SAMPLES = json.loads((Path(__file__).parents[2] / "vectors/ff1.json").read_text("utf-8"))
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")
DESCRIPTOR = KeyDescriptor(key_id="1", site_id="hospital-a", created="2026-01-01", not_after="2026-12-31")
DOMAINS = [1_000_000, 1_000_001, 6_292_000, 5_216_000_000, 10**12, 2**53 + 1, 2**64]


def fpe(domain: int) -> IntegerFpe:
    return permutation(KEYS, "TEST", "context", domain)


def with_numerals(domain: int, value: int) -> int:
    """What the fast path must give, by the standard's text over four numerals."""
    permuted, radix = fpe(domain), fpe(domain).radix
    slow = Ff1(KEYS.derive("fpe", "TEST"), radix, tweak("TEST", KEYS, "context"))
    while True:
        numerals = [value // radix**i % radix for i in (3, 2, 1, 0)]
        value = sum(x * radix**i for x, i in zip(slow.encrypt(numerals), (3, 2, 1, 0), strict=True))
        if value < permuted.domain:
            return value


@pytest.mark.parametrize("sample", SAMPLES["vectors"], ids=lambda sample: sample["name"])
def test_published_sample_has_its_known_answer_and_comes_back(sample: dict[str, str]) -> None:
    key = bytes.fromhex(SAMPLES["keys"][sample["key"]])
    cipher = Ff1(key, int(sample["radix"]), bytes.fromhex(sample["tweak"]))
    plain = [DIGITS.index(c) for c in sample["plain"]]
    out = cipher.encrypt(plain)
    assert "".join(DIGITS[x] for x in out) == sample["cipher"]
    assert cipher.decrypt(out) == plain


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.499, 0.77, 1.0])
def test_fast_path_is_ff1_over_four_numerals_with_cycle_walking(domain: int, share: float) -> None:
    value = min(domain - 1, int(domain * share))
    assert fpe(domain).encrypt(value) == with_numerals(domain, value)


@pytest.mark.parametrize("radix", [32, 100, 255, 1000])
@pytest.mark.parametrize("length", [4, 5, 12])
def test_second_implementation_agrees(radix: int, length: int) -> None:
    ffx = pytest.importorskip("ffx", reason="libffx is for development")
    rng = np.random.default_rng(5)  # noqa: TID251 - test data
    alphabet = "".join(chr(0x100 + i) for i in range(radix))
    for num_tweak in (0, 1, 8, 20):
        key, salt = rng.bytes(32), rng.bytes(num_tweak)
        numerals = [int(x) for x in rng.integers(0, radix, length)]
        theirs = ffx.FF1(key, alphabet=alphabet).encrypt("".join(alphabet[x] for x in numerals), tweak=salt)
        assert "".join(alphabet[x] for x in Ff1(key, radix, salt).encrypt(numerals)) == theirs


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_column_of_a_hundred_thousand_is_injective_and_comes_back(domain: int) -> None:
    values = np.array([i * (domain - 1) // 99_999 for i in range(100_000)], dtype=np.uint64)
    out = fpe(domain).encrypt_many(values)
    assert len(np.unique(out)) == len(values)
    assert int(out.max()) < domain
    assert np.array_equal(fpe(domain).decrypt_many(out), values)


@given(value=st.integers(0, 2**64 - 1))
def test_one_value_is_encrypted_as_in_a_column(value: int) -> None:
    assert fpe(2**64).encrypt(value) == int(fpe(2**64).encrypt_many([value])[0])
    assert fpe(2**64).decrypt(value) == int(fpe(2**64).decrypt_many([value])[0])


@given(value=st.integers(0, 10**7 - 1))
def test_decrypting_undoes_encrypting(value: int) -> None:
    assert fpe(10**7).decrypt(fpe(10**7).encrypt(value)) == value


@pytest.mark.parametrize("domain", [0, 1, 999, 999_999, 2**64 + 1])
def test_domain_that_is_too_small_or_too_large_is_refused(domain: int) -> None:
    with pytest.raises(FpeDomainError, match=r"10\*\*6 to 2\*\*64"):
        fpe(domain)


def test_numerals_with_too_few_values_are_refused() -> None:
    with pytest.raises(FpeDomainError, match="at least 1,000,000"):
        Ff1(bytes(32), 10).encrypt([1, 2, 3, 4, 5])


@pytest.mark.parametrize("value", [-1, 10**7, 2**64])
def test_rank_outside_the_domain_is_refused(value: int) -> None:
    with pytest.raises(DesensitizationError, match="rank"):
        fpe(10**7).encrypt(value)
    with pytest.raises(DesensitizationError, match="rank"):
        fpe(10**7).encrypt_many([value])


@pytest.mark.parametrize(
    "other",
    [
        permutation(KEYS, "TEST", "another context", 10**7),
        permutation(KEYS, "OTHER", "context", 10**7),
        permutation(dataclasses.replace(KEYS, key_id="2"), "TEST", "context", 10**7),
        permutation(dataclasses.replace(KEYS, site_id="hospital-b"), "TEST", "context", 10**7),
    ],
    ids=["context", "type", "key_id", "site_id"],
)
def test_permutation_depends_on(other: IntegerFpe) -> None:
    values = np.arange(1000, dtype=np.uint64)
    assert (fpe(10**7).encrypt_many(values) != other.encrypt_many(values)).mean() > 0.99


def test_descriptor_of_this_key_and_these_tables_is_accepted_and_survives_json() -> None:
    DESCRIPTOR.check(KEYS)
    assert KeyDescriptor.from_json(DESCRIPTOR.to_json()) == DESCRIPTOR
    assert DESCRIPTOR.num_days == 46_386


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"key_id": "2"}, "key_id"),
        ({"site_id": "hospital-b"}, "site_id"),
        ({"algorithm": "FF3-1"}, "algorithm"),
        ({"tables": "0" * 64}, "tables"),
        ({"not_after": "1899-12-31"}, "not_after"),
        ({"not_after": "soon"}, "not_after"),
    ],
)
def test_descriptor_that_differs_is_refused(change: dict[str, str], named: str) -> None:
    with pytest.raises(DesensitizationError, match=named):
        dataclasses.replace(DESCRIPTOR, **change).check(KEYS)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key_id": "1"}', DESCRIPTOR.to_json().replace('"1"', "1")])
def test_broken_descriptor_is_refused(text: str) -> None:
    with pytest.raises(DesensitizationError, match="six named strings"):
        KeyDescriptor.from_json(text)


def test_ranking_digest_is_that_of_the_tables_whose_order_counts() -> None:
    assert KeyDescriptor(key_id="1", site_id="a", created="", not_after="").tables == tables.ranking_digest()
