from __future__ import annotations

import hashlib
import hmac
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.desensitize.draws import KeyedStream
from fedward.common.desensitize.keys import ScrubKeys

KEYS = ScrubKeys(secret=bytes(range(32)), site_id="hospital-a", key_id="1")


def stream(seed: str = "x") -> KeyedStream:
    return KeyedStream.of(KEYS, "noise", "TEXT", seed)


def test_the_first_block_is_hmac_of_the_length_prefixed_seed() -> None:
    expected = hmac.new(KEYS.derive("noise", "TEXT"), struct.pack(">I", 1) + b"x", hashlib.sha256).digest()
    first = stream()
    assert {first.bits64() for _ in range(4)} == set(struct.unpack(">4Q", expected))


def test_the_same_seed_gives_the_same_stream_and_another_does_not() -> None:
    assert [stream().bits64() for _ in range(9)] == [stream().bits64() for _ in range(9)]
    assert stream("x").bits64() != stream("y").bits64()


@given(st.integers(1, 2**63), st.text(max_size=5))
def test_a_draw_lies_below_its_bound(bound: int, seed: str) -> None:
    assert 0 <= stream(seed).below(bound) < bound


@pytest.mark.parametrize("bound", [0, -1, 2**63 + 1])
def test_an_impossible_bound_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        stream().below(bound)


def test_draws_below_six_are_about_even() -> None:
    source = stream()
    counts = Counter(source.below(6) for _ in range(6000))
    assert set(counts) == set(range(6))
    assert all(850 < count < 1150 for count in counts.values())


@given(st.integers(0, 60), st.integers(0, 80))
def test_a_sample_is_sorted_distinct_and_in_range(size: int, count: int) -> None:
    chosen = stream().sample(size, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(size, count)
    assert all(0 <= index < size for index in chosen)


def test_a_stream_shows_neither_key_nor_seed() -> None:
    assert repr(stream("secret-seed")) == "KeyedStream()"
