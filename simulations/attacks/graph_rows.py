"""Hostile servers on a sparse mask graph: another graph, another seed, other neighbours, a site shut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg import cohort_checks, graph_floors, graph_seed, statements
from fedward.common.secagg.graph import MaskGraph
from fedward.common.secagg.graph_part import GraphPart
from fedward.common.secagg.participant import Participant
from fedward.common.secagg.thresholds import Profile
from fedward.simulations.attacks.cohort import FIRST, Cohort, expected
from fedward.simulations.attacks.cohort_rows import HOLDERS
from fedward.simulations.attacks.holes import Hole, without
from fedward.simulations.attacks.scene import Scene
from fedward.simulations.attacks.survivor_rows import BOTH, NEVER_CLOSED, NO_QUORUM, WRONG, both_kinds, isolated
from fedward.simulations.attacks.table import SHARED, Attack, Play

COUNT, SIZE = 24, 64
"""Few sites, so that a row takes no time; the rules are those of thousands."""

ANY_SEED = without(graph_seed, "checked_graph", "GRAPH_MISMATCH")
ANY_HOLDERS = without(cohort_checks, "_check_neighbourhood", "GRAPH_MISMATCH")
ANY_LIST = without(GraphPart, "checked_list", "GRAPH_MISMATCH")
ANY_GRAPH = without(cohort_checks, "checked_cohort", "GRAPH_MISMATCH")
ANY_SURVIVORS = (
    without(cohort_checks, "checked_survivors", "SURVIVORS_TOO_FEW"),
    without(cohort_checks, "_check_graph_of", "SURVIVORS_TOO_FEW"),
)
ChangeReveals = Callable[[Scene, list[pb.GraphReveal]], None]


def sparse(profile: Profile) -> Scene:
    """A run on a sparse graph."""
    return Scene(profile, Cohort(profile, COUNT, size=SIZE, is_sparse=True))


def sparse_enough(profile: Profile) -> Scene:
    """The same with so many sites that one contribution may be missing."""
    return Scene(profile, Cohort(profile, 30, size=SIZE, is_sparse=True))


def graph_of(scene: Scene) -> MaskGraph:
    """The true one."""
    return expected(MaskGraph, scene.cohort.graph)


def drawn(scene: Scene, shown: Mapping[str, bytes], num_committed: int) -> MaskGraph:
    """The graph of these contributions, however many are missing."""
    floors = scene.cohort.terms.floors
    return MaskGraph.drawn(
        graph_seed.seed_of(scene.cohort.terms.run_id, shown),
        tuple(shown),
        graph_floors.parameters_for(floors, num_committed=num_committed, num_sites=len(shown)),
        assumed_colluders=floors.agreed_colluders(num_committed),
    )


def dealt(scene: Scene, body: pb.Prekey) -> bool:
    """Whether the victim deals its shares as it is asked."""
    scene.ask_bundle(scene.victim, body)
    return True


def told(change: ChangeReveals) -> Play:
    """Other contributions than those that were committed to, and the neighbours that come of them."""

    def play(scene: Scene) -> bool:
        cohort = scene.cohort
        reveals = cohort.reveals()
        change(scene, reveals)
        graph = drawn(scene, {reveal.site_id: reveal.shown for reveal in reveals if reveal.shown}, len(reveals))
        near = {scene.victim, *graph.neighbours(scene.victim)} if scene.victim in graph.ring else set(scene.names[:11])
        target = pb.Target(round=FIRST[0], attempt=FIRST[1], threshold=graph.threshold)
        target.holders.extend(holder for holder in cohort.target().holders if holder.site_id in near)
        return dealt(scene, pb.Prekey(header=cohort.header(), target=target, reveals=reveals))

    return play


def reveal_of(reveals: Sequence[pb.GraphReveal], name: str) -> pb.GraphReveal:
    """One site's."""
    return next(reveal for reveal in reveals if reveal.site_id == name)


def other_seed(scene: Scene, reveals: list[pb.GraphReveal]) -> None:
    """The colluder says other bytes than it committed to, once it knows all others'."""
    reveal_of(reveals, scene.accomplice).shown = scene.random_bytes(32)


def left_out(scene: Scene, reveals: list[pb.GraphReveal]) -> None:
    """The victim is said to have shown nothing."""
    own = reveal_of(reveals, scene.victim)
    own.shown, own.commitment = b"", scene.cohort.members[scene.victim].value


def many_left_out(scene: Scene, reveals: list[pb.GraphReveal]) -> None:
    """Sites are said to have shown nothing, more than are reckoned with, until the graph suits."""
    for name in scene.peers[:3]:
        own = reveal_of(reveals, name)
        own.shown, own.commitment = b"", scene.cohort.members[name].value


