"""Coverage-guided fuzzing of what reads hostile bytes at rest, and of what lies beside messages about it.

``python -m tests.fuzz.fuzz_at_rest envelope|export|body|heads|witness|messages [libFuzzer's options]``, with atheris.
Nothing but our own errors may come out; a plaintext may come out of an envelope only if it is the one that was sealed.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(
    include=["fedward.common.envelope", "fedward.common.ledger", "fedward.common.messages", "fedward.client"]
):
    from fedward.common.config import COORDINATOR
    from fedward.common.envelope.header import HEADER_BYTES
    from fedward.common.envelope.stream import open_bytes
    from fedward.common.errors import FedwardError
    from fedward.common.identity import Identity
    from fedward.common.ledger.body import encode_body, parse_body
    from fedward.common.ledger.chain import ChainJudge, judge_chain
    from fedward.common.ledger.export import from_lines
    from fedward.common.ledger.witnessed import HeadsOfChain
    from fedward.common.messages import codec
    from fedward.common.messages import fedward_pb2 as pb
    from fedward.common.messages.witness import CoordinatorPart, SitePart
    from tests.envelopes import CONTEXT, SLOT, X25519, sealed
    from tests.ledgers import LEDGER_ID

_TEXT = b"a few words"
_SEALED = sealed(_TEXT, [SLOT, X25519.recipient])
_CHIEF = Identity.simulated(bytes(32), COORDINATOR)
_POSITION = codec.Position(run_id=bytes(16), roster_hash=bytes(32), plan_digest=bytes(32), profile="strict")
_OFFER = pb.PlanOffer(header=_POSITION.header(COORDINATOR), plan=b"{}")
_MESSAGE = codec.seal(_CHIEF, _OFFER)


def fuzz_envelope(data: bytes) -> None:
    """``data`` laid over a sealed file: the first two bytes say where, the third in how many copies."""
    raw = bytearray(_SEALED)
    at = int.from_bytes(data[:2], "big") % len(raw)
    raw[at : at + len(data) - 3] = data[3:]
    if data[2:3] < b"\x80" and at < HEADER_BYTES:
        raw[HEADER_BYTES : 2 * HEADER_BYTES] = raw[:HEADER_BYTES]
    with suppress(FedwardError):
        if open_bytes(io.BytesIO(bytes(raw)), [SLOT, X25519], expect=CONTEXT) != _TEXT:
            raise AssertionError("another plaintext was taken for authentic")


def fuzz_export(data: bytes) -> None:
    """``data`` as the lines of an export."""
    with suppress(FedwardError):
        judge_chain(from_lines(data.decode("utf-8", "surrogateescape").split("\n")), ChainJudge(LEDGER_ID))


def fuzz_body(data: bytes) -> None:
    """``data`` as a body: what is read is written again as the same bytes."""
    try:
        fields = parse_body(data)
    except FedwardError:
        return
    nonce = bytes.fromhex(str(fields["n"]))
    if encode_body({k: v for k, v in fields.items() if k not in ("n", "v")}, nonce) != data:
        raise AssertionError("a body that is read is not what is written")


def fuzz_heads(data: bytes) -> None:
    """``data`` as the lines of an export, read for its heads whether or not they are linked."""
    heads = HeadsOfChain()
    with suppress(FedwardError):
        for entry in from_lines(data.decode("utf-8", "surrogateescape").split("\n")):
            heads.take(entry)


def fuzz_witness(data: bytes) -> None:
    """``data`` as what lies beside a message: what is read is written again as the same bytes."""
    for kind in (SitePart, CoordinatorPart):
        with suppress(FedwardError):
            if kind.from_bytes(data).to_bytes() != data:
                raise AssertionError("a part that is read is not what is written")


def fuzz_messages(data: bytes) -> None:
    """``data`` laid over a signed message, or as one: it opens only as it was sealed."""
    at, raw = int.from_bytes(data[:2], "big"), data[2:]
    if at < len(_MESSAGE):
        raw = _MESSAGE[:at] + raw + _MESSAGE[at + len(raw) :]
    for ask in (codec.peek_type, codec.body_hash, codec.claimed_position, codec.witness_of):
        with suppress(FedwardError):
            ask(raw)
    with suppress(FedwardError):
        opened = codec.open_message(raw, None, sender=COORDINATOR, public_key=_CHIEF.public_key)
        if opened.body != _OFFER:
            raise AssertionError("another message was taken for authentic")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "envelope": fuzz_envelope,
    "export": fuzz_export,
    "body": fuzz_body,
    "heads": fuzz_heads,
    "messages": fuzz_messages,
    "witness": fuzz_witness,
}


def main() -> None:
    """Fuzz one target until it is ended."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
