from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common import _keystream as keystream
from fedward.common.errors import ConfigError
from fedward.common.secagg import masks
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.ring import Quantiser, RingVector
from tests.known_answers import secagg_vectors
from tests.strategies import keys

CHUNK = keystream.CHUNK_WORDS
QUANTISER = Quantiser(scale_log2=24, clamp_log2=24)
KEY, OTHER = bytes(range(32)), bytes(32)


def masked(size: int, **arguments: Any) -> RingVector:  # noqa: ANN401
    vector = np.arange(size, dtype="<u4")
    apply_masks(vector, **arguments)
    return vector


@pytest.mark.parametrize("vector", secagg_vectors("masked"), ids=lambda vector: vector["name"])
def test_masked_vector_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    quantiser = Quantiser(scale_log2=inputs["scale_log2"], clamp_log2=inputs["clamp_log2"])
    update = np.frombuffer(bytes.fromhex(inputs["update"]), "<f4")
    out = np.empty(update.size, "<u4")
    writer = quantiser.writer(update, dither_key=bytes.fromhex(inputs["dither_key"]))
    apply_masks(out, plus=[bytes.fromhex(key) for key in inputs["plus"]], writer=writer)
    assert out[:4].tobytes().hex() == vector["expected"]


@pytest.mark.parametrize("size", [0, 1, 4, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 500])
def test_masks_are_the_streams_of_their_keys(size: int) -> None:
    expected = np.arange(size, dtype="<u4") + keystream.words(KEY, size) - keystream.words(OTHER, size)
    assert np.array_equal(masked(size, plus=[KEY], minus=[OTHER]), expected)


@given(st.lists(keys, max_size=4), st.lists(keys, max_size=4), st.integers(0, 50))
def test_masks_that_are_taken_away_again_leave_nothing(plus: list[bytes], minus: list[bytes], size: int) -> None:
    vector = masked(size, plus=plus, minus=minus)
    apply_masks(vector, plus=minus, minus=plus)
    assert np.array_equal(vector, np.arange(size, dtype="<u4"))


@pytest.mark.parametrize("size", [0, 1, 4, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
@pytest.mark.parametrize("threads", [2, 3, 16])
def test_number_of_threads_does_not_show(monkeypatch: pytest.MonkeyPatch, size: int, threads: int) -> None:
    update = np.linspace(-1, 1, size, dtype=np.float32)
    writer = QUANTISER.writer(update, dither_key=KEY)
    alone = masked(size, plus=[KEY], minus=[OTHER], writer=writer)
    monkeypatch.setattr(masks, "THREADING_WORDS", 0)
    assert np.array_equal(masked(size, plus=[KEY], minus=[OTHER], writer=writer, threads=threads), alone)


def test_written_words_are_masked_like_those_that_stand_there() -> None:
    update = np.linspace(-1, 1, CHUNK + 3, dtype=np.float32)
    apart = QUANTISER.quantise(update, dither_key=KEY)
    apply_masks(apart, plus=[KEY], minus=[OTHER])
    writer = QUANTISER.writer(update, dither_key=KEY)
    assert np.array_equal(masked(update.size, plus=[KEY], minus=[OTHER], writer=writer), apart)


def test_short_vectors_start_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "ThreadPoolExecutor", lambda _: pytest.fail("started"))
    masked(2 * CHUNK, plus=[KEY], threads=8)


def test_fault_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "THREADING_WORDS", 0)
    update = np.zeros(3 * CHUNK, np.float32)
    update[-1] = np.nan
    with pytest.raises(ConfigError, match="finite"):
        masked(update.size, writer=QUANTISER.writer(update, dither_key=KEY), threads=3)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        masked(1, plus=[key])


def test_masked_vector_looks_uniform() -> None:
    """Chi-square over the bytes of a vector of zeros: 255 degrees of freedom, a false alarm at 6 sigma."""
    vector = np.zeros(1 << 18, "<u4")
    apply_masks(vector, plus=[KEY], minus=[OTHER])
    counts = np.bincount(np.frombuffer(vector.tobytes(), np.uint8), minlength=256)
    expected = 4 * vector.size / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_square - 255) < 6 * np.sqrt(2 * 255)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("place", [None, 0, CHUNK - 1, CHUNK, 3 * CHUNK + 6])
def test_every_word_is_looked_at_when_its_masks_are_off(
    monkeypatch: pytest.MonkeyPatch, place: int | None, threads: int
) -> None:
    monkeypatch.setattr(masks, "THREADING_WORDS", 0)
    size = 3 * CHUNK + 7
    vector = keystream.words(KEY, size)
    if place is not None:
        vector[place] ^= np.uint32(2**30)
    seen: list[int] = []

    def check(words: RingVector) -> bool:
        seen.append(words.size)
        return not words.any()

    assert apply_masks(vector, minus=[KEY], check=check, threads=threads) is (place is None)
    assert place is not None or sum(seen) == size
