import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from fedward.common import identity
from fedward.common.config import COORDINATOR
from fedward.common.errors import IdentityError
from fedward.common.identity import Area, Identity, Roster, check_site_id, verify
from fedward.common.secagg.transcript import transcript
from tests.strategies import site_ids

SECRET = bytes(range(32))
ALPHA = Identity.simulated(SECRET, "alpha")
BETA = Identity.simulated(SECRET, "beta")
CHIEF = Identity.simulated(SECRET, COORDINATOR)
DIGEST = hashlib.sha256(b"body").digest()
ROSTER = Roster(coordinator_key=CHIEF.public_key, members={"beta": BETA.public_key, "alpha": ALPHA.public_key})


def test_signature_holds_for_exactly_what_was_signed() -> None:
    signature = ALPHA.sign("secagg", "TRAIN", DIGEST)
    assert len(signature) == 64
    assert verify(ALPHA.public_key, signature, "secagg", "TRAIN", DIGEST)


OTHERWISE: dict[str, tuple[bytes, Area, str, bytes]] = {
    "another key": (BETA.public_key, "secagg", "TRAIN", DIGEST),
    "another area": (ALPHA.public_key, "document", "TRAIN", DIGEST),
    "another type": (ALPHA.public_key, "secagg", "TRAIN_REPLY", DIGEST),
    "another digest": (ALPHA.public_key, "secagg", "TRAIN", bytes(32)),
    "no key": (b"", "secagg", "TRAIN", DIGEST),
    "short key": (ALPHA.public_key[:31], "secagg", "TRAIN", DIGEST),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_signature_does_not_hold_for_anything_else(name: str) -> None:
    key, area, kind, digest = OTHERWISE[name]
    assert not verify(key, ALPHA.sign("secagg", "TRAIN", DIGEST), area, kind, digest)


@given(st.binary(max_size=70), st.binary(max_size=40))
def test_verifying_rubbish_is_false_and_raises_nothing(signature: bytes, key: bytes) -> None:
    assert not verify(ALPHA.public_key, signature, "secagg", "TRAIN", DIGEST)
    assert not verify(key, ALPHA.sign("secagg", "TRAIN", DIGEST), "secagg", "TRAIN", DIGEST)


def test_signature_is_ed25519_over_the_documented_transcript() -> None:
    signature = ALPHA.sign("document", "plan", DIGEST)
    Ed25519PublicKey.from_public_bytes(ALPHA.public_key).verify(
        signature, transcript("fedward/document/v1/sig", "plan", DIGEST)
    )


def test_generated_identities_differ() -> None:
    assert Identity.generate().public_key != Identity.generate().public_key


def test_simulated_identity_is_repeatable_and_depends_on_secret_and_name() -> None:
    assert Identity.simulated(SECRET, "alpha").public_key == ALPHA.public_key
    assert Identity.simulated(bytes(32), "alpha").public_key != ALPHA.public_key
    assert BETA.public_key != ALPHA.public_key


def test_private_key_does_not_show_in_the_representation() -> None:
    assert repr(ALPHA) == "Identity()"


@given(site_ids)
def test_printable_name_is_a_site_id(site_id: str) -> None:
    assert check_site_id(site_id) == site_id


@pytest.mark.parametrize("text", ["", "a b", "a\n", "é", "医院", "x" * 65, "\x7f", COORDINATOR])
def test_other_text_is_no_site_id(text: str) -> None:
    with pytest.raises(IdentityError):
        check_site_id(text)


def test_longest_site_id_is_64_characters() -> None:
    assert check_site_id("x" * 64)


def test_roster_bytes_do_not_depend_on_the_order_of_the_members() -> None:
    turned = replace(ROSTER, members=dict(reversed(list(ROSTER.members.items()))))
    assert turned.to_bytes() == ROSTER.to_bytes()
    assert turned.hash == hashlib.sha256(ROSTER.to_bytes()).digest()


@given(st.lists(site_ids, min_size=2, max_size=6, unique=True))
def test_members_stand_in_bytewise_order(ids: list[str]) -> None:
    members = {site_id: Identity.simulated(SECRET, site_id).public_key for site_id in ids}
    document = json.loads(Roster(coordinator_key=CHIEF.public_key, members=members).to_bytes())
    assert [member["site_id"] for member in document["members"]] == sorted(ids, key=str.encode)


CHANGED_ROSTERS = {
    "another coordinator": replace(ROSTER, coordinator_key=Identity.simulated(SECRET, "other").public_key),
    "more colluders": replace(ROSTER, assumed_colluders=1),
    "smaller cohorts": replace(ROSTER, min_cohort=2),
    "another profile": replace(ROSTER, profiles=("strict",)),
    "one member less": replace(ROSTER, members={"alpha": ALPHA.public_key}),
    "keys swapped": replace(ROSTER, members={"alpha": BETA.public_key, "beta": ALPHA.public_key}),
    "another name": replace(ROSTER, members={"alpha": ALPHA.public_key, "betb": BETA.public_key}),
}


@pytest.mark.parametrize("name", CHANGED_ROSTERS)
def test_any_change_of_the_roster_changes_its_hash(name: str) -> None:
    assert CHANGED_ROSTERS[name].hash != ROSTER.hash


def test_roster_knows_the_keys_of_its_members_and_of_nobody_else() -> None:
    assert ROSTER.key_of("alpha") == ALPHA.public_key
    assert ROSTER.key_of(COORDINATOR) == CHIEF.public_key
    assert ROSTER.key_of("mallory") is None


BAD_MEMBERS: dict[str, dict[str, bytes]] = {
    "nobody": {},
    "short key": {"alpha": ALPHA.public_key[:31]},
    "two sites with one key": {"alpha": ALPHA.public_key, "beta": ALPHA.public_key},
    "the coordinator's key": {"alpha": CHIEF.public_key},
    "the coordinator's name": {COORDINATOR: ALPHA.public_key},
    "a blank in a name": {"a b": ALPHA.public_key},
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_roster_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        Roster(coordinator_key=CHIEF.public_key, members=BAD_MEMBERS[name])


BAD_FLOORS: dict[str, dict[str, Any]] = {
    "no profile": {"profiles": ()},
    "a profile twice": {"profiles": ("strict", "strict")},
    "fewer colluders than none": {"assumed_colluders": -1},
    "a cohort of nobody": {"min_cohort": 0},
    "a number that is none": {"min_cohort": True},
    "half a site": {"assumed_colluders": 0.5},
}


@pytest.mark.parametrize("name", BAD_FLOORS)
def test_roster_with_impossible_floors_is_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        replace(ROSTER, **BAD_FLOORS[name])


SMALL_ORDER_KEYS = sorted(
    bytes([*y[:-1], y[-1] | sign]) for y in identity._SMALL_ORDER for sign in (0, 0x80)
)  # fmt: skip


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS, ids=bytes.hex)
def test_key_under_which_one_signature_fits_many_messages_is_refused(key: bytes) -> None:
    forged = b"\1" + bytes(63)
    fits = [verify(key, forged, "secagg", "TRAIN", hashlib.sha256(bytes([i])).digest()) for i in range(128)]
    assert sum(fits) > 1, "not such a key"
    with pytest.raises(IdentityError):
        replace(ROSTER, coordinator_key=key)
    with pytest.raises(IdentityError):
        replace(ROSTER, members={"alpha": key})


@given(
    st.lists(site_ids, min_size=1, max_size=5, unique=True),
    st.integers(0, 9),
    st.integers(1, 9),
    st.sampled_from([("strict",), ("resilient", "plain_ring"), ROSTER.profiles]),
)
def test_roster_reads_what_it_wrote(ids: list[str], colluders: int, cohort: int, profiles: tuple[str, ...]) -> None:
    members = {site_id: Identity.simulated(SECRET, site_id).public_key for site_id in ids}
    roster = Roster(
        coordinator_key=CHIEF.public_key,
        members=members,
        assumed_colluders=colluders,
        min_cohort=cohort,
        profiles=profiles,
    )
    assert Roster.from_bytes(roster.to_bytes()) == roster


def _edited(old: str, new: str) -> bytes:
    assert old in ROSTER.to_bytes().decode()
    return ROSTER.to_bytes().decode().replace(old, new, 1).encode()


BAD_ROSTERS = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "no text": b"\xff\xfe",
    "trailing bytes": ROSTER.to_bytes() + b"\n",
    "a blank more": _edited(":", ": "),
    "an unknown field": _edited('"min_cohort"', '"x":1,"min_cohort"'),
    "a field twice": _edited('"min_cohort":3', '"min_cohort":3,"min_cohort":3'),
    "a field less": _edited('"min_cohort":3,', ""),
    "another schema": _edited("roster/0", "roster/9"),
    "upper-case keys": _edited(ALPHA.public_key.hex(), ALPHA.public_key.hex().upper()),
    "members out of order": _edited('"alpha"', '"zeta"'),
    "a member twice": _edited('"beta"', '"alpha"'),
    "a number as text": _edited('"min_cohort":3', '"min_cohort":"3"'),
    "a profile as a number": _edited('"strict"', "7"),
    "nesting without end": b"[" * 100_000,
    "too long": b" " * (identity.MAX_ROSTER_BYTES + 1),
}


@pytest.mark.parametrize("name", BAD_ROSTERS)
def test_bytes_that_no_roster_writes_are_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        Roster.from_bytes(BAD_ROSTERS[name])
