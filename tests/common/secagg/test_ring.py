import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedward.common import _keystream as keystream
from fedward.common.errors import ConfigError
from fedward.common.secagg import ring
from fedward.common.secagg.ring import Quantiser
from tests.strategies import keys, updates

DOCUMENT = json.loads((Path(__file__).parents[2] / "vectors/secagg_v1.json").read_text("utf-8"))
ROWS = [vector for vector in DOCUMENT["vectors"] if vector["kind"] == "quantise"]
KEY = bytes(range(32))
FINE = Quantiser(scale_log2=24, clamp_log2=24)
COARSE = Quantiser(scale_log2=4, clamp_log2=6)
CHUNK = keystream.CHUNK_WORDS


def signed(vector: ring.RingVector) -> NDArray[np.int64]:
    return vector.view(np.int32).astype(np.int64)


@pytest.mark.parametrize("vector", ROWS, ids=lambda vector: vector["name"])
def test_quantised_vector_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    quantiser = Quantiser(scale_log2=inputs["scale_log2"], clamp_log2=inputs["clamp_log2"])
    update = np.frombuffer(bytes.fromhex(inputs["update"]), "<f4")
    out = quantiser.quantise(update, dither_key=bytes.fromhex(inputs["dither_key"]))
    assert ring.to_bytes(out).hex() == vector["expected"]


@given(updates(bound=10.0), keys, st.floats(2**-20, 1.0))
def test_error_is_below_one_step_within_the_clamp(update: NDArray[np.float32], key: bytes, weight: float) -> None:
    factor = np.float32(2.0**COARSE.scale_log2) * np.float32(weight)
    exact = np.clip(update * factor, -64.0, 64.0).astype(np.float64)
    assert np.all(np.abs(signed(COARSE.quantise(update, dither_key=key, weight=weight)) - exact) < 1)


@given(updates(bound=2.0**100), keys)
def test_no_coordinate_passes_the_clamp(update: NDArray[np.float32], key: bytes) -> None:
    assert COARSE.in_range(COARSE.quantise(update, dither_key=key), 1)


def test_largest_float_is_clamped_without_a_warning() -> None:
    most = np.finfo(np.float32).max
    update = np.array([most, -most], np.float32)
    assert signed(FINE.quantise(update, dither_key=KEY)).tolist() == [2**24, -(2**24)]


@pytest.mark.parametrize("value", [0.3, -0.3, 0.001, 17.75, -41.5])
def test_rounding_is_unbiased(value: float) -> None:
    num = 4 * CHUNK
    steps = signed(Quantiser(scale_log2=0, clamp_log2=10).quantise(np.full(num, value, np.float32), dither_key=KEY))
    share = np.float64(np.float32(value)) - np.floor(value)
    standard_error = np.sqrt(share * (1 - share) / num)
    assert abs(steps.mean() - np.float64(np.float32(value))) < 5 * standard_error


@given(st.integers(-(2**10), 2**10), keys)
def test_whole_steps_are_kept_whatever_the_dither(steps: int, key: bytes) -> None:
    quantiser = Quantiser(scale_log2=0, clamp_log2=10)
    assert signed(quantiser.quantise(np.array([steps], np.float32), dither_key=key)).tolist() == [steps]


@pytest.mark.parametrize(
    ("value", "word", "steps"),
    [(3.0, 0, 3), (2.5, 0, 3), (2.5, 0x7FFFFFFF, 3), (2.5, 0x80000000, 2), (-2.5, 0x80000000, -3), (2.5, 2**32 - 1, 2)],
)
def test_dither_equal_to_the_fraction_rounds_down(value: float, word: int, steps: int) -> None:
    out = np.empty(1, "<u4")
    words = np.array([word], "<u4")
    Quantiser(scale_log2=0, clamp_log2=10)._quantise_chunk(np.array([value], np.float32), np.float32(1), words, out)
    assert signed(out).tolist() == [steps]


