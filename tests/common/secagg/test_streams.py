"""The fast road gives the specified keystream: around blocks and chunks, and where GCM takes over from CTR."""

import numpy as np
import pytest

from fedward.common import _keystream as keystream
from fedward.common.secagg.masks import apply_masks
from fedward.common.secagg.streams import Stream

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
