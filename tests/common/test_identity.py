import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

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
    "another coordinator": replace(ROSTER, coordinator_key=bytes(32)),
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
