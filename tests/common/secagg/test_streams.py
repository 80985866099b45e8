"""The fast road gives the specified keystream: around blocks, windows and chunks."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common import _keystream as keystream
from fedward.common.secagg import streams
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.streams import WINDOW_WORDS, Stream, bare_cipher, counter_blocks
from tests.strategies import keys

KEY = bytes(range(32))
CHUNK = keystream.CHUNK_WORDS


@pytest.mark.parametrize(
    "size", [0, 1, 4, 7, 8, 9, 12, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 8, 2 * CHUNK, 3 * CHUNK + 5]
)
def test_mask_of_any_length_is_the_specified_stream(size: int) -> None:
    vector = np.zeros(size, "<u4")
    apply_masks(vector, plus=[KEY])
    assert np.array_equal(vector, keystream.words(KEY, size))


def test_known_answer_of_the_design() -> None:
    words = Stream(KEY).next_words(4, keystream.new_buffer())
    assert [f"{word:08x}" for word in words] == ["b60090f2", "d09f492a", "6a9af3a9", "80772edd"]


@pytest.mark.parametrize("first_word", [4, 8, 12, CHUNK, CHUNK + 4])
def test_stream_may_begin_at_any_block(first_word: int) -> None:
    words = Stream(KEY, first_word=first_word).next_words(100, keystream.new_buffer())
    assert np.array_equal(words, keystream.words(KEY, 100, first_word=first_word))


@pytest.mark.parametrize("sizes", [(4, 4, 100), (8, 12), (4, 8, 16, 3), (0, 12, 8, 5), (CHUNK, 16, CHUNK)])
def test_stream_goes_on_where_it_was(sizes: tuple[int, ...]) -> None:
    stream, buffer = Stream(KEY), keystream.new_buffer()
    words = np.concatenate([stream.next_words(size, buffer).copy() for size in sizes])
    assert np.array_equal(words, keystream.words(KEY, sum(sizes)))


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Stream(key)


def test_position_inside_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="divisible by four"):
        Stream(KEY, first_word=2)


def test_stream_that_ended_inside_a_block_does_not_go_on() -> None:
    stream, buffer = Stream(KEY), keystream.new_buffer()
    stream.next_words(3, buffer)
    with pytest.raises(ValueError, match="divisible by four"):
        stream.next_words(1, buffer)


def test_key_of_the_tweak_has_a_stream_like_any_other() -> None:
    for key in (streams._TWEAK_KEY, streams._OTHER_TWEAK_KEY):
        assert np.array_equal(Stream(key).next_words(100, keystream.new_buffer()), keystream.words(key, 100))


@given(keys, st.integers(0, 1 << 24), st.integers(1, 70))
def test_any_key_anywhere_gives_the_specified_words(key: bytes, block: int, count: int) -> None:
    words = Stream(key, first_word=4 * block).next_words(count, keystream.new_buffer())
    assert np.array_equal(words, keystream.words(key, count, first_word=4 * block))


@given(st.lists(st.integers(0, 1 << 12), min_size=1, max_size=6))
def test_windows_may_be_asked_for_in_any_order(windows: list[int]) -> None:
    for window in windows:
        blocks = np.frombuffer(counter_blocks(window * WINDOW_WORDS, WINDOW_WORDS), ">u8").reshape(-1, 2)
        first = window * WINDOW_WORDS // 4
        assert not blocks[:, 0].any()
        assert np.array_equal(blocks[:, 1], np.arange(first, first + WINDOW_WORDS // 4))


def test_words_of_two_windows_are_not_given_at_once() -> None:
    with pytest.raises(ValueError, match="two windows"):
        counter_blocks(WINDOW_WORDS - 4, 5)


def test_each_thread_has_blocks_of_its_own() -> None:
    here = counter_blocks(0, 4)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(lambda: bytes(counter_blocks(WINDOW_WORDS, 4))).result()
    assert bytes(here) == bytes(16)
    assert there == (WINDOW_WORDS // 4).to_bytes(16, "big")


def test_bare_cipher_is_aes_256_of_each_block() -> None:
    """FIPS 197, C.3."""
    out = bytearray(31 + 16)
    block = bytes.fromhex("00112233445566778899aabbccddeeff")
    bare_cipher(KEY).update_into(2 * block, out)
    assert out[:32].hex() == 2 * "8ea2b7ca516745bfeafc49904b496089"
