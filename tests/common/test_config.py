import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel

from fedward.common import config, settings
from fedward.common.config import RunPlan, Settings, SitePolicy, digest_of, read_toml, to_json, validated
from fedward.common.errors import ConfigError, PlanError
from tests.federation_simulator import make_plan
from tests.strategies import plans

MINIMAL = """
schema = "fedward.plan/1"
name = "three hospitals"

[secagg]
profile = "strict"

[[sites]]
id = "a"
nominal_units = 100

[[sites]]
id = "b"
nominal_units = 100

[[sites]]
id = "c"
nominal_units = 100
"""


def plan_of(text: str) -> RunPlan:
    return validated(RunPlan, to_json(tomllib.loads(text), "the plan"), "the plan")


def with_value(path: str, value: Any) -> bytes:  # noqa: ANN401
    """The minimal plan with one value set, as the JSON that Python would write, NaN included."""
    document: dict[str, Any] = tomllib.loads(MINIMAL)
    *tables, name = path.split(".")
    inner = document
    for table in tables:
        inner = inner.setdefault(table, {})
    inner[name] = value
    return json.dumps(document).encode()


def models() -> list[type[Settings]]:
    found = [value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Settings)]
    return [model for model in found if model is not Settings]


def test_minimal_plan_has_the_documented_defaults() -> None:
    plan = plan_of(MINIMAL)
    assert (plan.rounds, plan.privacy.epsilon, plan.privacy.delta) == (5, 5.0, 1e-5)
    assert plan.privacy.mode is config.PrivacyMode.LOCAL
    assert plan.privacy.unit is config.PrivacyUnit.PATIENT
    assert plan.is_private


@given(plans())
def test_bytes_and_back_is_the_identity(plan: RunPlan) -> None:
    raw = plan.to_bytes()
    assert RunPlan.from_bytes(raw) == plan
    assert RunPlan.from_bytes(raw).to_bytes() == raw


def test_digest_is_of_the_exact_bytes() -> None:
    raw = plan_of(MINIMAL).to_bytes()
    assert digest_of(raw) != digest_of(raw + b" ")
    assert RunPlan.from_bytes(raw + b" ") == RunPlan.from_bytes(raw)


FLOATS = [
    "lora.alpha",
    "privacy.epsilon",
    "privacy.delta",
    "privacy.clip_norm",
    "privacy.noise_multiplier",
    "training.sample_rate",
    "training.learning_rate",
    "server.learning_rate",
    "server.beta1",
    "server.beta2",
    "secagg.sum_norm_bound",
    "secagg.reply_timeout_s",
    "secagg.trip_timeout_s",
    "secagg.weight_noise_multiplier",
    "evaluation.heldout_share",
]
NOT_NUMBERS = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "true": True, "text": "1", "list": [1]}
COUNTS = ["rounds", "seed", "lora.rank", "training.steps_per_round", "secagg.min_cohort", "secagg.max_attempts"]


def test_table_of_numbers_holds_every_float_of_a_plan() -> None:
    def floats(model: type[BaseModel], prefix: str = "") -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= floats(kind, f"{prefix}{name}.")
            elif re.search(r"\bfloat\b", str(kind)):
                found.add(prefix + name)
        return found

    assert floats(RunPlan) == set(FLOATS)


@pytest.mark.parametrize("kind", NOT_NUMBERS)
@pytest.mark.parametrize("path", FLOATS)
def test_what_is_no_finite_number_is_refused_by_name(path: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=path):
        RunPlan.from_bytes(with_value(path, NOT_NUMBERS[kind]))


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, "3", None, math.nan])
@pytest.mark.parametrize("path", [path for path in COUNTS if path != "seed"])
def test_what_is_no_count_is_refused_by_name(path: str, value: object) -> None:
    with pytest.raises(ConfigError, match=path):
        RunPlan.from_bytes(with_value(path, value))


@pytest.mark.parametrize("value", [-1, 1 << 63, True, "0"])
def test_seed_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="seed"):
        RunPlan.from_bytes(with_value("seed", value))


OUT_OF_RANGE: dict[str, list[object]] = {
    "privacy.delta": [0, -1e-5, 1e-2],
    "privacy.epsilon": [0, -1],
    "privacy.clip_norm": [0, -1],
    "privacy.noise_multiplier": [0, -1],
    "training.sample_rate": [0, -0.1, 1.0001],
    "evaluation.heldout_share": [-0.1, 1],
    "secagg.profile": ["resilient", "none", ""],
    "secagg.ring_bits": [16, 64],
    "secagg.weights": ["data", ""],
    "privacy.mode": ["off", ""],
    "base.digest": ["00", "G" * 64, "A" * 64],
    "name": [""],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in OUT_OF_RANGE.items() for value in values]
)
def test_value_out_of_range_is_refused_by_name(path: str, value: object) -> None:
    with pytest.raises(ConfigError, match=path):
        RunPlan.from_bytes(with_value(path, value))


