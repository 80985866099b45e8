import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common import _keystream as keystream
from fedward.common.errors import ProtocolError
from fedward.common.secagg import keys as schedule
from fedward.common.secagg.keys import AgreementKey, PacketAddress, SharePair, open_packet, pair_key, seal_packet
from tests.known_answers import secagg_vectors
from tests.strategies import keys, site_ids

ALPHA = AgreementKey.from_secret(bytes(range(1, 33)))
BETA = AgreementKey.from_secret(bytes(range(33, 65)))
COHORT = bytes(range(32))
PAIR = SharePair(b"\0" + b"\x01" * 32, b"\0" + b"\x02" * 32)
ADDRESS = PacketAddress(
    run_id=bytes(16),
    round_number=1,
    attempt=0,
    dealer="alpha",
    holder="beta",
    mask_key=ALPHA.public,
    holders_hash=bytes(32),
)
# The points of order 1, 2, 4 and 8 and their spellings above the prime (RFC 7748, section 7).
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


def agreement(vector: dict[str, Any], site_id: str) -> AgreementKey:
    return AgreementKey.from_secret(bytes.fromhex(vector["inputs"]["private_keys"][site_id]))


@pytest.mark.parametrize("vector", secagg_vectors("pair-key"), ids=lambda vector: vector["name"])
def test_pair_key_is_the_known_answer_at_both_ends(vector: dict[str, Any]) -> None:
    cohort = bytes.fromhex(vector["inputs"]["cohort_digest"])
    alpha, beta = agreement(vector, "alpha"), agreement(vector, "beta")
    ends = [
        pair_key(alpha, beta.public, cohort=cohort, own_id="alpha", peer_id="beta"),
        pair_key(beta, alpha.public, cohort=cohort, own_id="beta", peer_id="alpha"),
    ]
    assert [end.hex() for end in ends] == [vector["expected"]] * 2


@pytest.mark.parametrize("vector", secagg_vectors("self-key"), ids=lambda vector: vector["name"])
def test_self_key_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    seed, cohort = bytes.fromhex(inputs["seed"]), bytes.fromhex(inputs["cohort_digest"])
    assert schedule.self_key(seed, cohort=cohort, site_id=inputs["site_id"]).hex() == vector["expected"]


