"""The mask graph: its order to the bit, its neighbours, and when its survivors hold together."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.errors import ProtocolError
from fedward.common.secagg.graph import MaskGraph, own_neighbours_suffice, require_graph, shuffled
from fedward.common.secagg.graph_parameters import GraphParameters, dropouts_of, find_parameters
from fedward.common.secagg.statements import in_order
from tests.strategies import site_ids

SEED = bytes(range(32))
SITES = tuple(f"site-{i}" for i in range(12))
KNOWN_ORDER = (3, 6, 4, 10, 1, 9, 11, 0, 7, 5, 2, 8)
"""Of these sites under this seed; found by hand, see ``order_by_hand``."""
KNOWN_HASH = "885fbd44dd83688116a13d5704284565e83855d70150651af82eb06e1b8dbfd9"
"""With degree 4 and threshold 3."""


def graph(count: int, degree: int, *, gap: int = 0, seed: bytes = SEED, threshold: int = 2) -> MaskGraph:
    parameters = GraphParameters(degree=degree, threshold=threshold, colluding_neighbours=0, gap_colluders=gap)
    return MaskGraph.drawn(seed, [f"site-{i}" for i in range(count)], parameters, assumed_colluders=1)


def order_by_hand(site_ids: Iterable[str], seed: bytes) -> tuple[str, ...]:
    """The rule of the module once more, with another library's stream and no generator."""
    raw = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(1 << 16))
    order, at = sorted(site_ids, key=str.encode), 0
    for i in reversed(range(1, len(order))):
        while True:
            word = int.from_bytes(raw[4 * at : 4 * at + 4], "little")
            at += 1
            if word < 2**32 - 2**32 % (i + 1):
                break
        order[i], order[word % (i + 1)] = order[word % (i + 1)], order[i]
    return tuple(order)


# ---------------------------------------------------------------------------------------------------- order and hash


def test_order_is_the_known_one() -> None:
    assert shuffled(in_order(SITES), SEED) == tuple(f"site-{i}" for i in KNOWN_ORDER)


def test_hash_is_the_known_one() -> None:
    found = graph(12, 4, threshold=3)
    fields: list[bytes | str | int] = [SEED, 4, 3, *sorted(SITES, key=str.encode)]
    raw = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (
            b"fedward/secagg/v1/graph",
            *(
                f.to_bytes(8, "big") if isinstance(f, int) else f if isinstance(f, bytes) else f.encode()
                for f in fields
            ),
        )
    )
    assert found.hash == hashlib.sha256(raw).digest()
    assert found.hash.hex() == KNOWN_HASH


@settings(max_examples=30, deadline=None)
@given(st.lists(site_ids, min_size=1, max_size=80, unique=True), st.binary(min_size=32, max_size=32))
def test_order_is_that_of_the_rule_by_hand(names: list[str], seed: bytes) -> None:
    assert shuffled(in_order(names), seed) == order_by_hand(names, seed)


def test_words_that_would_favour_early_places_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([2**32 - 1, 2, 1])  # 2^32 − 1 is the one word too many for a choice of three
    monkeypatch.setattr("fedward.common.secagg.graph._words", lambda _: words)
    assert shuffled(("a", "b", "c"), SEED) == ("a", "b", "c")
    assert next(words, None) is None


