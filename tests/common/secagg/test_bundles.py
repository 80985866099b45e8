import itertools
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.secagg import bundles
from fedward.common.secagg.bundles import Bundle, Dealing, Holders, OwnBundle, deal, open_dealt, self_commitment
from fedward.common.secagg.keys import AgreementKey, SharePair
from fedward.common.secagg.shares import Basis
from fedward.common.secagg.statements import Survivor, in_order, is_ordered, survivors_hash
from fedward.common.secagg.thresholds import Profile
from fedward.common.secagg.transcript import ZERO_HASH
from tests.known_answers import secagg_vectors
from tests.strategies import site_ids

NAMES = ("delta", "alpha", "Gamma", "beta")
TRANSPORT = {name: AgreementKey.generate(os.urandom) for name in NAMES}
HOLDERS = Holders(threshold=3, transport_keys={name: key.public for name, key in TRANSPORT.items()})
IDENTITY = Identity.generate()


def dealt(profile: Profile = Profile.RESILIENT, holders: Holders = HOLDERS) -> tuple[OwnBundle, Dealing]:
    return deal(
        identity=IDENTITY,
        site_id="alpha",
        transport=TRANSPORT["alpha"],
        profile=profile,
        run_id=bytes(16),
        roster_hash=bytes(32),
        position=(3, 1),
        holders=holders,
        random_bytes=os.urandom,
    )


@pytest.mark.parametrize("vector", secagg_vectors("self-commit"), ids=lambda vector: vector["name"])
def test_self_commitment_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    run_id, seed = bytes.fromhex(inputs["run_id"]), bytes.fromhex(inputs["seed"])
    found = self_commitment(run_id, inputs["round_number"], inputs["attempt"], inputs["site_id"], seed)
    assert found.hex() == vector["expected"]


@pytest.mark.parametrize("vector", secagg_vectors("holders"), ids=lambda vector: vector["name"])
def test_holders_hash_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    keys = {
        name: AgreementKey.from_secret(bytes.fromhex(secret)).public for name, secret in inputs["private_keys"].items()
    }
    assert Holders(threshold=inputs["threshold"], transport_keys=keys).hash.hex() == vector["expected"]


@pytest.mark.parametrize("vector", secagg_vectors("bundle"), ids=lambda vector: vector["name"])
def test_bundle_digest_is_the_known_answer(vector: dict[str, Any]) -> None:
    inputs = vector["inputs"]
    names = ("run_id", "roster_hash", "holders_hash", "commitment", "shares_hash")
    bundle = Bundle(
        site_id=inputs["site_id"],
        round_number=inputs["round_number"],
        attempt=inputs["attempt"],
        mask_key=AgreementKey.from_secret(bytes.fromhex(inputs["mask_private_key"])).public,
        **{name: bytes.fromhex(inputs[name]) for name in names},
    )
    assert bundle.digest().hex() == vector["expected"]


def all_pairs(own: OwnBundle, dealing: Dealing) -> dict[int, SharePair]:
    """Every holder's shares, by x-coordinate."""
    others = [name for name in HOLDERS.ids if name != "alpha"]
    dealer_key = TRANSPORT["alpha"].public
    assert own.own_shares is not None
    pairs = {HOLDERS.ids.index("alpha") + 1: own.own_shares}
    for holder, packet in zip(others, dealing.packets, strict=True):
        pair = open_dealt(own.bundle, packet, holder=holder, own=TRANSPORT[holder], dealer_key=dealer_key)
        assert pair is not None
        pairs[HOLDERS.ids.index(holder) + 1] = pair
    return pairs


def test_shares_of_any_three_holders_give_both_secrets() -> None:
    own, dealing = dealt()
    pairs = all_pairs(own, dealing)
    for xs in itertools.combinations(pairs, 3):
        assert Basis.of(xs).join([pairs[x].seed for x in xs]) == own.seed
        assert Basis.of(xs).join([pairs[x].mask_key for x in xs]) == own.mask.secret


