"""How the mask graph of a run is agreed on, and what a site refuses on the way."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedward.common.errors import ConfigError, ProtocolError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import graph_seed, statements
from fedward.common.secagg.floors import Floors
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_parameters import max_withheld
from fedward.common.secagg.journal import EntryKind
from fedward.common.secagg.state import restored
from fedward.common.secagg.statements import in_order
from fedward.common.secagg.thresholds import Profile
from tests.secagg_cohort import FIRST, Cohort

COUNT = 30
"""So many that one contribution may be missing."""


def cohort(**parts: object) -> Cohort:
    return Cohort(Profile.RESILIENT, COUNT, is_sparse=True, **parts)  # type: ignore[arg-type]


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ProtocolError) as caught:
        act()
    return caught.value.code


def agreed(group: Cohort) -> tuple[str, list[pb.GraphReveal]]:
    """A site that has shown its part, and what it is told then."""
    assert group.graph is not None
    return in_order(group.names)[0], group.reveals()


def checked(group: Cohort, reveals: list[pb.GraphReveal], own_id: str, *, pinned: bytes | None = None) -> MaskGraph:
    commitments = {name: stated.value for name, stated in group.members.items()}
    listed = graph_seed.list_hash(group.terms.run_id, commitments) if pinned is None else pinned
    own = group.shown[own_id]
    return graph_seed.checked_graph(group.terms, reveals, pinned=listed, own_id=own_id, own=own)


def without(group: Cohort, reveals: list[pb.GraphReveal], *names: str) -> list[pb.GraphReveal]:
    """Some sites are said to have shown nothing."""
    return [
        pb.GraphReveal(site_id=reveal.site_id, commitment=group.members[reveal.site_id].value)
        if reveal.site_id in names
        else reveal
        for reveal in reveals
    ]


# ---------------------------------------------------------------------------------------------------- agreement


def test_all_sites_derive_the_graph_of_the_coordinator() -> None:
    group = cohort()
    reveals = agreed(group)[1]
    graphs = {checked(group, reveals, name).hash for name in group.names}
    assert group.graph is not None
    assert graphs == {group.graph.hash}
    assert group.graph.sites == in_order(group.names)


def test_one_other_contribution_gives_another_graph() -> None:
    shown = dict(cohort().shown)
    before = graph_seed.seed_of(b"r" * 16, shown)
    first = in_order(shown)[0]
    assert graph_seed.seed_of(b"r" * 16, {**shown, first: bytes(32)}) != before
    assert graph_seed.seed_of(b"s" * 16, shown) != before


def test_contribution_is_of_its_run_and_site_and_the_same_after_a_restart() -> None:
    key = cohort().sites[in_order(cohort().names)[0]].participant.transport
    one = graph_seed.contribution(key, run_id=b"r" * 16, site_id="a")
    assert one == graph_seed.contribution(key, run_id=b"r" * 16, site_id="a")
    assert one != graph_seed.contribution(key, run_id=b"s" * 16, site_id="a")
    assert one != graph_seed.contribution(key, run_id=b"r" * 16, site_id="b")


def test_site_that_withheld_is_not_in_the_graph() -> None:
    group = cohort()
    first, reveals = agreed(group)
    gone = in_order(group.names)[3]
    graph = checked(group, without(group, reveals, gone), first)
    assert set(graph.ring) == set(group.names) - {gone}


# ---------------------------------------------------------------------------------------------------- refusals


def test_seed_without_the_site_itself_is_refused() -> None:
    group = cohort()
    first, reveals = agreed(group)
    assert refusal(lambda: checked(group, without(group, reveals, first), first)) == "GRAPH_MISMATCH"
    assert refusal(lambda: checked(group, reveals[1:], first)) == "GRAPH_MISMATCH"


def test_more_missing_contributions_than_are_reckoned_with_are_refused() -> None:
    group = cohort()
    first, reveals = agreed(group)
    allowed = max_withheld(COUNT, COUNT // 5)
    others = in_order(group.names)[1:]
    checked(group, without(group, reveals, *others[:allowed]), first)
    assert refusal(lambda: checked(group, without(group, reveals, *others[: allowed + 1]), first)) == "GRAPH_MISMATCH"


def other_contribution(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    reveals[2].shown = bytes(32)


def other_commitment(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    reveals[2].shown, reveals[2].commitment = b"", bytes(32)


def one_more(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    reveals.append(pb.GraphReveal(site_id="zz", shown=bytes(32)))


def one_less(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    del reveals[2]


def out_of_order(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    reveals[1], reveals[2] = reveals[2], reveals[1]


def twice(group: Cohort, reveals: list[pb.GraphReveal]) -> None:
    reveals.insert(2, reveals[2])


@pytest.mark.parametrize(
    "change", [other_contribution, other_commitment, one_more, one_less, out_of_order, twice], ids=lambda f: f.__name__
)
def test_contributions_that_are_not_those_committed_to_are_refused(
    change: Callable[[Cohort, list[pb.GraphReveal]], None],
) -> None:
    group = cohort()
    first, reveals = agreed(group)
    change(group, reveals)
    assert refusal(lambda: checked(group, reveals, first)) == "GRAPH_MISMATCH"


def test_graph_for_which_the_site_showed_nothing_is_refused() -> None:
    group = cohort()
    first, reveals = agreed(group)
    assert refusal(lambda: checked(group, reveals, first, pinned=b"")) == "GRAPH_MISMATCH"


def test_site_that_reckons_with_more_colluders_than_the_graph_refuses_it() -> None:
    group = cohort()
    first, reveals = agreed(group)
    group.terms = replace(group.terms, floors=Floors(profile=Profile.RESILIENT, least_colluders=7))
    assert refusal(lambda: checked(group, reveals, first)) == "HONEST_FLOOR"


def spoiled(change: Callable[[Cohort, pb.Graph], None]) -> str:
    group = cohort()
    request = group.graph_request()
    change(group, request)
    first = in_order(group.names)[0]
    code = refusal(lambda: group.ask(first, request))
    assert not group.sites[first].written
    return code


def without_me(group: Cohort, request: pb.Graph) -> None:
    del request.members[0]


def my_commitment_altered(group: Cohort, request: pb.Graph) -> None:
    request.members[0].commitment = bytes(32)


def unsigned(group: Cohort, request: pb.Graph) -> None:
    request.members[4].commitment = bytes(32)


def stranger(group: Cohort, request: pb.Graph) -> None:
    request.members.append(pb.GraphMember(site_id="zz", commitment=bytes(32), signature=bytes(64)))


def unsorted(group: Cohort, request: pb.Graph) -> None:
    request.members.append(request.members[1])


def few(group: Cohort, request: pb.Graph) -> None:
    del request.members[2:]


def later(group: Cohort, request: pb.Graph) -> None:
    request.header.round = 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without_me, "GRAPH_MISMATCH"),
        (my_commitment_altered, "GRAPH_MISMATCH"),
        (unsigned, "BAD_SIGNATURE"),
        (stranger, "UNKNOWN_SITE"),
        (unsorted, "COHORT_MALFORMED"),
        (few, "COHORT_TOO_SMALL"),
        (later, "ROUND_ORDER"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_list_of_commitments_that_is_not_right_is_refused_before_anything_is_shown(
    change: Callable[[Cohort, pb.Graph], None], code: str
) -> None:
    assert spoiled(change) == code


def signed_anew(group: Cohort) -> pb.Graph:
    """A list in which one colluder commits to something else."""
    request, name = group.graph_request(), in_order(group.names)[5]
    member = request.members[5]
    member.commitment = graph_seed.commitment_to(bytes(32), run_id=group.terms.run_id, site_id=name)
    statement = graph_seed.commitment_statement(group.terms, name, member.commitment)
    member.signature = statements.sign(group.identity(name), "GRAPH", statement)
    return request


def test_part_is_shown_for_one_list_only_also_after_a_restart() -> None:
    group = cohort()
    first = in_order(group.names)[0]
    site = group.sites[first]
    reply = group.ask(first, group.graph_request())
    assert [entry.kind for entry in site.written] == [EntryKind.GRAPH]
    assert refusal(lambda: group.ask(first, signed_anew(group))) == "GRAPH_MISMATCH"
    site.state = restored(site.journal.entries(group.terms.run_id))
    assert refusal(lambda: group.ask(first, signed_anew(group))) == "GRAPH_MISMATCH"
    assert group.ask(first, group.graph_request()) == reply
    assert len(site.written) == 1


def test_second_graph_in_one_run_is_refused() -> None:
    group = cohort()
    first, reveals = agreed(group)
    group.ask(first, group.prekey(to=first))
    other = checked(group, without(group, reveals, in_order(group.names)[3]), first)
    body = group.prekey((2, 0), to=first)
    del body.reveals[:]
    body.reveals.extend(without(group, reveals, in_order(group.names)[3]))
    assert other != group.graph
    assert refusal(lambda: group.ask(first, body)) == "GRAPH_MISMATCH"


def test_bundles_are_not_asked_for_before_the_graph_is_told() -> None:
    group = cohort()
    first, _ = agreed(group)
    body = group.prekey(to=first)
    del body.reveals[:]
    assert refusal(lambda: group.ask(first, body)) == "GRAPH_MISMATCH"


def test_where_everybody_shares_with_everybody_no_graph_is_told() -> None:
    complete, sparse = Cohort(Profile.RESILIENT, 5), cohort()
    first = in_order(complete.names)[0]
    body = complete.prekey()
    body.reveals.extend(agreed(sparse)[1])
    assert refusal(lambda: complete.ask(first, body)) == "GRAPH_MISMATCH"
    assert refusal(lambda: complete.ask(first, complete.graph_request())) == "BAD_ENCODING"
    assert complete.sites[first].participant.graph_fields() == (b"", b"")


def test_strict_has_no_sparse_graph() -> None:
    with pytest.raises(ConfigError, match="sparse"):
        Cohort(Profile.STRICT, COUNT, is_sparse=True).terms  # noqa: B018


def test_restarted_site_is_told_the_graph_with_its_next_request_for_bundles() -> None:
    group = cohort()
    first, _ = agreed(group)
    group.ask(first, group.prekey(to=first))
    site = group.sites[first]
    site.state = restored(site.journal.entries(group.terms.run_id))
    assert site.state.graph is None
    group.ask(first, group.prekey((1, 1), to=first))
    assert site.state.graph == group.graph
    assert refusal(lambda: group.ask(first, group.prekey(FIRST, to=first))) == "PREKEY_EXISTS"
