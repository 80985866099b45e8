"""How many bits of a mask's key vary: a harness that Flower's generator fails and ours must pass.

Two tests. *Constant bits*: over many keys, made the way the protocol makes them, every bit of what the generator is
seeded with takes both values. *Flipped bits*: flipping any one bit of the key changes the first 16 bytes of the stream.
Flower folds its 44-character text key to 32 bits, of which four never vary; so a search of 2^28 seeds opens a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives.ciphers import CipherContext

from fedward.common import _keystream as keystream
from fedward.common.secagg.keys import AgreementKey, pair_key
from fedward.simulations.attacks.cohort import stream_of
from fedward.simulations.attacks.flower import in_a_task

NUM_KEYS = 64
PREFIX_WORDS = 4


@dataclass(frozen=True, slots=True)
class Generator:
    """A mask generator as it is in use."""

    name: str
    make_key: Callable[[int], bytes]
    """The key of the pair mask of the i-th pair of sites."""
    seed_of: Callable[[bytes], bytes]
    """What its stream depends on, as the generator is handed it."""
    prefix: Callable[[bytes], bytes]
    """The first 16 bytes of the stream of a key."""


def ours() -> Generator:
    """The pair masks of common.secagg."""
    random_bytes = stream_of("entropy")
    seeds: list[bytes] = []
    stream = keystream.stream

    def make_key(number: int) -> bytes:
        one, two = AgreementKey.generate(random_bytes), AgreementKey.generate(random_bytes)
        return pair_key(one, two.public, cohort=random_bytes(32), own_id="a", peer_id=f"b{number}")

    def seed_of(key: bytes) -> bytes:
        def note(given: bytes, *, first_word: int = 0) -> CipherContext:
            seeds.append(given)
            return stream(given, first_word=first_word)

        with mock.patch.object(keystream, "stream", note):
            keystream.words(key, PREFIX_WORDS)
        return seeds[-1]

    return Generator("fedward", make_key, seed_of, lambda key: keystream.words(key, PREFIX_WORDS).tobytes())


def flowers() -> Generator:
    """The pair masks of Flower's SecAgg+."""
    from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
    from flwr.supercore.primitives.asymmetric import generate_key_pairs

    seeds: list[bytes] = []
    make = np.random.RandomState  # noqa: TID251 - what Flower draws from is the object of the test

    def seed_of(key: bytes) -> bytes:
        def note(seed: int) -> Any:  # noqa: ANN401
            seeds.append(seed.to_bytes(4, "little"))
            return make(seed)

        with mock.patch.object(np.random, "RandomState", note):  # noqa: TID251
            pseudo_rand_gen(key, 1 << 32, [(1,)])
        return seeds[-1]

    def prefix(key: bytes) -> bytes:
        return pseudo_rand_gen(key, 1 << 32, [(PREFIX_WORDS,)])[0].astype("<u4").tobytes()

    def make_key(_: int) -> bytes:
        return generate_shared_key(generate_key_pairs()[0], generate_key_pairs()[1])

    return Generator("flwr", make_key, seed_of, prefix)


def constant_bits(seeds: Sequence[bytes]) -> int:
    """Bits of equally long seeds that never vary."""
    together = np.unpackbits(np.array([list(seed) for seed in seeds], np.uint8), axis=1)
    return int(np.sum(together.min(0) == together.max(0)))


def dead_bits(generator: Generator, key: bytes) -> int:
    """Bits of a key whose flip does not change the stream."""
    before = generator.prefix(key)
    dead = 0
    for bit in range(8 * len(key)):
        changed = bytearray(key)
        changed[bit // 8] ^= 1 << bit % 8
        dead += generator.prefix(bytes(changed)) == before
    return dead


def colliding(generator: Generator, key: bytes) -> bool:
    """Whether two keys that differ in many bits have one stream: the same bit flipped in two words of the key."""
    changed = bytearray(key)
    changed[0] ^= 1
    changed[4] ^= 1
    return generator.prefix(bytes(changed)) == generator.prefix(key)


def examine(generator: Generator) -> dict[str, Any]:
    """One object of the report; ``passed`` if all 256 bits count."""
    keys = [generator.make_key(number) for number in range(NUM_KEYS)]
    seeds = [generator.seed_of(key) for key in keys]
    varying = 8 * len(seeds[0]) - constant_bits(seeds)
    dead, collides = dead_bits(generator, keys[0]), colliding(generator, keys[0])
    return {
        "generator": generator.name,
        "key_bytes": len(keys[0]),
        "seed_bits": 8 * len(seeds[0]),
        "varying_seed_bits": varying,
        "dead_key_bits": dead,
        "two_keys_with_one_stream": collides,
        "passed": varying == 256 and not dead and not collides,
    }


def measure() -> list[dict[str, Any]]:
    """Both generators."""
    with in_a_task():
        return [examine(ours()), examine(flowers())]