@pytest.mark.parametrize("size", [0, 1, 4, CHUNK - 1, CHUNK, CHUNK + 1])
def test_chunks_do_not_show_in_the_result(size: int) -> None:
    update = (keystream.words(bytes(32), size).astype(np.float64) * 2.0**-32 - 0.5).astype(np.float32)
    dither = (keystream.words(KEY, size) >> np.uint32(8)).astype(np.float64) * 2.0**-24
    scaled = update.astype(np.float64) * 16
    expected = np.floor(scaled) + (dither < scaled - np.floor(scaled))
    assert np.array_equal(signed(COARSE.quantise(update, dither_key=KEY)), expected)


@given(st.lists(st.tuples(keys, st.integers(0, 2**20)), min_size=1, max_size=6), st.integers(1, 20), st.randoms())
def test_sum_is_the_integer_sum_in_any_order(sites: list[tuple[bytes, int]], size: int, shuffled: Any) -> None:  # noqa: ANN401
    vectors = [FINE.quantise(np.full(size, seed / 2**20, np.float32), dither_key=key) for key, seed in sites]
    expected = np.sum([signed(vector) for vector in vectors], axis=0)
    shuffled.shuffle(vectors)
    total = np.zeros(size, "<u4")
    for vector in vectors:
        ring.add_into(total, vector)
    assert np.array_equal(signed(total), expected)
    assert np.array_equal(FINE.dequantise(total), expected * 2.0**-24)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40),
    st.integers(-64, 64),
    st.one_of(st.integers(1, 1000).map(float), st.floats(2.0**-60, 2.0**60)),
)
def test_mean_is_the_dequantised_sum_divided_to_the_bit(words: list[int], scale_log2: int, divisor: float) -> None:
    quantiser, total = Quantiser(scale_log2=scale_log2, clamp_log2=24), np.array(words, "<i4").view("<u4")
    expected = quantiser.dequantise(total) / divisor
    assert quantiser.mean(total, divisor).tobytes() == expected.tobytes()
    by_column = np.array([divisor, 3.0])
    pairs = np.stack([total, total], axis=1)
    both = np.stack([expected, quantiser.dequantise(total) / 3.0], axis=1)
    assert quantiser.mean(pairs, by_column).tobytes() == both.tobytes()


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_a_vector_is_added_wherever_it_begins(offset: int) -> None:
    size = 2 * keystream.CHUNK_WORDS + 5
    words = np.arange(size, dtype="<u4") * np.uint32(2_654_435_761)
    vector = ring.from_bytes(memoryview(bytes(offset) + words.tobytes())[offset:], size)
    total = np.full(size, 7, "<u4")
    ring.add_into(total, vector)
    assert np.array_equal(total, words + np.uint32(7))


def test_addition_wraps_round() -> None:
    total = np.array([2**32 - 1], "<u4")
    ring.add_into(total, np.array([3], "<u4"))
    assert total.tolist() == [2]


def test_vector_of_another_length_is_not_added() -> None:
    total = np.zeros(3, "<u4")
    with pytest.raises(ConfigError, match="does not fit"):
        ring.add_into(total, np.ones(1, "<u4"))
    assert not total.any()


def test_cohort_at_the_edge_of_the_ring_passes_and_one_more_step_is_refused() -> None:
    quantiser = Quantiser(scale_log2=0, clamp_log2=24)
    room = 2**31 - 1 - 100 * 2**24
    quantiser.check_no_overflow(100, noise_steps=room)
    with pytest.raises(ConfigError, match="overflow"):
        quantiser.check_no_overflow(100, noise_steps=room + 1)


@pytest.mark.parametrize(
    ("sites", "clamp"), [(1, 24), (2, 24), (64, 24), (65, 23), (128, 23), (129, 22), (1000, 20), (10_000, 16)]
)
def test_default_clamp_is_as_the_design_states(sites: int, clamp: int) -> None:
    assert ring.default_clamp_log2(sites) == clamp


@given(st.integers(1, 1 << 30))
def test_default_clamp_never_overflows(sites: int) -> None:
    Quantiser(scale_log2=0, clamp_log2=ring.default_clamp_log2(sites)).check_no_overflow(sites)


