"""Every way to aggregate, with mixed ranks and dropouts, through the real round loop and real site agents."""

import hashlib
import itertools
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from fedward.common.config import Aggregation, RunPlan, TensorSpec
from fedward.common.errors import RunError
from fedward.common.lora import adapters
from fedward.common.lora.aggregation import pairs, sent_layout, starting_adapter, trained_layout
from fedward.server.rounds import RunResult
from fedward.simulations.memory_grid import Handler
from tests.federation_simulator import POLICY, Federation, Wrap, make_plan, on_train, position_in, silent

Matrix = NDArray[np.float64]

METHODS: tuple[Aggregation, ...] = get_args(Aggregation)
EXACT: tuple[Aggregation, ...] = ("ffa", "fedsvd", "alternate")
RANKS = {"a": 4, "b": 4, "c": 8, "d": 8, "e": 16, "f": 16, "g": 16}
SITES = tuple(RANKS)
LAYOUT = (
    TensorSpec(name="m.q_proj.lora_A.weight", shape=(16, 20)),
    TensorSpec(name="m.q_proj.lora_B.weight", shape=(12, 16)),
    TensorSpec(name="m.v_proj.lora_A.weight", shape=(16, 24)),
    TensorSpec(name="m.v_proj.lora_B.weight", shape=(18, 16)),
)
ANYTHING = POLICY.model_copy(update={"aggregations": METHODS})


def movement(site: str, method: Aggregation, round_number: int) -> adapters.Vector:
    """What a site's trainer returns: numbers in every column, also in those that are not the site's to train."""
    size = adapters.num_coordinates(trained_layout(method, LAYOUT, round_number))
    seed = int.from_bytes(hashlib.sha256(f"{site}/{round_number}".encode()).digest()[:4], "big")
    return (0.05 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)  # noqa: TID251 - a fake


def plan_of(method: Aggregation, **changes: Any) -> RunPlan:  # noqa: ANN401
    """Seven sites of rank 4, 8 and 16: the last columns have three, two must survive, so one may drop out."""
    return make_plan(
        lora={"rank": 16, "aggregation": method},
        layout=[spec.model_dump(mode="json") for spec in LAYOUT],
        sites=[{"id": site, "nominal_units": 100, "rank": rank} for site, rank in RANKS.items()],
        **changes,
    )


def federation_of(method: Aggregation, **changes: Any) -> Federation:  # noqa: ANN401
    """Fake trainers that move differently in every round."""
    federation = Federation(plan_of(method, **changes), policy=ANYTHING, sites=SITES)
    for site, trainer in federation.trainers.items():
        trainer.move = lambda number, adapter, site=site: movement(site, method, number)
    return federation


def states(federation: Federation, result: RunResult) -> list[adapters.Adapter]:
    """The adapter before each round and after the last, as a site that was always there saw it."""
    return [*(adapter for adapter, _ in federation.trainers["a"].calls), result.adapter]


def products(adapter: adapters.Adapter) -> list[Matrix]:
    """B·A of each module, in float64."""
    return [adapter[b.name].astype(np.float64) @ adapter[a.name].astype(np.float64) for a, b in pairs(LAYOUT)]


def mean_of_products(
    adapter: adapters.Adapter, method: Aggregation, round_number: int, survivors: tuple[str, ...]
) -> list[Matrix]:
    """What the round should move each W by: in each column the mean of (bᵢaᵢᵀ − baᵀ) over the sites that train it."""
    trained = trained_layout(method, LAYOUT, round_number)
    found = []
    for spec_a, spec_b in pairs(LAYOUT):
        b, a = adapter[spec_b.name].astype(np.float64), adapter[spec_a.name].astype(np.float64)
        total = np.zeros((b.shape[0], a.shape[1]))
        for column in range(16):
            sites = [site for site in survivors if RANKS[site] > column]
            for site in sites:
                moved = adapters.unflatten(trained, movement(site, method, round_number))
                new_b = b[:, column] + (moved[spec_b.name][:, column] if spec_b.name in moved else 0)
                new_a = a[column] + (moved[spec_a.name][column] if spec_a.name in moved else 0)
                total += (np.outer(new_b, new_a) - np.outer(b[:, column], a[column])) / len(sites)
        found.append(total)
    return found


def errors(federation: Federation, result: RunResult, method: Aggregation) -> list[float]:
    """Relative error of ΔW of each round, the worst module."""
    found = []
    for record, (before, after) in zip(result.rounds, itertools.pairwise(states(federation, result)), strict=True):
        expected = mean_of_products(before, method, record.round_number, record.survivors)
        moved = [now - then for now, then in zip(products(after), products(before), strict=True)]
        found.append(
            max(float(np.linalg.norm(m - e) / np.linalg.norm(e)) for m, e in zip(moved, expected, strict=True))
        )
    return found


# ---------------------------------------------------------------------------------------------------- exactness


@pytest.mark.parametrize("method", EXACT)
def test_sum_of_mixed_ranks_is_the_mean_of_the_products(method: Aggregation) -> None:
    federation = federation_of(method)
    assert max(errors(federation, federation.run(), method)) < 1e-5


def test_naive_sum_is_not_the_mean_of_the_products() -> None:
    federation = federation_of("naive")
    found = errors(federation, federation.run(), "naive")
    assert min(found) > 0.03


