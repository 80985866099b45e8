"""The benchmark of desensitisation measures real work on both sides; its figures are not judged here."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from fedward.cli import main
from fedward.simulations.benchmarks import scrub, scrub_peers
from fedward.simulations.scrub_corpus.generator import corpus

KEYS = {
    "structured_mb_per_cpu_s",
    "names_mb_per_cpu_s",
    "speedup_vs_presidio_structured",
    "speedup_vs_presidio_names",
    "speedup_vs_jionlp",
    "hits_per_kb",
}


def test_the_fastest_peer_is_the_one_compared_with() -> None:
    rates = {
        "presidio shipped": 1.0,
        "presidio shipped and Chinese": 2.0,
        "presidio patterns alone": 9.0,
        "jionlp": 5.0,
    }
    assert scrub.fastest(rates, having="presidio", without=scrub.PATTERNS_ALONE) == 2.0
    assert scrub.fastest(rates, having="lac") is None


def test_a_missing_peer_makes_the_verdict_say_so_and_a_miss_fails() -> None:
    figures: dict[str, Any] = {**dict.fromkeys(scrub.BOUNDS, 1e9), "is_judged": True}
    assert scrub._judged(figures) == {"misses": {}, "verdict": "ok"}
    found = scrub._judged({**figures, "speedup_vs_jionlp": None})
    assert found["verdict"].startswith("ok; not measured")
    assert "speedup_vs_jionlp" in found["verdict"]
    assert scrub._judged({**figures, "names_mb_per_cpu_s": 0.5})["misses"] == {"names_mb_per_cpu_s": 0.5}
    assert "names_mb_per_cpu_s" in scrub._judged({**figures, "names_mb_per_cpu_s": float("nan")})["misses"]


def test_a_peer_that_cannot_be_made_is_named_with_the_reason() -> None:
    def make() -> scrub_peers.Run:
        raise ImportError("no such package")

    made, missing = scrub_peers._made({"other": make})
    assert made == {}
    assert missing == {"other": "ImportError: no such package"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_peers_find_something_and_touch_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a peer opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    texts = [one.text for one in corpus(1, 30, "zh", hits_per_kb=14.0)]
    peers, _ = scrub_peers.structured("zh")
    if not peers:
        pytest.skip("no peer is installed")
    assert all(run(texts) > 0 for run in peers.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_quick_run_prints_one_json_object_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fedward", "bench", "scrub", "--quick", "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures) >= KEYS
    assert figures["verdict"].startswith("not judged")
    assert figures["structured_mb_per_cpu_s"] > 0
    assert set(figures["definitions"]) <= set(figures)