def test_every_order_of_three_comes_up_equally_often() -> None:
    orders = [shuffled(("a", "b", "c"), hashlib.sha256(bytes([i % 256, i // 256])).digest()) for i in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert all(400 < count < 600 for count in counts)  # five standard errors


@pytest.mark.parametrize("change", ["seed", "degree", "threshold", "site"])
def test_hash_covers_everything(change: str) -> None:
    one = graph(12, 4)
    other = {
        "seed": graph(12, 4, seed=bytes(32)),
        "degree": graph(12, 6),
        "threshold": graph(12, 4, threshold=3),
        "site": replace(one, ring=(*one.ring[:-1], "stranger")),
    }[change]
    assert one.hash != other.hash
    assert one.holders_hash != other.holders_hash


# ---------------------------------------------------------------------------------------------------- neighbours


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 40), st.data())
def test_neighbours_are_mutual_and_as_many_as_the_degree(count: int, data: st.DataObject) -> None:
    degree = data.draw(st.sampled_from([*range(2, count - 1, 2), count - 1]))
    found = graph(count, degree)
    for site in found.ring:
        near = found.neighbours(site)
        assert len(near) == degree
        assert near == in_order(near)
        assert site not in near
        assert all(site in found.neighbours(other) for other in near)
        assert {other for other in found.ring if found.are_neighbours(site, other)} == set(near)
        assert set(found.around(site, found.ring)) == {site, *near}


def test_neighbours_are_those_next_on_the_ring() -> None:
    found = graph(12, 4)
    assert set(found.neighbours(found.ring[0])) == {found.ring[i] for i in (1, 2, 10, 11)}


def test_around_names_only_those_asked_about() -> None:
    found = graph(12, 4)
    assert set(found.around(found.ring[0], found.ring[:2])) == set(found.ring[:2])


def test_run_without_a_graph_cannot_go_on() -> None:
    with pytest.raises(ProtocolError) as caught:
        require_graph(None)
    assert caught.value.code == "GRAPH_MISMATCH"


# ---------------------------------------------------------------------------------------------------- survivors


def is_connected(found: MaskGraph, sites: set[str]) -> bool:
    """By walking."""
    todo = [next(iter(sites))] if sites else []
    seen = set(todo)
    while todo:
        for other in set(found.neighbours(todo.pop())) & sites - seen:
            seen.add(other)
            todo.append(other)
    return seen == sites


@settings(max_examples=150, deadline=None)
@given(st.integers(6, 16), st.data())
def test_survivors_that_hold_together_are_connected_without_any_set_of_colluders(
    count: int, data: st.DataObject
) -> None:
    degree = data.draw(st.sampled_from([d for d in (2, 4, 6) if d < count - 1]))
    colluders = set(data.draw(st.sets(st.sampled_from([f"site-{i}" for i in range(count)]), max_size=4)))
    reach = degree // 2
    bare = graph(count, degree)
    runs = [{bare.ring[(i + s) % count] for s in range(reach)} for i in range(count)]
    # What the bound says of a good order: no two runs that do not overlap hold more colluders.
    gap = max(len((a | b) & colluders) for a in runs for b in runs if not a & b)
    found = graph(count, degree, gap=gap)
    survivors = set(found.ring) - set(data.draw(st.sets(st.sampled_from(found.ring), max_size=5)))
    worst = min(len((a | b) & survivors) for a in runs for b in runs if not a & b)
    assert found.holds_together(survivors) == (worst > gap)
    if found.holds_together(survivors):
        assert is_connected(found, survivors - colluders)


def test_two_runs_that_are_lost_tear_the_ring() -> None:
    found = graph(12, 4)
    lost = {found.ring[i] for i in (1, 2, 6, 7)}
    assert not is_connected(found, set(found.ring) - lost)
    assert not found.holds_together(set(found.ring) - lost)
    assert found.holds_together(set(found.ring) - {found.ring[i] for i in (1, 2, 3, 7)})


def test_where_everybody_is_a_neighbour_nothing_can_tear() -> None:
    assert graph(6, 5, gap=9).holds_together(["site-1", "site-2"])


def test_site_whose_neighbours_are_said_to_be_lost_does_not_agree() -> None:
    # In a large run a tenth of the sites are enough to take most neighbours of one: its own look guards it.
    count = 500
    parameters = find_parameters(count, colluders=100, dropouts=dropouts_of(count), extra_bits=100)
    found = MaskGraph.drawn(SEED, [f"site-{i}" for i in range(count)], parameters, assumed_colluders=100)
    victim = found.ring[0]
    spare = parameters.degree - parameters.threshold
    assert spare < dropouts_of(count)
    enough = set(found.ring) - set(found.neighbours(victim)[:spare])
    assert own_neighbours_suffice(found, victim, enough)
    assert not own_neighbours_suffice(found, victim, enough - {found.neighbours(victim)[-1]})
