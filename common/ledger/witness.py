"""Heads that witnesses hold: a site's side, as a pure machine.

A site states its head with its replies; the coordinator gives the set of all statements with the next request; each
site records the set in its own chain and signs it. So an owner who puts an older file back, or a coordinator who tells
two stories, is seen by the others.

Invariants of a site: a set is recorded only if the coordinator and every party in it signed, if this site's statement
in it is one that it made, if no party's head in it goes back, and if a site's head in it is new: with its own alone a
coordinator could fill every disk. Before its first ``Train`` after a start enough peers have answered, under a nonce of
this start, with a head that is on its chain, or with none. A site whose own signed head is not on its chain takes part
in nothing more: the ledger was rolled back. Until peers have answered it states none, for they would record the head of
a chain that was rolled back over the one that was lost, and answer with that.

A machine takes what came and gives its next state and what is to be appended; the caller appends, then keeps the state,
then lets bytes go. Not handled here: the chain itself (``holds``), transport, and rollback by an owner together with
the coordinator and all peers, which nothing shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fedward.common.config import COORDINATOR
from fedward.common.errors import ProtocolError
from fedward.common.identity import Identity, verify
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.head_entries import Confirmed, confirmed_drafts, recorded_drafts
from fedward.common.ledger.heads import Answer, HeadSet, HeadStatement, Question, signed_answer
from fedward.common.messages.witness import MAX_QUESTIONS, CoordinatorPart, SitePart

WITNESS_RULE = "witness"
"""Of the site's policy: ``min_witnesses``."""
_MISSING, _ROLLED_BACK, _CONFLICT = "WITNESS_MISSING", "LEDGER_ROLLED_BACK", "HEADS_CONFLICT"
_KEPT_SETS = 8
"""Confirmations come with the set after theirs; older ones are of no use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """One of a site's own statements."""

    statement: HeadStatement
    is_vector: bool
    """Made beside a vector: the coordinator cannot go on with that and without this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHeads:
    """What a site knows of the heads of one run."""

    run_id: bytes = b""
    stated: tuple[Stated, ...] = ()
    """Its own, from the last one that a set held to the newest."""
    is_seen: bool = False
    """Whether a set held the first of them."""
    sets: Mapping[int, HeadSet] = field(default_factory=dict, repr=False)
    """By number: the last ones that were recorded."""
    confirmed: frozenset[int] = frozenset()
    superseded: Mapping[str, frozenset[bytes]] = field(default_factory=dict, repr=False)
    """By peer: heads that a later one has replaced."""
    is_void: bool = False
    """The coordinator told two stories, and both are recorded."""

    def brings_news(self, heads: HeadSet) -> bool:
        """Whether a site has gone on since the last set that was recorded."""
        last = self.sets[max(self.sets)].statements if self.sets else ()
        old = {one.site_id: one for one in last}
        return any(
            (before := old.get(one.site_id)) is None or one.head != before.head or one.position > before.position
            for one in heads.statements
            if one.site_id != COORDINATOR
        )

    def recorded(self, heads: HeadSet) -> RunHeads:
        """The same with one more set."""
        sets = {**self.sets, heads.number: heads}
        return replace(self, sets={number: sets[number] for number in sorted(sets)[-_KEPT_SETS:]})


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteWitness:
    """A site's state.

    Args:
        site_id: its own.
        keys: party to public key, by the pinned roster; the coordinator's among them.
        own_keys: public keys that ever signed its chain.
        min_witnesses: of its policy.
        nonce: 16 fresh bytes of this start.
        is_new: its chain has recorded nothing yet: nobody may have recorded anything of it.
        recorded: the newest statement of each peer, as its chain has it.
        void_runs: in which its chain holds two stories.
        run: what its chain has of the last run; a second story is one also behind a start.
    """

    site_id: str
    keys: Mapping[str, bytes] = field(repr=False)
    own_keys: frozenset[bytes] = field(repr=False)
    min_witnesses: int
    nonce: bytes
    is_new: bool
    recorded: Mapping[str, HeadStatement] = field(default_factory=dict, repr=False)
    void_runs: frozenset[bytes] = frozenset()
    vouched: frozenset[str] = frozenset()
    """Peers whose answer fits the chain."""
    is_rolled_back: bool = False
    run: RunHeads = field(default_factory=RunHeads)
    to_confirm: HeadSet | None = field(default=None, repr=False)
    questions: tuple[Question, ...] = ()

    # ------------------------------------------------------------------------------------------------ hearing

    def hear(
        self, part: CoordinatorPart, run_id: bytes, holds: Callable[[bytes], bool]
    ) -> tuple[SiteWitness, tuple[Draft, ...]]:
        """Take what came beside a request.

        Args:
            part: all of it.
            run_id: of the run that the site is in; empty: none, and then a set is passed over.
            holds: whether a head is on this site's chain.

        Returns:
            The next state, and what to append first.

        Raises:
            ProtocolError: ``BAD_SIGNATURE``, ``HEADS_CONFLICT``, or ``LEDGER_ROLLED_BACK``: then the caller keeps
                ``rolled_back``. Else nothing is changed.
        """
        asked = tuple(q for q in part.questions if q.subject in self.keys and q.subject != self.site_id)
        state = self._answered(part.answers, holds)
        state = replace(state, questions=asked[:MAX_QUESTIONS])
        drafts: tuple[Draft, ...] = ()
        if run_id:
            state = state.in_run(run_id)
            state, confirmed = state._confirmed(part)
            state, recorded = state._recorded(part.heads, holds)
            drafts = (*confirmed, *recorded)
        return state, drafts

    def in_run(self, run_id: bytes) -> SiteWitness:
        """The same in a run; what was of another run is over."""
        if self.run.run_id == run_id:
            return self
        return replace(self, run=RunHeads(run_id=run_id, is_void=run_id in self.void_runs), to_confirm=None)

    def rolled_back(self) -> SiteWitness:
        """From here on nothing is done any more."""
        return replace(self, is_rolled_back=True)

    def _answered(self, answers: Iterable[Answer], holds: Callable[[bytes], bool]) -> SiteWitness:
        """Count the peers whose answer, under this start's nonce, fits the chain."""
        vouched = set(self.vouched)
        for answer in answers:
            key = self.keys.get(answer.witness)
            is_mine = (answer.subject, answer.nonce) == (self.site_id, self.nonce)
            is_peer = answer.witness not in (self.site_id, COORDINATOR)
            if not is_mine or not is_peer or key is None or not answer.is_signed_by(key):
                continue  # an old one, or nobody's: it counts for nothing
            if answer.statement is not None:
                if not self.is_new and not self._is_own(answer.statement):
                    continue  # a peer cannot state for this site
                # Of a chain that is new nobody can hold a head, whoever signed it, but those on it.
                if not holds(answer.statement.head):
                    raise ProtocolError(_ROLLED_BACK, f"{answer.witness} holds a head that is not on this chain")
            vouched.add(answer.witness)
        return replace(self, vouched=frozenset(vouched))

    def _is_own(self, statement: HeadStatement) -> bool:
        return any(statement.is_signed_by(key) for key in self.own_keys)

    def _recorded(self, heads: HeadSet | None, holds: Callable[[bytes], bool]) -> tuple[SiteWitness, tuple[Draft, ...]]:
        if heads is None:
            return self, ()
        if heads.run_id != self.run.run_id or not heads.is_signed_by(self.keys[COORDINATOR]):
            raise ProtocolError("BAD_SIGNATURE", "a head set that the coordinator did not sign for this run")
        known = self.run.sets.get(heads.number)
        if known is not None and known.digest == heads.digest:
            return self, ()
        if known is None and heads.number <= max(self.run.sets, default=0):
            return self, ()  # overtaken on its way
        stranger = heads.unsigned_party(self.keys)
        if stranger is not None:
            raise ProtocolError("BAD_SIGNATURE", f"the head of {stranger} is not its own word")
        if known is not None:
            # Both are the coordinator's, under one number: the proof goes into the chain.
            return replace(self, run=replace(self.run, is_void=True)), recorded_drafts(heads)
        run = self._with_peers(self._with_own(heads.of(self.site_id), holds), heads)
        if not self.run.brings_news(heads):
            return self, ()
        newest = {one.site_id: one for one in heads.statements if one.site_id != self.site_id}
        state = replace(
            self, run=run.recorded(heads), to_confirm=heads, recorded={**self.recorded, **newest}, is_new=False
        )
        return state, recorded_drafts(heads)

    def _with_own(self, own: HeadStatement | None, holds: Callable[[bytes], bool]) -> RunHeads:
        """This site's word stands in the set as it gave it, and it does not go back."""
        run = self.run
        if own is None:
            if run.is_seen:  # else it may never have come: a reply is lost now and then
                raise ProtocolError(_CONFLICT, "a head set without this site's statement")
            return run
        known = next((i for i, one in enumerate(run.stated) if one.statement == own), None)
        if known is not None:
            return replace(run, stated=run.stated[known:], is_seen=True)
        if run.is_seen or not self._is_own(own):
            raise ProtocolError(_CONFLICT, "not the statement that this site has made")
        if not holds(own.head):  # made before the process started
            raise ProtocolError(_ROLLED_BACK, "this site's own head is not on its chain")
        return run

    def _with_peers(self, run: RunHeads, heads: HeadSet) -> RunHeads:
        """No party's head goes back within a run."""
        superseded = dict(run.superseded)
        if heads.of(COORDINATOR) is None:
            raise ProtocolError(_CONFLICT, "a head set without the coordinator's own head")
        for one in heads.statements:
            before = self.recorded.get(one.site_id)
            if before is None or before.run_id != heads.run_id or before.head == one.head:
                continue
            old = superseded.get(one.site_id, frozenset())
            if one.head in old or one.position < before.position or one.ledger_id != before.ledger_id:
                raise ProtocolError(_CONFLICT, f"an older head of {one.site_id} in place of a newer one")
            superseded[one.site_id] = old | {before.head}
        return replace(run, superseded=superseded)

    def _confirmed(self, part: CoordinatorPart) -> tuple[SiteWitness, tuple[Draft, ...]]:
        """Signatures of the others over a set: they must be over the set that was recorded here."""
        heads = self.run.sets.get(part.confirmations_number)
        if heads is None or part.confirmations_number in self.run.confirmed:
            return self, ()
        for one in part.confirmations:
            key = self.keys.get(one.site_id)
            if key is None or not verify(key, one.signature, "ledger", "heads", heads.digest):
                raise ProtocolError(_CONFLICT, f"{one.site_id} has signed another head set")
        pairs = tuple((one.site_id, one.signature) for one in part.confirmations if one.site_id != self.site_id)
        run = replace(self.run, confirmed=self.run.confirmed | {heads.number})
        found = Confirmed(run_id=heads.run_id, number=heads.number, headset=heads.digest, signatures=pairs)
        return replace(self, run=run), confirmed_drafts(found)

    # ------------------------------------------------------------------------------------------------ requiring

    def require_sound(self, run_id: bytes) -> None:
        """Before anything is answered.

        Args:
            run_id: of the request.

        Raises:
            ProtocolError: ``LEDGER_ROLLED_BACK``, or ``HEADS_CONFLICT`` for a run in which two stories were told.
        """
        if self.is_rolled_back:
            raise ProtocolError(_ROLLED_BACK, "this ledger was rolled back")
        if self.run.is_void and self.run.run_id == run_id:
            raise ProtocolError(_CONFLICT, "the coordinator told two stories of this run")

    def require_witnesses(self) -> None:
        """Before a ``Train``.

        Raises:
            ProtocolError: ``WITNESS_MISSING``: too few peers have answered since the start. Nothing is charged.
        """
        if len(self.vouched) < self.min_witnesses:
            raise ProtocolError(_MISSING, "too few peers have answered since the start", rule=WITNESS_RULE)

    def require_in_set(self, position: tuple[int, int] | None) -> None:
        """Before what the coordinator can only ask who has got this site's vector, and so its head.

        Args:
            position: of that vector; None: it has none.

        Raises:
            ProtocolError: ``WITNESS_MISSING``: no set holds the head that went with it.
        """
        waiting = self.run.stated[self.run.is_seen :]
        if any(one.is_vector and one.statement.position == position for one in waiting):
            raise ProtocolError(_MISSING, "no head set holds this site's statement", rule=WITNESS_RULE)

    @property
    def is_vouched(self) -> bool:
        """Whether enough peers have answered since the start; before that no head may be stated."""
        return len(self.vouched) >= self.min_witnesses

    # ------------------------------------------------------------------------------------------------ speaking

    def speak(
        self, identity: Identity, statement: HeadStatement | None, *, is_vector: bool
    ) -> tuple[SiteWitness, SitePart]:
        """What goes beside a reply.

        Args:
            identity: the site's.
            statement: of its head behind the reply's transaction; None: this kind of reply brings none, or it is too
                early for one (``is_vouched``).
            is_vector: whether the reply brings a vector.
        """
        state = self
        if statement is not None:
            state = state.in_run(statement.run_id)
            stated = state.run.stated
            if not stated or stated[-1].statement != statement:  # a reply that is given once more brings the same
                stated = (*stated, Stated(statement=statement, is_vector=is_vector))
            state = replace(state, run=replace(state.run, stated=stated))
        answers = tuple(signed_answer(identity, self.site_id, q, self.recorded.get(q.subject)) for q in self.questions)
        heads = self.to_confirm
        part = SitePart(
            head=statement,
            nonce=b"" if self.is_vouched else self.nonce,
            confirmed_number=0 if heads is None else heads.number,
            confirmation=b"" if heads is None else identity.sign("ledger", "heads", heads.digest),
            answers=answers,
        )
        return replace(state, questions=(), to_confirm=None), part


__all__ = ["RunHeads", "SiteWitness", "Stated", "WITNESS_RULE"]
