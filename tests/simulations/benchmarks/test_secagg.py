"""The benchmark of secure aggregation measures real work on both sides; its figures are not judged here."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import CipherContext

from fedward.cli import main
from fedward.common import _keystream as keystream
from fedward.simulations.attacks.flower import in_a_task
from fedward.simulations.benchmarks import secagg, secagg_bounds
from fedward.simulations.benchmarks.secagg_flower import FlowerCohort
from fedward.simulations.benchmarks.secagg_ours import OurCohort

SMALL = secagg.Scope(sizes=(500,), sites=(5,), repeats=1, memory_size=20_000, is_judged=False)
ROW = {
    "parameters",
    "sites",
    "dropouts",
    "client_speedup_vs_flower",
    "server_speedup_vs_flower",
    "client_over_floor",
    "bytes_per_parameter",
}


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return secagg.measure(SMALL)


def test_every_point_is_measured_without_and_with_dropouts(figures: dict[str, Any]) -> None:
    assert [(row["parameters"], row["sites"], row["dropouts"]) for row in figures["rows"]] == [(500, 5, 0), (500, 5, 1)]
    for row in figures["rows"]:
        assert set(row) >= ROW
        figures_of = {name: value for name, value in row.items() if not name.startswith("meets")}
        assert all(math.isfinite(value) and value >= 0 for value in figures_of.values())


def test_headline_and_rows_are_json_and_defined(figures: dict[str, Any]) -> None:
    again = json.loads(json.dumps(figures))
    headline = {name for name, value in again.items() if isinstance(value, (float, bool))}
    headline = headline - {"is_judged"} | {"server_memory"}
    assert headline == set(again["definitions"]) - {
        "server_over_floor",
        "server_decoding_cpu_s",
        "server_journal_cpu_s",
        "judged points",
    }


def test_memory_of_the_coordinator_is_the_same_for_five_and_for_thirty_two_sites() -> None:
    peaks = {}
    for num_sites in (5, 32):
        ours = OurCohort.of(num_sites, 400_000)
        peaks[num_sites] = ours.peak_bytes_per_parameter(ours.replies())
    assert peaks[32] < 1.1 * peaks[5]
    assert peaks[5] < 12


def test_site_takes_one_vector_beside_its_update() -> None:
    masked, sealed = OurCohort.of(5, 1_000_000).site_bytes_per_parameter()
    assert 4 < masked <= 5.5
    assert sealed < 9.5


@pytest.mark.parametrize("dropped", [(), (3,), (1, 5)])
def test_flowers_stages_as_driven_here_give_the_mean(dropped: tuple[int, ...]) -> None:
    """So what is timed is the real protocol, not a part of it that fails early."""
    with in_a_task():
        cohort = FlowerCohort(5, 3)
        line = np.linspace(-1, 1, 200).astype(np.float32)
        updates = {node: line * np.float32(node / 5) for node in cohort.states}
        vectors = {node: cohort.client(update, node)() for node, update in updates.items()}
        alive = {node: vector for node, vector in vectors.items() if node not in dropped}
        results: list[Any] = []
        cohort.server(alive, results)()
    mean = np.mean([updates[node] for node in alive], axis=0)
    assert np.abs(results[0] - mean).max() < 1e-5


def test_stage_that_is_timed_makes_the_vector_that_the_site_sends() -> None:
    ours = OurCohort.of(5, 300)
    stage, whole = ours.client()
    made = stage().copy()
    reply = whole()
    assert reply is not None
    assert np.array_equal(made, np.frombuffer(ours.cohort.opened(ours.names[0], reply).vector, "<u4"))


def test_floor_is_as_many_streams_as_the_site_has_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, made, real = OurCohort.of(5, 300), set(), keystream.stream

    def note(key: bytes, *, first_word: int = 0) -> CipherContext:
        made.add(key)
        return real(key, first_word=first_word)

    monkeypatch.setattr(keystream, "stream", note)
    ours.keystream_of(5)()
    assert len(made) == 5


def test_bounds_are_missed_by_name() -> None:
    row = {
        "parameters": 1_000_000,
        "sites": 16,
        "client_speedup_vs_flower": 7.0,
        "client_whole_speedup_vs_flower": 4.0,
        "server_speedup_vs_flower": 30.0,
        "server_with_opening_speedup_vs_flower": 9.0,
        "client_over_floor": 2.5,
        "bytes_per_parameter": 4.001,
        "flower_bytes_per_parameter": 8.0,
        "meets_page": True,
    }
    report = secagg._report([row], {"site_memory": 4.5, "server_memory": {"5": 11.0, "32": 13.0}}, secagg.Scope())
    assert not report["meets_issue"]
    assert set(report["misses"]) == {
        "most server_memory",
        "least client_speedup_vs_flower",
        "client_speedup_vs_flower",
        "client_over_floor",
        "server_memory ratio",
    }


def test_least_is_the_least_of_the_repetitions() -> None:
    calls = []
    times = secagg.least({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert set(times) == {"a", "b"}


def test_geometric_mean_of_two_and_eight_is_four() -> None:
    assert secagg_bounds.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_quick_command_prints_a_table_and_one_json_object_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secagg.Scope, "quick", classmethod(lambda cls: SMALL))
    monkeypatch.setattr(sys, "argv", ["fedward", "bench", "secagg", "--quick", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert not ended.value.code
    assert len(json.loads(said.out.splitlines()[-1])["rows"]) == 2
    assert "small grid" in said.err