def test_no_sites_have_no_clamp() -> None:
    with pytest.raises(ConfigError, match="num_sites = 0"):
        ring.default_clamp_log2(0)


@pytest.mark.parametrize(("scale", "clamp"), [(0, -1), (0, 31), (65, 24), (-65, 24)])
def test_scale_or_clamp_outside_the_ring_is_refused(scale: int, clamp: int) -> None:
    with pytest.raises(ConfigError, match="does not fit the ring"):
        Quantiser(scale_log2=scale, clamp_log2=clamp)


@pytest.mark.parametrize("weight", [0.0, -0.5, 1.0000001, float("nan"), float("inf")])
def test_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="weight"):
        FINE.quantise(np.zeros(1, np.float32), dither_key=KEY, weight=weight)


@pytest.mark.parametrize(
    "update",
    [
        np.array([float("nan")], np.float32),
        np.array([0, float("inf")], np.float32),
        np.array([-float("inf")], np.float32),
        np.zeros(2, np.float64),
        np.zeros((2, 2), np.float32),
    ],
    ids=["nan", "inf", "minus inf", "float64", "matrix"],
)
def test_update_that_is_not_one_finite_float32_vector_is_refused(update: NDArray[np.float32]) -> None:
    with pytest.raises(ConfigError, match="finite float32"):
        FINE.quantise(update, dither_key=KEY)


@given(st.integers(0, 4999), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_value_that_is_not_finite_is_noticed_wherever_it_stands(place: int, value: float) -> None:
    update = np.linspace(-1, 1, 5000, dtype=np.float32)
    update[place] = value
    with pytest.raises(ConfigError, match="finite float32"):
        FINE.quantise(update, dither_key=KEY)


@given(st.integers(0, 4999), st.sampled_from([2.0, -1.5, 3e38, -3e38]))
def test_coordinate_beyond_the_clamp_changes_no_other(place: int, value: float) -> None:
    update = np.linspace(-1, 1, 5000, dtype=np.float32)
    expected = FINE.quantise(update, dither_key=KEY)
    update[place] = value
    expected[place] = np.array([np.sign(value) * 2**24], np.int32).view("<u4")[0]
    assert np.array_equal(FINE.quantise(update, dither_key=KEY), expected)


@pytest.mark.parametrize("factor", [0.999, 1.0, 1.001])
def test_vector_around_the_clamp_is_clamped_to_it(factor: float) -> None:
    made = FINE.quantise(np.array([factor, -factor], np.float32), dither_key=KEY).view(np.int32)
    assert np.abs(made).max() <= 2**24
    assert (factor < 1) == (int(np.abs(made).max()) < 2**24)


def test_view_of_a_vector_is_its_bytes() -> None:
    vector = np.arange(5, dtype="<u4")
    assert bytes(ring.view_bytes(vector)) == ring.to_bytes(vector)


@pytest.mark.parametrize("offset", range(5))
def test_vector_at_any_place_in_a_message_is_added(offset: int) -> None:
    raw = bytes(offset) + np.arange(100, dtype="<u4").tobytes()
    total = np.ones(100, "<u4")
    ring.add_into(total, ring.from_bytes(memoryview(raw)[offset:], 100))
    assert np.array_equal(total, np.arange(1, 101, dtype="<u4"))


def test_addition_leaves_the_buffers_of_numpy_as_they_were() -> None:
    before = np.getbufsize()
    ring.add_into(np.zeros(3, "<u4"), np.ones(3, "<u4"))
    assert np.getbufsize() == before


def test_sum_beyond_the_clamps_is_noticed() -> None:
    edge = np.array([3 * 64, -3 * 64], np.int32).view(np.uint32)
    assert COARSE.in_range(edge, 3)
    assert not COARSE.in_range(edge, 2)
    assert not COARSE.in_range(edge + np.uint32(1), 3)


def test_lowest_ring_value_is_out_of_range() -> None:
    assert not Quantiser(scale_log2=0, clamp_log2=30).in_range(np.array([2**31], "<u4"), 1)


def test_noise_widens_the_range() -> None:
    assert COARSE.in_range(np.array([70], "<u4"), 1, noise_steps=6)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=10))
