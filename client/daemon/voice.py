"""What the daemon itself says, signed with the site's key: that an answer is not ready, or why there will be none.

The agent says all the rest. Nothing that is said here depends on a record: codes of the closed list, and no time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, Roster
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """A site's name and key, and whom it listens to."""

    site_id: str
    identity: Identity = field(repr=False)
    roster: Roster = field(repr=False)

    def opened(self, request: bytes) -> codec.Opened[codec.Body]:
        """A request that the coordinator of the roster signed for this roster.

        Raises:
            ProtocolError: it is another's, or no message.
        """
        opened = codec.open_message(request, None, sender=COORDINATOR, public_key=self.roster.coordinator_key)
        if opened.position.roster_hash != self.roster.hash:
            raise ProtocolError("ROSTER_MISMATCH", "the message is for another roster")
        return opened

    def pending(self, position: codec.Position, request_hash: bytes) -> bytes:
        """The answer is not ready."""
        return codec.seal(self.identity, pb.Pending(header=position.header(self.site_id), request_hash=request_hash))

    def refusal(self, position: codec.Position, request_hash: bytes, code: str) -> bytes:
        """There is no answer."""
        body = pb.Refusal(header=position.header(self.site_id), request_hash=request_hash, code=code)
        return codec.seal(self.identity, body)

    def refusal_of_bytes(self, request: bytes, code: str) -> bytes:
        """There is no answer to what could not be read; it is named by the hash of all its bytes."""
        nowhere = codec.Position(
            run_id=bytes(codec.RUN_ID_BYTES),
            roster_hash=self.roster.hash,
            plan_digest=bytes(codec.HASH_BYTES),
            profile="",
        )
        return self.refusal(nowhere, codec.vector_hash(request), code)


__all__ = ["Voice"]