@pytest.mark.parametrize("path", ["epsilon", "privacy.sigma", "secagg.masked", "training.nested"])
def test_unknown_key_is_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{path}'"):
        RunPlan.from_bytes(with_value(path, 1))


@pytest.mark.parametrize("missing", ["schema", "name", "sites"])
def test_missing_setting_is_named(missing: str) -> None:
    document = tomllib.loads(MINIMAL)
    del document[missing]
    with pytest.raises(ConfigError, match=f"'{missing}' is missing"):
        RunPlan.from_bytes(json.dumps(document).encode())


def test_empty_plan_is_refused() -> None:
    with pytest.raises(ConfigError, match="'schema' is missing"):
        plan_of("")


def test_plan_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="schema"):
        RunPlan.from_bytes(with_value("schema", "fedward.plan/2"))


def test_plan_without_sites_is_refused() -> None:
    with pytest.raises(ConfigError, match="sites"):
        RunPlan.from_bytes(with_value("sites", []))


def test_two_sites_with_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="two sites have the same id"):
        plan_of(MINIMAL.replace('"b"', '"a"'))


@pytest.mark.parametrize("site_id", ["", "a b", "a\n", "é", "x" * 65])
def test_name_that_is_no_site_id_is_refused(site_id: str) -> None:
    with pytest.raises(ConfigError, match=r"sites\.0\.id"):
        RunPlan.from_bytes(with_value("sites", [{"id": site_id, "nominal_units": 1}]))


def test_cohort_of_all_sites_passes_and_a_larger_one_is_refused() -> None:
    RunPlan.from_bytes(with_value("secagg.min_cohort", 3))
    with pytest.raises(ConfigError, match="min_cohort is 4, but there are 3 sites"):
        RunPlan.from_bytes(with_value("secagg.min_cohort", 4))


def test_all_linear_stands_alone() -> None:
    with pytest.raises(ConfigError, match="all-linear"):
        RunPlan.from_bytes(with_value("lora.targets", ["all-linear", "q_proj"]))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"plan"', b"{}" * 2])
def test_bytes_that_are_no_plan_are_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="the plan"):
        RunPlan.from_bytes(raw)


def test_longest_plan_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = plan_of(MINIMAL).to_bytes()
    monkeypatch.setattr(config, "MAX_CONFIG_BYTES", len(raw) - 1)
    with pytest.raises(ConfigError, match="too long"):
        RunPlan.from_bytes(raw)


def test_site_of_the_plan_is_found_and_a_stranger_refused() -> None:
    plan = plan_of(MINIMAL)
    assert plan.site("b").nominal_units == 100
    with pytest.raises(PlanError, match="'mallory'"):
        plan.site("mallory")


def test_plan_without_privacy_says_so() -> None:
    assert not RunPlan.from_bytes(with_value("privacy.mode", "none")).is_private


def test_settings_are_frozen() -> None:
    plan = plan_of(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        plan.rounds = 9


def test_policy_allows_the_masked_profiles_alone_unless_told() -> None:
    assert SitePolicy().profiles == ("strict", "resilient", "resilient-malicious")
    assert SitePolicy().privacy_modes == (config.PrivacyMode.LOCAL,)


def secagg_plan(num_sites: int, **secagg: object) -> RunPlan:
    return make_plan(secagg=secagg, sites=[{"id": f"s{i}", "nominal_units": 100} for i in range(num_sites)])


def test_profile_is_resilient_unless_told() -> None:
    document = tomllib.loads(MINIMAL)
    del document["secagg"]
    document["sites"].append({"id": "d", "nominal_units": 100})
    assert RunPlan.from_bytes(json.dumps(document).encode()).secagg.profile == "resilient"


UNUSABLE: dict[str, tuple[int, dict[str, object], str]] = {
    "three sites cannot do without one": (3, {"profile": "resilient"}, "secagg.profile = strict"),
    "nor where they confirm": (3, {"profile": "resilient-malicious"}, "secagg.profile = strict"),
    "two sites learn each other's update": (2, {"profile": "strict", "min_cohort": 3}, "min_cohort is 3"),
    "one site has nobody to hide among": (1, {"profile": "strict", "min_cohort": 1}, "plain_ring"),
    "strict has no sparse graph": (65, {"profile": "strict"}, "resilient or resilient-malicious"),
    "a sparse graph has no room for so many colluders": (
        65,
        {"profile": "resilient", "assumed_colluders": 53},
        "assumed_colluders",
    ),
    "a sparse graph ends at 1024 sites": (1025, {"profile": "resilient"}, "fewer sites.*plain_ring"),
    "too many colluders": (4, {"profile": "resilient", "assumed_colluders": 2}, "secagg.assumed_colluders lower"),
    "more survivors than sites": (
        4,
        {"profile": "resilient", "min_survivors": 5},
        "min_survivors is 5, but there are 4",
    ),
    "late cohort with masks that bear lost sites": (4, {"profile": "resilient", "late_cohort": True}, "late_cohort"),
    "late cohort without masks": (4, {"profile": "plain_ring", "late_cohort": True}, "late_cohort"),
}


def test_noise_in_shares_on_a_sparse_graph_is_refused_with_what_to_set() -> None:
    changes: dict[str, Any] = {"privacy": {"mode": "distributed"}, "training": {"steps_per_round": 1}}
    sites = [{"id": f"s{i}", "nominal_units": 100} for i in range(65)]
    secagg = {"profile": "resilient", "weights": "fixed_denominator"}
    with pytest.raises(ConfigError, match=r"64 at most\. Set privacy.mode = local"):
        make_plan(secagg=secagg, sites=sites, **changes)


@pytest.mark.parametrize("name", UNUSABLE)
def test_profile_that_protects_nothing_is_refused_with_a_way_out(name: str) -> None:
    num_sites, secagg, says = UNUSABLE[name]
    with pytest.raises(ConfigError, match=says):
        secagg_plan(num_sites, **secagg)


@pytest.mark.parametrize(
    ("num_sites", "secagg"),
    [
        (2, {"profile": "strict", "min_cohort": 2}),
        (3, {"profile": "strict", "min_cohort": 3}),
        (4, {"profile": "resilient", "min_cohort": 3}),
        (4, {"profile": "resilient-malicious", "min_cohort": 4}),
        (64, {"profile": "resilient", "min_cohort": 3}),
        (1, {"profile": "plain_ring", "min_cohort": 1}),
    ],
)
def test_profile_at_the_edge_of_what_it_can_do_passes(num_sites: int, secagg: dict[str, object]) -> None:
    assert secagg_plan(num_sites, **secagg).secagg.profile == secagg["profile"]


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_policy_without_a_finite_limit_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="max_epsilon"):
        validated(SitePolicy, json.dumps({"max_epsilon": value}).encode(), "the policy")


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_setting_is_documented(model: type[Settings]) -> None:
    def documents_itself(kind: object) -> bool:
        return isinstance(kind, type) and issubclass(kind, Settings) and bool(kind.__doc__)

    bare = [
        name
        for name, field in model.model_fields.items()
        if not field.description and not documents_itself(field.annotation)
    ]
    assert bare == []