def test_shares_of_any_two_holders_give_neither() -> None:
    own, dealing = dealt()
    pairs = all_pairs(own, dealing)
    for xs in itertools.combinations(pairs, 2):
        assert Basis.of(xs).join([pairs[x].seed for x in xs]) != own.seed
        assert Basis.of(xs).join([pairs[x].mask_key for x in xs]) != own.mask.secret


def test_packet_opens_for_its_holder_alone() -> None:
    own, dealing = dealt()
    first, second = [name for name in HOLDERS.ids if name != "alpha"][:2]
    dealer_key = TRANSPORT["alpha"].public
    assert open_dealt(own.bundle, dealing.packets[0], holder=first, own=TRANSPORT[first], dealer_key=dealer_key)
    assert (
        open_dealt(own.bundle, dealing.packets[0], holder=second, own=TRANSPORT[second], dealer_key=dealer_key) is None
    )


def test_packet_of_a_dealer_whose_key_is_none_does_not_open() -> None:
    own, dealing = dealt()
    assert (
        open_dealt(own.bundle, dealing.packets[0], holder="beta", own=TRANSPORT["beta"], dealer_key=bytes(32)) is None
    )


def test_bundle_binds_packets_commitment_and_key() -> None:
    own, dealing = dealt()
    assert dealing.bundle.shares_hash == bundles.shares_hash(dealing.packets)
    assert dealing.bundle.commitment == self_commitment(bytes(16), 3, 1, "alpha", own.seed)
    assert dealing.bundle.mask_key == own.mask.public
    assert dealing.bundle.is_signed_by(IDENTITY.public_key)
    assert not dealing.bundle.is_signed_by(Identity.generate().public_key)


def test_strict_deals_no_shares() -> None:
    own, dealing = dealt(Profile.STRICT)
    assert (own.seed, own.own_shares, dealing.packets) == (b"", None, ())
    assert dealing.bundle.commitment == ZERO_HASH


def test_every_bundle_has_keys_of_its_own() -> None:
    made = [dealt()[0] for _ in range(3)]
    assert len({own.bundle.mask_key for own in made}) == len({own.seed for own in made}) == 3


def test_dealer_that_holds_no_shares_is_refused() -> None:
    others = Holders(threshold=3, transport_keys={n: k for n, k in HOLDERS.transport_keys.items() if n != "alpha"})
    with pytest.raises(ProtocolError) as caught:
        dealt(holders=others)
    assert caught.value.code == "HOLDERS_MISMATCH"


@pytest.mark.parametrize("profile", list(Profile))
def test_dealing_travels_and_comes_back(profile: Profile) -> None:
    _, dealing = dealt(profile)
    assert Dealing.from_wire("alpha", dealing.to_wire()) == dealing


def test_secrets_of_a_bundle_do_not_show() -> None:
    own, _ = dealt()
    text = repr(own)
    assert repr(own.seed) not in text
    assert repr(own.mask.secret) not in text


def test_order_is_by_bytes() -> None:
    assert HOLDERS.ids == ("Gamma", "alpha", "beta", "delta")


@given(st.lists(site_ids, max_size=6))
def test_ordered_lists_are_those_that_ordering_leaves_alone(names: list[str]) -> None:
    assert is_ordered(names) == (tuple(names) == in_order(set(names)))


@given(st.lists(st.tuples(site_ids, st.binary(min_size=32, max_size=32)), min_size=1, max_size=4), st.data())
def test_survivors_hash_tells_any_two_lists_apart(pairs: list[tuple[str, bytes]], data: st.DataObject) -> None:
    survivors = [Survivor(site_id=name, vector_hash=digest, proof=b"") for name, digest in pairs]
    other = list(survivors)
    place = data.draw(st.integers(0, len(other) - 1))
    changed = data.draw(st.sampled_from(["name", "hash", "less"]))
    if changed == "less":
        del other[place]
    else:
        other[place] = Survivor(
            site_id=other[place].site_id + ("x" if changed == "name" else ""),
            vector_hash=other[place].vector_hash if changed == "name" else bytes(31) + b"\x01",
            proof=b"",
        )
    assert (survivors_hash(survivors) == survivors_hash(other)) == (survivors == other)
