"""What a plan may ask of the adapter: ranks, starts, methods, server steps."""

import json
from typing import Any

import pytest

from fedward.common.config import RunPlan, ServerPlan, SitePolicy
from fedward.common.errors import ConfigError
from tests.federation_simulator import make_plan


def sites(*ranks: int | None) -> list[dict[str, Any]]:
    """Sites of these ranks."""
    return [{"id": f"s{i}", "nominal_units": 100, "rank": rank} for i, rank in enumerate(ranks)]


def with_ranks(*ranks: int | None, min_cohort: int) -> RunPlan:
    return make_plan(lora={"rank": 16}, sites=sites(*ranks), secagg={"min_cohort": min_cohort})


@pytest.mark.parametrize(
    ("ranks", "min_cohort"),
    [((16, 16, 16), 3), ((None, None, 16), 3), ((4, 8, 16, 16), 2), ((4, 4, 16), 1), ((1, 16, None), 2)],
)
def test_plan_whose_last_column_has_enough_sites_is_accepted(ranks: tuple[int | None, ...], min_cohort: int) -> None:
    assert [site.rank for site in with_ranks(*ranks, min_cohort=min_cohort).sites] == list(ranks)


@pytest.mark.parametrize(
    ("ranks", "min_cohort", "found"),
    [((4, 8, 16), 2, 1), ((8, 8, 8), 1, 0), ((16, 16, 15), 3, 2), ((4, 8, 16, 16), 3, 2)],
)
def test_plan_with_a_column_of_too_few_sites_is_refused(ranks: tuple[int, ...], min_cohort: int, found: int) -> None:
    with pytest.raises(ConfigError, match=rf"{found} of them train the last of the 16 columns.* asks for {min_cohort}"):
        with_ranks(*ranks, min_cohort=min_cohort)


@pytest.mark.parametrize("rank", [0, -1, 17, 257, 2.0, True, "4"])
def test_rank_of_a_site_that_cannot_be_is_refused(rank: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=r"rank"):
        with_ranks(rank, 16, 16, min_cohort=2)


ORTHONORMAL = [
    {"aggregation": "fedsvd"},
    {"a_init": "orthonormal"},
    {"aggregation": "alternate", "a_init": "orthonormal"},
]


@pytest.mark.parametrize("lora", ORTHONORMAL)
def test_rank_above_the_inputs_is_refused_where_rows_shall_be_orthonormal(lora: dict[str, str]) -> None:
    narrow = [{"name": "m.lora_A.weight", "shape": [2, 1]}, {"name": "m.lora_B.weight", "shape": [3, 2]}]
    with pytest.raises(ConfigError, match=r"lora.rank 2 is above the 1 inputs of m.lora_A.weight"):
        make_plan(lora=lora, layout=narrow)
    square = [{"name": "m.lora_A.weight", "shape": [2, 2]}, {"name": "m.lora_B.weight", "shape": [1, 2]}]
    assert make_plan(lora=lora, layout=square)
    assert make_plan(layout=narrow), "a random start needs no room"


@pytest.mark.parametrize("method", ["fedavg", "FFA", "", None, 1])
def test_unknown_method_is_refused(method: object) -> None:
    with pytest.raises(ConfigError, match=r"lora.aggregation"):
        make_plan(lora={"aggregation": method})


@pytest.mark.parametrize(
    ("server", "step"),
    [
        ({}, 1.0),
        ({"optimizer": "fedadam"}, 0.01),
        ({"learning_rate": 0.5}, 0.5),
        ({"optimizer": "fedadam", "learning_rate": 0.5}, 0.5),
    ],
)
def test_step_length_is_the_plans_or_the_optimisers(server: dict[str, Any], step: float) -> None:
    assert ServerPlan.model_validate_json(json.dumps(server)).step_length == step


@pytest.mark.parametrize("name", ["beta1", "beta2"])
@pytest.mark.parametrize("value", [1.0, -0.1, 2.0])
def test_decay_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        make_plan(server={name: value})


def test_default_policy_allows_the_exact_methods_alone() -> None:
    assert SitePolicy().aggregations == ("ffa", "fedsvd", "alternate")