def test_bytes_and_back_is_the_identity(values: list[int]) -> None:
    vector = np.array(values, "<u4")
    raw = ring.to_bytes(vector)
    assert len(raw) == 4 * len(values)
    assert np.array_equal(ring.from_bytes(raw, len(values)), vector)


@pytest.mark.parametrize("size", [0, 7, 9, 12])
def test_bytes_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="has 8 bytes"):
        ring.from_bytes(bytes(size), 2)


def test_vector_travels_little_endian_also_from_a_big_endian_machine() -> None:
    assert ring.to_bytes(np.array([1], ">u4").astype(">u4")).hex() == "01000000"


# ------------------------------------------------------------------------------------------------ in float64


@given(updates(bound=10.0), keys)
def test_float64_gives_what_float32_gives_where_both_are_exact(update: NDArray[np.float32], key: bytes) -> None:
    coarse = np.round(update * np.float32(2**16)) * np.float32(2**-16)
    wide = COARSE.quantise_float64(coarse.astype(np.float64), dither_key=key)
    assert np.array_equal(wide, COARSE.quantise(coarse, dither_key=key))


def test_float64_keeps_the_odd_steps_that_float32_loses() -> None:
    quantiser = Quantiser(scale_log2=0, clamp_log2=25)
    steps = np.array([2**24 + k for k in range(4)], np.float64)
    assert signed(quantiser.quantise_float64(steps, dither_key=KEY)).tolist() == [2**24 + k for k in range(4)]
    assert signed(quantiser.quantise(steps.astype(np.float32), dither_key=KEY)).tolist() != steps.tolist()


@given(st.floats(-70, 70), st.floats(-1, 1), keys)
def test_for_a_fixed_dither_a_coordinate_moves_by_less_than_a_step_more_than_its_value(
    value: float, change: float, key: bytes
) -> None:
    pair = [COARSE.quantise_float64(np.array([at]), dither_key=key) for at in (value, value + change)]
    moved = abs(int(signed(pair[1])[0]) - int(signed(pair[0])[0]))
    assert moved < abs(value + change - value) * 2**COARSE.scale_log2 + 1 + 2**-52


@pytest.mark.parametrize(
    "vector",
    [np.array([np.nan]), np.array([0, -np.inf]), np.zeros(2, np.float32), np.zeros((2, 2))],
    ids=["nan", "minus inf", "float32", "matrix"],
)
def test_vector_that_is_not_one_finite_float64_vector_is_refused(vector: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigError, match="finite float64"):
        FINE.quantise_float64(vector, dither_key=KEY)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_writer_gives_the_quantised_vector_from_any_position(size: int) -> None:
    update = (keystream.words(bytes(32), size).astype(np.float64) * 2.0**-32 - 0.5).astype(np.float32)
    whole = COARSE.quantise(update, dither_key=KEY, weight=0.5)
    write = COARSE.writer(update, dither_key=KEY, weight=0.5)()
    out = np.empty(size, "<u4")
    for start in reversed(range(0, size, CHUNK)):
        write(start, out[start : start + CHUNK])
    assert np.array_equal(out, whole)


def test_writer_notices_what_is_not_finite() -> None:
    write = FINE.writer(np.array([0, float("inf")], np.float32), dither_key=KEY)()
    with pytest.raises(ConfigError, match="finite"):
        write(0, np.empty(2, "<u4"))


@pytest.mark.parametrize("weight", [0.0, 2.0, float("nan")])
def test_writer_refuses_a_weight_outside_its_range(weight: float) -> None:
    with pytest.raises(ConfigError, match="weight"):
        FINE.writer(np.zeros(1, np.float32), dither_key=KEY, weight=weight)


def test_writer_refuses_another_type() -> None:
    with pytest.raises(ConfigError, match="finite float32"):
        FINE.writer(np.zeros(2, np.float64), dither_key=KEY)
