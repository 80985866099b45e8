"""One site's part in the mask graph of a run: what it commits to, shows once, and believes of what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import graph_seed, statements
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.keys import AgreementKey
from fedward.common.secagg.terms import Terms


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphPart:
    """Of one site in one run."""

    terms: Terms
    site_id: str
    transport: AgreementKey = field(repr=False)

    @property
    def shown(self) -> bytes:
        """The contribution. It must not leave before the list of all commitments is written down."""
        return graph_seed.contribution(self.transport, run_id=self.terms.run_id, site_id=self.site_id)

    @property
    def commitment(self) -> bytes:
        """To the contribution."""
        return graph_seed.commitment_to(self.shown, run_id=self.terms.run_id, site_id=self.site_id)

    def accept_fields(self, identity: Identity) -> tuple[bytes, bytes]:
        """Commitment and signature for ``PlanAccept``; empty in a run without a graph."""
        if not self.terms.is_sparse:
            return b"", b""
        statement = graph_seed.commitment_statement(self.terms, self.site_id, self.commitment)
        return self.commitment, statements.sign(identity, "GRAPH", statement)

    def checked_list(self, members: Sequence[pb.GraphMember], pinned: bytes) -> bytes:
        """The hash of a list of commitments, for which the contribution may be shown.

        Args:
            members: of the list.
            pinned: hash of the list for which it was shown before; empty: it was not.

        Raises:
            ProtocolError: ``GRAPH_MISMATCH`` for a second list, or what ``graph_seed.checked_members`` raises.
        """
        found = graph_seed.checked_members(self.terms, members, own_id=self.site_id, own=self.commitment)
        listed = graph_seed.list_hash(self.terms.run_id, found)
        if pinned not in (b"", listed):
            raise ProtocolError("GRAPH_MISMATCH", "a second list of commitments to the mask graph")
        return listed

    def checked_graph(
        self, reveals: Sequence[pb.GraphReveal], *, pinned: bytes, known: MaskGraph | None
    ) -> MaskGraph | None:
        """The graph that a ``Prekey`` tells: once it is known, the same again or nothing. None in a run without one.

        Raises:
            ProtocolError: ``GRAPH_MISMATCH``, or what ``graph_seed.checked_graph`` raises.
        """
        if not self.terms.is_sparse:
            if reveals:
                raise ProtocolError("GRAPH_MISMATCH", "everybody shares a mask with everybody here")
            return None
        if not reveals and known is not None:
            return known
        graph = graph_seed.checked_graph(self.terms, reveals, pinned=pinned, own_id=self.site_id, own=self.shown)
        if known not in (None, graph):
            raise ProtocolError("GRAPH_MISMATCH", "another mask graph than that of the run")
        return graph


__all__ = ["GraphPart"]
