import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.secagg.transcript import ZERO_HASH, CohortFacts, Field, digest, transcript
from tests.strategies import transcript_fields

DOCUMENT = json.loads((Path(__file__).parents[2] / "vectors/secagg_v1.json").read_text("utf-8"))
COHORTS = [vector for vector in DOCUMENT["vectors"] if vector["kind"] == "cohort"]

FACTS = CohortFacts(
    run_id=bytes(16),
    roster_hash=ZERO_HASH,
    plan_digest=ZERO_HASH,
    profile="plain_ring",
    round_number=1,
    attempt=0,
    model_digest=ZERO_HASH,
    layout_digest=ZERO_HASH,
    num_coordinates=10,
    ring_bits=32,
    scale_log2=24,
    clamp_log2=24,
    min_survivors=2,
    bundles={"alpha": ZERO_HASH, "beta": ZERO_HASH},
)
OTHER = bytes([1]) * 32
CHANGES: dict[str, Any] = {
    "run_id": bytes([1]) * 16,
    "roster_hash": OTHER,
    "plan_digest": OTHER,
    "profile": "strict",
    "round_number": 2,
    "attempt": 1,
    "model_digest": OTHER,
    "previous_sum_hash": OTHER,
    "layout_digest": OTHER,
    "num_coordinates": 11,
    "ring_bits": 16,
    "scale_log2": -24,
    "clamp_log2": 23,
    "holders_hash": OTHER,
    "min_survivors": 3,
    "assumed_colluders": 1,
    "graph_hash": OTHER,
    "bundles": {"alpha": ZERO_HASH, "gamma": ZERO_HASH},
}


def from_hex(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: bytes.fromhex(text) for name, text in value.items()}
    return value


@pytest.mark.parametrize("vector", COHORTS, ids=lambda vector: vector["name"])
def test_cohort_digest_is_the_known_answer(vector: dict[str, Any]) -> None:
    binary = {name for name in vector["inputs"] if name.endswith(("_id", "_hash", "_digest"))}
    inputs: dict[str, Any] = {
        name: bytes.fromhex(value) if name in binary else from_hex(value) for name, value in vector["inputs"].items()
    }
    assert CohortFacts(**inputs).digest().hex() == vector["expected"]


def test_layout_of_a_transcript_is_length_then_bytes() -> None:
    assert (
        transcript("ab", b"\x01", "é", 258).hex() == "00000002616200000001010000000" + "2c3a9000000080000000000000102"
    )


@pytest.mark.parametrize("number", [-1, 2**64])
def test_integer_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        transcript("label", number)


def spelled(field: Field) -> bytes:
    if isinstance(field, int):
        return field.to_bytes(8, "big")
    return field.encode() if isinstance(field, str) else field


@given(st.lists(transcript_fields, max_size=5), st.lists(transcript_fields, max_size=5))
def test_transcripts_are_equal_only_for_equal_fields(first: list[Field], second: list[Field]) -> None:
    same_bytes = [spelled(field) for field in first] == [spelled(field) for field in second]
    assert (transcript("label", *first) == transcript("label", *second)) is same_bytes


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=2, max_size=5), st.data())
def test_moving_a_byte_across_a_field_changes_the_digest(fields: list[bytes], data: st.DataObject) -> None:
    border = data.draw(st.integers(0, len(fields) - 2))
    moved = list(fields)
    moved[border], moved[border + 1] = fields[border] + fields[border + 1][:1], fields[border + 1][1:]
    assert digest("label", *moved) != digest("label", *fields)


def test_label_is_part_of_the_digest() -> None:
    assert digest("label", b"x") != digest("labe", b"lx")


def test_every_fact_is_in_the_table_of_changes() -> None:
    assert set(CHANGES) == set(CohortFacts.__dataclass_fields__)


@pytest.mark.parametrize("name", CHANGES)
def test_changing_one_fact_changes_the_cohort_digest(name: str) -> None:
    assert replace(FACTS, **{name: CHANGES[name]}).digest() != FACTS.digest()


def test_bundle_of_one_site_is_part_of_the_digest() -> None:
    assert replace(FACTS, bundles={"alpha": ZERO_HASH, "beta": OTHER}).digest() != FACTS.digest()


def test_order_in_which_bundles_were_told_is_irrelevant() -> None:
    assert replace(FACTS, bundles=dict(reversed(list(FACTS.bundles.items())))).digest() == FACTS.digest()