def dropping_out_of_round_2(request: bytes, honest: Handler) -> bytes:
    """Silent in every attempt of round 2."""
    return silent(request, honest) if position_in(request)[0] == 2 else honest(request)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("site", ["b", "g"])
def test_sum_stays_exact_when_a_site_drops_out(method: Aggregation, site: str) -> None:
    federation = federation_of(method)
    result = federation.run({site: on_train(dropping_out_of_round_2)})
    assert [len(record.survivors) for record in result.rounds] == [7, 6, 7]
    assert max(errors(federation, result, method)) < 1e-5


def test_round_is_void_when_a_column_might_have_too_few_sites() -> None:
    wrap: dict[str, Wrap] = {site: on_train(silent) for site in ("f", "g")}
    federation = federation_of("ffa", rounds=1)
    with pytest.raises(RunError, match="round 1 was void 2 times"):
        federation.run(wrap)


def test_run_does_not_begin_without_enough_sites_for_the_last_column() -> None:
    federation = federation_of("ffa", rounds=1)
    with pytest.raises(RunError, match="1 sites of rank 16 accept the plan, it asks for 2"):
        federation.run(offline=["f", "g"])
    assert not federation.trainers["a"].calls


# ---------------------------------------------------------------------------------------------------- what travels


@pytest.mark.parametrize("method", METHODS)
def test_sites_get_the_adapter_that_the_coordinator_has(method: Aggregation) -> None:
    federation = federation_of(method)
    result = federation.run()
    start = starting_adapter(federation.plan)
    digests = [
        [adapters.adapter_digest(LAYOUT, adapter) for adapter, _ in trainer.calls]
        for trainer in federation.trainers.values()
    ]
    assert all(found == digests[0] for found in digests)
    assert digests[0][0] == adapters.adapter_digest(LAYOUT, start)
    assert len(set(digests[0])) == 3
    assert result.model_digest == adapters.adapter_digest(LAYOUT, result.adapter) != digests[0][-1]


@pytest.mark.parametrize("method", METHODS)
def test_record_of_a_round_tells_what_was_trained_and_sent(method: Aggregation) -> None:
    sent = 4 * adapters.num_coordinates(sent_layout(method, LAYOUT))
    for record in federation_of(method).run().rounds:
        trained = adapters.num_coordinates(trained_layout(method, LAYOUT, record.round_number))
        assert record.trained_parameters == trained
        assert sent < record.bytes_to_site < sent + 1000
        assert 4 * trained < record.bytes_from_site < 4 * trained + 1000


def test_alternate_moves_one_factor_in_a_round() -> None:
    federation = federation_of("alternate")
    history = states(federation, federation.run())
    for number, (before, after) in enumerate(itertools.pairwise(history), start=1):
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        assert moved == {spec.name for spec in trained_layout("alternate", LAYOUT, number)}


def test_fedsvd_orders_the_directions_and_keeps_their_space() -> None:
    federation = federation_of("fedsvd")
    history = states(federation, federation.run())
    for spec_a, spec_b in pairs(LAYOUT):
        start, last = (history[index][spec_a.name].astype(np.float64) for index in (0, -1))
        lengths = np.linalg.norm(history[-1][spec_b.name], axis=0)
        assert np.abs(last @ last.T - np.eye(16)).max() < 1e-6
        assert np.abs(last.T @ last - start.T @ start).max() < 1e-5
        assert (lengths[1:] <= lengths[:-1] + 1e-5).all()


def test_fedsvd_and_orthonormal_ffa_give_one_model_when_all_sites_move_alike_in_w() -> None:
    """The sites' movements of B are those of one fixed ΔW: B moves by ΔW Aᵀ, whatever basis A is in."""

    def run(method: Aggregation) -> list[Matrix]:
        federation = federation_of(method)
        sites = [{"id": site, "nominal_units": 100} for site in SITES]
        lora = {"rank": 16, "aggregation": method, "a_init": "orthonormal"}
        layout = [spec.model_dump(mode="json") for spec in LAYOUT]
        federation = Federation(make_plan(lora=lora, layout=layout, sites=sites), policy=ANYTHING, sites=SITES)

        def move(number: int, adapter: adapters.Adapter) -> adapters.Vector:
            parts = []
            for index, (spec_a, spec_b) in enumerate(pairs(LAYOUT)):
                rng = np.random.default_rng(10 * number + index)  # noqa: TID251 - a fake
                wanted = 0.05 * rng.standard_normal((spec_b.shape[0], spec_a.shape[1]))
                parts.append((wanted @ adapter[spec_a.name].T.astype(np.float64)).reshape(-1))
            return np.concatenate(parts).astype(np.float32)

        for trainer in federation.trainers.values():
            trainer.move = move
        return products(federation.run().adapter)

    for turned, plain in zip(run("fedsvd"), run("ffa"), strict=True):
        assert np.linalg.norm(turned - plain) <= 1e-5 * np.linalg.norm(plain)


@pytest.mark.parametrize("method", METHODS)
def test_adam_runs_with_every_method(method: Aggregation) -> None:
    federation = federation_of(method, server={"optimizer": "fedadam", "learning_rate": 0.02})
    result = federation.run()
    assert len(result.rounds) == 3
    assert all(np.isfinite(value).all() for value in result.adapter.values())
    moved = result.adapter["m.q_proj.lora_B.weight"]
    assert 0 < np.abs(moved).max() < 3 * 0.02 * 16
