"""The published answers: a changed byte is a decision."""

import hashlib
import io
from dataclasses import replace

import pytest

from fedward.common.envelope.header import HEADER_BYTES, Header, OpenedHeader, open_copies
from fedward.common.envelope.payload import Payload
from fedward.common.envelope.recipients import Kdf, Passphrase, PassphraseCost, Recipient, hkdf
from fedward.common.envelope.rewrap import rewrap
from fedward.common.envelope.stream import seal
from tests.envelopes import CONTEXT, INPUTS, PASSPHRASE, PAYLOAD_AT, SLOT, VECTORS, X25519, opened, queue

ARGON = Passphrase(text=PASSPHRASE.text, cost=PassphraseCost(kdf=Kdf.ARGON2ID, numbers=(65536, 3, 4)))


def known(plaintext: bytes) -> bytes:
    sink = io.BytesIO()
    randomness = queue("file_key", "file_id", "ephemeral", "salt")
    seal(io.BytesIO(plaintext), sink, [X25519.recipient, PASSPHRASE, SLOT], context=CONTEXT, random_bytes=randomness)
    return sink.getvalue()


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda case: str(case["size"]))
def test_a_whole_file(case: dict[str, str | int]) -> None:
    plaintext = bytes.fromhex(str(case["byte"])) * int(case["count"])
    raw = known(plaintext)
    assert len(raw) == case["size"]
    assert hashlib.sha256(raw).hexdigest() == case["sha256"]
    assert all(opened(raw, [identity]) == plaintext for identity in (X25519, PASSPHRASE, SLOT))


@pytest.mark.parametrize(
    ("name", "recipient", "randomness"),
    [
        ("x25519", X25519.recipient, "ephemeral"),
        ("scrypt", PASSPHRASE, "salt"),
        ("argon2id", ARGON, "salt"),
        ("slot", SLOT, "salt"),
    ],
)
def test_a_wrapped_file_key(name: str, recipient: Recipient, randomness: str) -> None:
    stanza = recipient.wrap(INPUTS["file_key"], INPUTS["file_id"], queue(randomness))
    assert stanza.body[-48:].hex() == VECTORS["wrapped"][name]


def test_the_header_and_its_mac() -> None:
    header = known(b"")[:HEADER_BYTES]
    assert header[-32:].hex() == VECTORS["header_mac"]
    assert hashlib.sha256(header).hexdigest() == VECTORS["header_sha256"]


def test_the_payload_keys() -> None:
    header = Header.from_bytes(known(b"")[:HEADER_BYTES])
    key = hkdf(INPUTS["file_key"], INPUTS["file_id"], "payload", header.payload_binding)
    assert key.hex() == VECTORS["payload_key"]
    assert hkdf(INPUTS["file_key"], INPUTS["file_id"], "end").hex() == VECTORS["end_key"]


@pytest.mark.parametrize("text", ["", "abc"])
def test_a_last_chunk(text: str) -> None:
    raw = known(text.encode())
    assert raw[PAYLOAD_AT:-32].hex() == VECTORS["chunks"][text]


def test_the_end_record() -> None:
    header = Header.from_bytes(known(b"")[:HEADER_BYTES])
    payload = Payload(OpenedHeader(header=header, file_key=INPUTS["file_key"], is_whole=True))
    assert payload.end_record(19).hex() == VECTORS["end_of_abc"]
    assert known(b"abc")[-32:].hex() == VECTORS["end_of_abc"]


def test_a_re_wrapped_header(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rewrap") / "file"
    path.write_bytes(known(b"abc"))
    rewrap(path, [SLOT], [SLOT])
    raw = path.read_bytes()
    assert raw[HEADER_BYTES - 32 : HEADER_BYTES].hex() == VECTORS["rewrapped_header_mac"]
    assert raw[:HEADER_BYTES] == raw[HEADER_BYTES : 2 * HEADER_BYTES]
    assert raw[2 * HEADER_BYTES :] == known(b"abc")[2 * HEADER_BYTES :]
    assert open_copies(raw, [SLOT]).header == replace(Header.from_bytes(raw[:HEADER_BYTES]))