@pytest.mark.parametrize("vector", secagg_vectors("share-key"), ids=lambda vector: vector["name"])
def test_share_key_is_the_known_answer_at_both_ends(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    address = PacketAddress(
        run_id=bytes.fromhex(inputs["run_id"]),
        round_number=inputs["round_number"],
        attempt=inputs["attempt"],
        dealer=inputs["dealer"],
        holder=inputs["holder"],
        mask_key=AgreementKey.from_secret(bytes.fromhex(inputs["mask_private_key"])).public,
        holders_hash=bytes.fromhex(inputs["holders_hash"]),
    )
    alpha, beta = agreement(vector, "alpha"), agreement(vector, "beta")
    assert address.key(alpha, beta.public).hex() == vector["expected"]
    assert address.key(beta, alpha.public).hex() == vector["expected"]


@given(keys, keys, keys, site_ids, site_ids)
def test_both_ends_agree_whatever_the_ids(first: bytes, second: bytes, cohort: bytes, one: str, other: str) -> None:
    a, b = AgreementKey.from_secret(first), AgreementKey.from_secret(second)
    at_a = pair_key(a, b.public, cohort=cohort, own_id=one, peer_id=other)
    assert at_a == pair_key(b, a.public, cohort=cohort, own_id=other, peer_id=one)


@pytest.mark.parametrize("public", [*LOW_ORDER, b"", bytes(31), bytes(33)], ids=lambda raw: raw.hex()[:12] or "empty")
def test_key_of_low_order_or_wrong_length_is_refused(public: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        ALPHA.agree(public)
    assert caught.value.code == "KEY_INVALID"


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": b"\x01" * 16},
        {"round_number": 2},
        {"attempt": 1},
        {"dealer": "gamma"},
        {"holder": "gamma"},
        {"mask_key": BETA.public},
        {"holders_hash": b"\x01" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_packet_opens_at_its_own_address_alone(change: dict[str, Any]) -> None:
    packet = seal_packet(PAIR, ADDRESS.key(ALPHA, BETA.public))
    assert open_packet(packet, ADDRESS.key(BETA, ALPHA.public)) == PAIR
    assert open_packet(packet, replace(ADDRESS, **change).key(BETA, ALPHA.public)) is None


@given(st.integers(0, 8 * schedule.PACKET_BYTES - 1))
def test_packet_with_a_flipped_bit_does_not_open(bit: int) -> None:
    packet = bytearray(seal_packet(PAIR, COHORT))
    packet[bit // 8] ^= 1 << bit % 8
    assert open_packet(bytes(packet), COHORT) is None


@pytest.mark.parametrize("change", [b"", b"x"], ids=["one byte short", "one byte long"])
def test_packet_of_another_length_does_not_open(change: bytes) -> None:
    packet = seal_packet(PAIR, COHORT)
    assert len(packet) == schedule.PACKET_BYTES == 82
    assert open_packet(packet + change if change else packet[:-1], COHORT) is None


def test_packet_with_a_number_above_the_prime_does_not_open() -> None:
    assert open_packet(seal_packet(SharePair(b"\xff" * 33, PAIR.mask_key), COHORT), COHORT) is None
    assert open_packet(seal_packet(SharePair(PAIR.seed, b"\xff" * 33), COHORT), COHORT) is None


def test_an_agreement_that_is_remembered_is_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_MAX_MET", 2)
    own = AgreementKey.from_secret(bytes(range(1, 33)))
    peers = [AgreementKey.from_secret(bytes([number]) * 32).public for number in (1, 2, 3, 1, 1)]
    assert [own.agree_for_long(peer) for peer in peers] == [own.agree(peer) for peer in peers]
    assert len(own._met) <= 2
    assert own.agree(peers[0]).hex() not in repr(own)


def test_a_peers_key_that_is_none_is_refused_each_time() -> None:
    own = AgreementKey.from_secret(bytes(range(1, 33)))
    for _ in range(2):
        with pytest.raises(ProtocolError, match="low order"):
            own.agree_for_long(bytes(32))


def test_secrets_do_not_show_in_representations() -> None:
    text = repr((ALPHA, PAIR))
    assert ALPHA.secret.hex() not in text
    assert repr(ALPHA.secret) not in text
    assert repr(PAIR.seed) not in text


# ------------------------------------------------------------------------------------------------ seed entropy


def first_block(key: bytes) -> bytes:
    return keystream.words(key, 4).tobytes()


def flipped(raw: bytes, bit: int) -> bytes:
    return (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(len(raw), "big")


KDF_INPUTS: dict[str, Callable[[bytes], bytes]] = {
    "seed": lambda raw: schedule.self_key(raw, cohort=COHORT, site_id="alpha"),
    "cohort digest of a self mask": lambda raw: schedule.self_key(COHORT, cohort=raw, site_id="alpha"),
    "agreed secret": lambda raw: schedule.derive(raw, salt=COHORT, info=b"pair"),
    "cohort digest of a pair mask": lambda raw: pair_key(
        ALPHA, BETA.public, cohort=raw, own_id="alpha", peer_id="beta"
    ),
    "mask key": lambda raw: raw,
}


@pytest.mark.parametrize("name", KDF_INPUTS)
def test_each_of_256_bits_changes_the_first_block_of_the_stream(name: str) -> None:
    base = bytes(range(100, 132))
    blocks = {first_block(KDF_INPUTS[name](flipped(base, bit))) for bit in range(256)}
    assert len(blocks) == 256
    assert first_block(KDF_INPUTS[name](base)) not in blocks


def constant_bits(seeds: list[bytes]) -> int:
    """How many of 256 bits are the same in all seeds."""
    ones, zeros = 0, 0
    for seed in seeds:
        number = int.from_bytes(seed, "big")
        ones, zeros = ones | number, zeros | ~number
    return 256 - (ones & zeros & (1 << 256) - 1).bit_count()


def test_all_256_bits_of_real_pair_keys_vary() -> None:
    """The chance of a false alarm is 2^−55."""
    peers = [AgreementKey.generate(os.urandom) for _ in range(64)]
    seeds = [pair_key(ALPHA, peer.public, cohort=COHORT, own_id="a", peer_id="b") for peer in peers]
    assert constant_bits(seeds) == 0


def test_all_256_bits_of_real_self_keys_vary() -> None:
    seeds = [schedule.self_key(os.urandom(32), cohort=COHORT, site_id="a") for _ in range(64)]
    assert constant_bits(seeds) == 0


def test_the_same_measure_finds_a_folded_seed() -> None:
    """A generator that keeps 28 bits, as the one of Flower 1.41 does, would be caught."""
    folded = [(int.from_bytes(os.urandom(32), "big") & (1 << 28) - 1).to_bytes(32, "big") for _ in range(64)]
    assert constant_bits(folded) == 228


@pytest.mark.parametrize("spelling", ["top bit", "plus p"])
def test_second_spelling_of_a_key_is_refused(spelling: str) -> None:
    # X25519 takes both for the key that they spell, so two sites could have one key under two names.
    small = (3).to_bytes(32, "little")
    peer = (3 | 1 << 255) if spelling == "top bit" else 3 + (1 << 255) - 19
    own = AgreementKey.from_secret(bytes(range(32)))
    assert len(own.agree(small)) == 32
    with pytest.raises(ProtocolError) as caught:
        own.agree(peer.to_bytes(32, "little"))
    assert caught.value.code == "KEY_INVALID"