def another_list(scene: Scene) -> bool:
    """When all is shown, the colluder commits anew, and the victim is asked to show its part again."""
    cohort = scene.cohort
    cohort.shown  # noqa: B018 - the first list, for which all sites show their part
    request = cohort.graph_request()
    member = next(member for member in request.members if member.site_id == scene.accomplice)
    member.commitment = graph_seed.commitment_to(
        scene.random_bytes(32), run_id=cohort.terms.run_id, site_id=scene.accomplice
    )
    statement = graph_seed.commitment_statement(cohort.terms, scene.accomplice, member.commitment)
    member.signature = statements.sign(cohort.identity(scene.accomplice), "GRAPH", statement)
    cohort.ask(scene.victim, request)
    return True


def permuted(scene: Scene) -> bool:
    """A neighbour of the victim is replaced by another site."""
    body, graph = scene.cohort.prekey(to=scene.victim), graph_of(scene)
    gone = graph.neighbours(scene.victim)[0]
    strangers = [name for name in scene.peers if name not in graph.neighbours(scene.victim)]
    names = {scene.victim, *graph.neighbours(scene.victim), strangers[0]} - {gone}
    del body.target.holders[:]
    body.target.holders.extend(holder for holder in scene.cohort.target().holders if holder.site_id in names)
    return dealt(scene, body)


def fewer_neighbours(scene: Scene) -> bool:
    """The degree is said to be lower."""
    body = scene.cohort.prekey(to=scene.victim)
    keep = [holder for holder in body.target.holders if holder.site_id == scene.victim]
    keep += [holder for holder in body.target.holders if holder.site_id != scene.victim][:-2]
    del body.target.holders[:]
    body.target.holders.extend(sorted(keep, key=lambda holder: holder.site_id.encode()))
    return dealt(scene, body)


def lower_threshold(scene: Scene) -> bool:
    """The threshold is said to be lower."""
    body = scene.cohort.prekey(to=scene.victim)
    body.target.threshold -= 1
    return dealt(scene, body)


def another_graph(scene: Scene) -> bool:
    """The cohort is told another graph hash."""
    body = scene.train()
    body.graph_hash = bytes(32)
    scene.get_vector(scene.victim, body)
    return True


def shut_off(scene: Scene, name: str) -> Sequence[str]:
    """All but the victim and the site that is asked are said to be lost, the victim's neighbours among them."""
    return sorted({name, scene.victim})


def _row(name: str, play: Play, *holes: Hole, scene: Callable[[Profile], Scene] = sparse, gain: str = "") -> Attack:
    return Attack(
        name=name,
        part=HOLDERS,
        play=play,
        expected="GRAPH_MISMATCH",
        holes=holes,
        profiles=SHARED,
        scene=scene,
        gain=gain,
    )


def _and_quorum(*holes: Hole) -> Callable[[Profile], tuple[Hole, ...]]:
    return lambda profile: (*holes, NO_QUORUM) if profile is Profile.RESILIENT_MALICIOUS else holes


ATTACKS = (
    _row("another seed: a contribution that was not committed to", told(other_seed), ANY_SEED),
    _row(
        "the site's own contribution left out of the seed",
        told(left_out),
        ANY_SEED,
        ANY_HOLDERS,
        scene=sparse_enough,
    ),
    _row(
        "contributions left out until the graph suits",
        told(many_left_out),
        without(graph_seed, "graph_of", "GRAPH_MISMATCH"),
    ),
    _row(
        "a second list of commitments, made when all was shown",
        another_list,
        ANY_LIST,
        gain="the victim's part in a graph that the server could choose",
    ),
    _row("another site in a neighbour's place", permuted, ANY_HOLDERS),
    _row("a lower degree", fewer_neighbours, ANY_HOLDERS),
    _row("a lower threshold", lower_threshold, ANY_HOLDERS),
    _row("another graph for the cohort", another_graph, ANY_GRAPH),
    Attack(
        name="both kinds of share of one neighbour",
        part=BOTH,
        play=both_kinds,
        expected="SURVIVORS_CHANGED",
        holes=[*NEVER_CLOSED, without(Participant, "_survivors", "SURVIVORS_CHANGED")],
        profiles=SHARED,
        scene=sparse,
        vector_in=SHARED,
        charges=1,
    ),
    Attack(
        name="a site shut off: its neighbours said to be lost",
        part=WRONG,
        play=isolated(shut_off),
        expected="SURVIVORS_TOO_FEW",
        holes=_and_quorum(*ANY_SURVIVORS),
        profiles=SHARED,
        scene=sparse,
        vector_in=SHARED,
        charges=1,
    ),
)

__all__ = ["ATTACKS", "sparse"]