def test_second_fault_is_counted() -> None:
    with pytest.raises(ConfigError, match=r"\(and 1 more\)"):
        RunPlan.from_bytes(with_value("privacy", {"epsilon": -1, "delta": -1}))


def test_fault_does_not_quote_the_value() -> None:
    with pytest.raises(ConfigError) as caught:
        RunPlan.from_bytes(with_value("rounds", "secret text"))
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- TOML


def test_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(MINIMAL, "utf-8")
    assert read_toml(path)["name"] == "three hospitals"


@pytest.mark.parametrize("raw", [b"a = ", b"\xff", b"a = 1\na = 2"], ids=["cut", "not utf-8", "repeated key"])
def test_file_that_is_no_toml_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="not a TOML file"):
        read_toml(path)


def test_missing_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        read_toml(tmp_path / "plan.toml")
    assert caught.value.advice == "Check the path."


def test_long_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(MINIMAL, "utf-8")
    monkeypatch.setattr(settings, "MAX_CONFIG_BYTES", 10)
    with pytest.raises(ConfigError, match="longer than 10 bytes"):
        read_toml(path)


@pytest.mark.parametrize("text", ["a = nan", "a = inf", "a = -inf", "a = 2026-01-01", "a = 07:32:00"])
def test_toml_value_that_json_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^the plan: "):
        to_json(tomllib.loads(text), "the plan")


@pytest.mark.parametrize("path", ["privacy.clip_norm", "training.sample_rate"])
def test_what_can_be_found_may_be_called_auto(path: str) -> None:
    table, name = path.split(".")
    plan = RunPlan.from_bytes(with_value(path, "auto"))
    assert getattr(getattr(plan, table), name) == "auto"
    assert RunPlan.from_bytes(plan.to_bytes()) == plan


@pytest.mark.parametrize("value", ["Auto", "automatic", "", None, [1.0], 1e7, 1e-7])
def test_what_is_neither_auto_nor_a_clip_norm_is_told_in_one_sentence(value: object) -> None:
    with pytest.raises(ConfigError, match=r'privacy\.clip_norm: expected "auto" or a number from 1e-06 to 1e\+06$'):
        RunPlan.from_bytes(with_value("privacy.clip_norm", value))


def test_a_record_needs_no_more_room_than_itself_in_a_batch() -> None:
    narrow = {"training": {"max_records_per_unit": 100, "max_batch_tokens": 256}}
    with pytest.raises(ConfigError, match="a patient may need max_records_per_unit x max_length_tokens = 25600"):
        make_plan(**narrow)
    assert make_plan(**narrow, privacy={"unit": "record"}).privacy.unit is config.PrivacyUnit.RECORD


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", 10_001])
def test_a_number_of_sites_per_patient_that_cannot_be_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="max_sites_per_unit"):
        RunPlan.from_bytes(with_value("privacy.max_sites_per_unit", value))
