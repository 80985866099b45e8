"""Whole runs on a sparse mask graph, with real agents: the sums of ``plain_ring`` to the bit, whoever is lost."""

from dataclasses import replace

import pytest

from fedward.client.site import SiteAgent
from fedward.common import run_terms
from fedward.common.errors import RunError
from fedward.common.messages import codec
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.state import State
from fedward.simulations import secagg_report
from fedward.simulations.memory_grid import Handler
from fedward.simulations.site_memory import memory_from_bytes, memory_to_bytes
from tests.federation_simulator import Wrap, identity_of
from tests.masked_federation import NAMES, WITHOUT_DP, agent_of, counted, lost, masked_federation, on, stopped_at

SHARED = ("resilient", "resilient-malicious")
TEN = len(NAMES)


@pytest.fixture
def sparse_from_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten sites are enough for a sparse graph here: each has six neighbours."""
    monkeypatch.setattr(run_terms, "MAX_SITES", TEN - 1)


def bare(num_sites: int, rounds: int, wraps: dict[str, Wrap] | None = None) -> bytes:
    return masked_federation("plain_ring", num_sites, privacy=WITHOUT_DP, rounds=rounds).run(wraps).model_digest


# ---------------------------------------------------------------------------------------------------- above 64 sites


def test_sixty_six_sites_end_with_the_adapter_of_plain_rounds() -> None:
    federation = masked_federation("resilient", 66, privacy=WITHOUT_DP, rounds=1)
    seen: list[int] = []
    result = federation.run({"site-000": counted(seen)})
    assert result.model_digest == bare(66, 1)
    assert seen == [pb.PLAN_OFFER, pb.GRAPH, pb.PREKEY, pb.TRAIN, pb.UNMASK, pb.RUN_END]
    assert "masks with 26 of 66 sites" in secagg_report.lines(federation.plan, result)
    found = secagg_report.figures(federation.plan, result)
    assert (found["min_survivors"], found["assumed_colluders"], found["honest_sites_in_any_sum"]) == (60, 13, 47)
    apart = replace(result, apart={"site-007": "MODEL_MISMATCH"})
    named = secagg_report.figures(federation.plan, apart)["sites_with_another_model"]
    assert named == {"site-007": "MODEL_MISMATCH"}


@pytest.mark.slow
@pytest.mark.parametrize("profile", SHARED)
@pytest.mark.parametrize("num_sites", [70, 100])
def test_more_sites_with_losses_end_with_the_adapter_of_plain_rounds(profile: str, num_sites: int) -> None:
    names = [f"site-{i:03}" for i in range(num_sites)]
    wraps = {name: lost(pb.TRAIN, 2) for name in names[3:8]}
    result = masked_federation(profile, num_sites, privacy=WITHOUT_DP, rounds=2).run(wraps)
    assert [len(record.survivors) for record in result.rounds] == [num_sites, num_sites - 5]
    assert result.model_digest == bare(num_sites, 2, wraps)


# ---------------------------------------------------------------------------------------------------- trips, losses


@pytest.mark.usefixtures("sparse_from_ten")
@pytest.mark.parametrize(("profile", "trips"), [("resilient", [4, 2, 2]), ("resilient-malicious", [5, 3, 3])])
def test_agreeing_on_the_graph_takes_one_trip_a_run(profile: str, trips: list[int]) -> None:
    result = masked_federation(profile, TEN, privacy=WITHOUT_DP, rounds=3).run()
    assert [record.trips for record in result.rounds] == trips
    assert result.model_digest == bare(TEN, 3)


@pytest.mark.usefixtures("sparse_from_ten")
@pytest.mark.parametrize("profile", SHARED)
@pytest.mark.parametrize("kind", [pb.TRAIN, pb.UNMASK])
def test_lost_site_comes_back_on_the_same_graph(profile: str, kind: int) -> None:
    seen: list[int] = []
    dies = lost(kind, 1)
    federation = masked_federation(profile, TEN, privacy=WITHOUT_DP, rounds=3)
    result = federation.run({"beta": lambda honest: counted(seen)(dies(honest))})
    in_first = TEN - (kind == pb.TRAIN)
    assert [len(record.survivors) for record in result.rounds] == [in_first, TEN - 1, TEN]
    assert seen.count(pb.GRAPH) == 1


@pytest.mark.usefixtures("sparse_from_ten")
def test_site_that_restarts_is_told_the_graph_again() -> None:
    federation = masked_federation("resilient", TEN, privacy=WITHOUT_DP, rounds=3)

    def forgetful(honest: Handler) -> Handler:
        agent = agent_of(federation, "beta")

        def handle(request: bytes) -> bytes:
            reply = agent.handle(request)
            if codec.peek_type(request) == pb.UNMASK and agent.memory is not None:
                # As a new process finds it: what was written down, and no secrets.
                agent.memory = type(agent.memory)(state=_after_restart(agent))
            return reply

        return handle

    result = federation.run({"beta": forgetful})
    assert [len(record.survivors) for record in result.rounds] == [TEN, TEN - 1, TEN - 1]
    assert result.rounds[1].dropped == {"beta": "PREKEY_UNKNOWN"}


def _after_restart(agent: SiteAgent) -> State:
    assert agent.memory is not None
    state = agent.memory.state
    return State(last=state.last, prekeyed=state.prekeyed, graph_list=state.graph_list)


@pytest.mark.usefixtures("sparse_from_ten")
def test_more_than_a_tenth_lost_make_the_round_void_and_the_retry_has_all() -> None:
    wraps = {site: lost(pb.TRAIN, 1, 0) for site in ("alpha", "beta")}
    result = masked_federation("resilient", TEN, privacy=WITHOUT_DP, rounds=1).run(wraps)
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(1, TEN)]


# ---------------------------------------------------------------------------------------------------- the graph's trip


def once(kind: int) -> Wrap:
    """A site that does not answer the first message of that kind."""
    asked: list[bytes] = []

    def answer(request: bytes, honest: Handler) -> bytes:
        asked.append(request)
        if len(asked) == 1:
            raise OSError("the process died")
        return honest(request)

    return on(kind, answer)


@pytest.mark.usefixtures("sparse_from_ten")
def test_site_that_missed_the_graphs_trip_is_asked_again_by_the_next_attempt() -> None:
    result = masked_federation("resilient", TEN, privacy=WITHOUT_DP, rounds=1).run({"beta": once(pb.GRAPH)})
    assert [(record.attempt, len(record.survivors)) for record in result.rounds] == [(1, TEN)]


@pytest.mark.usefixtures("sparse_from_ten")
def test_run_whose_sites_do_not_show_their_parts_does_not_begin() -> None:
    with pytest.raises(RunError, match="GRAPH_MISMATCH"):
        masked_federation("resilient", TEN, rounds=1).run({"beta": lost(pb.GRAPH, 0)})


@pytest.mark.usefixtures("sparse_from_ten")
def test_site_that_withholds_its_part_is_out_of_a_run_that_can_do_without_it() -> None:
    federation = masked_federation("resilient", 30, privacy=WITHOUT_DP, rounds=1)
    (record,) = federation.run({"site-004": lost(pb.GRAPH, 0)}).rounds
    assert record.attempt == 0
    assert len(record.survivors) == 29
    assert record.dropped == {"site-004": "TRANSPORT:client_app_raised"}


@pytest.mark.usefixtures("sparse_from_ten")
def test_site_that_shows_other_bytes_than_it_committed_to_is_left_out() -> None:
    federation = masked_federation("resilient", 30, privacy=WITHOUT_DP, rounds=1)

    def lie(request: bytes, honest: Handler) -> bytes:
        key = identity_of("site-004")
        opened = codec.open_message(honest(request), pb.GraphReply, sender="site-004", public_key=key.public_key)
        opened.body.shown = bytes(32)
        return codec.seal(key, opened.body)

    (record,) = federation.run({"site-004": on(pb.GRAPH, lie)}).rounds
    assert record.dropped == {"site-004": "GRAPH_MISMATCH"}
    assert len(record.survivors) == 29


@pytest.mark.usefixtures("sparse_from_ten")
def test_acceptance_without_a_signed_part_in_the_graph_is_no_acceptance() -> None:
    federation = masked_federation("resilient", 30, privacy=WITHOUT_DP, rounds=1)

    def unsigned(request: bytes, honest: Handler) -> bytes:
        key = identity_of("site-004")
        opened = codec.open_message(honest(request), pb.PlanAccept, sender="site-004", public_key=key.public_key)
        opened.body.graph_commitment = bytes(32)
        return codec.seal(key, opened.body)

    result = federation.run({"site-004": on(pb.PLAN_OFFER, unsigned)})
    assert result.refusals == {"site-004": "BAD_SIGNATURE"}


def test_up_to_64_sites_nothing_is_said_of_a_graph() -> None:
    federation = masked_federation("resilient", 4)
    agent = agent_of(federation)
    accept = codec.open_message(
        agent.handle(federation.offer()), pb.PlanAccept, sender="alpha", public_key=identity_of("alpha").public_key
    ).body
    assert (accept.graph_commitment, accept.graph_signature) == (b"", b"")


@pytest.mark.usefixtures("sparse_from_ten")
def test_memory_of_a_simulated_site_holds_the_graph() -> None:
    federation = masked_federation("resilient", TEN, rounds=2)
    agent = agent_of(federation)
    stopped_at(federation, pb.UNMASK, agent)
    assert agent.memory is not None
    again = memory_from_bytes(memory_to_bytes(agent.memory))
    assert isinstance(again.state.graph, MaskGraph)
    assert again.state.graph == agent.memory.state.graph
    assert again.state.engagement == agent.memory.state.engagement
