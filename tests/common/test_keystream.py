import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common import _keystream as keystream

DOCUMENT = json.loads((Path(__file__).parents[1] / "vectors/secagg_v1.json").read_text("utf-8"))
STREAMS = [vector for vector in DOCUMENT["vectors"] if vector["kind"] == "stream"]
KEY = bytes(range(32))
CHUNK = keystream.CHUNK_WORDS


@pytest.mark.parametrize("vector", STREAMS, ids=lambda vector: vector["name"])
def test_words_are_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    words = keystream.words(bytes.fromhex(inputs["key"]), inputs["count"], first_word=inputs["first_word"])
    assert words.tobytes().hex() == vector["expected"]


@pytest.mark.parametrize("count", [0, 1, 4, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5])
def test_chunks_join_without_a_seam(count: int) -> None:
    cipher = keystream.stream(KEY)
    whole = np.frombuffer(cipher.update(bytes(4 * count)), "<u4")
    assert np.array_equal(keystream.words(KEY, count), whole)


@given(st.integers(0, 500), st.integers(0, 50))
def test_reader_may_start_at_any_block(block: int, count: int) -> None:
    whole = keystream.words(KEY, 4 * block + count)
    assert np.array_equal(keystream.words(KEY, count, first_word=4 * block), whole[4 * block :])


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33), bytes(64)])
def test_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        keystream.words(key, 1)


@pytest.mark.parametrize("first_word", [-4, 1, 2, 3, 6])
def test_position_inside_a_block_is_refused(first_word: int) -> None:
    with pytest.raises(ValueError, match="divisible by four"):
        keystream.words(KEY, 1, first_word=first_word)


@pytest.mark.parametrize("bit", range(256))
def test_every_bit_of_the_key_changes_the_stream(bit: int) -> None:
    other = (int.from_bytes(KEY, "big") ^ 1 << bit).to_bytes(32, "big")
    assert not np.array_equal(keystream.words(other, 4), keystream.words(KEY, 4))


def test_words_are_little_endian() -> None:
    assert keystream.words(KEY, 4).dtype == np.dtype("<u4")
