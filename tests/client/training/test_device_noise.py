"""Noise drawn ahead, and the normals that a device makes of random words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fedward.client.training import device_noise
from fedward.client.training.device_noise import NoiseSource, normals_on
from fedward.common.privacy.noise import Entropy

KEY = bytes(range(32))
CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_drawn_ahead_or_not_it_is_the_same_noise(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_noise, "_AHEAD", 1)
    source = NoiseSource(Entropy.seeded(KEY), count, CPU)
    source.begin()
    assert np.array_equal(source.take(), Entropy.seeded(KEY).normals(count))


def test_noise_is_never_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_noise, "_AHEAD", 1)
    source = NoiseSource(Entropy.system(), 100, CPU)
    source.begin()
    source.begin()
    draws = [source.take() for _ in range(3)]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


def test_what_was_drawn_ahead_can_be_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_noise, "_AHEAD", 1)
    source = NoiseSource(Entropy.seeded(KEY), 100, CPU)
    source.begin()
    source.forget()
    entropy = Entropy.seeded(KEY)
    entropy.normals(100)
    assert np.array_equal(source.take(), entropy.normals(100))


def test_a_failure_in_the_thread_is_a_failure_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class _BrokenError(Exception):
        pass

    def broken(*_: object) -> None:
        raise _BrokenError

    monkeypatch.setattr(device_noise, "_AHEAD", 1)
    monkeypatch.setattr(Entropy, "normals", broken)
    source = NoiseSource(Entropy.seeded(KEY), 10, CPU)
    source.begin()
    with pytest.raises(_BrokenError):
        source.take()


def test_a_devices_normals_are_box_muller_of_the_words() -> None:
    count, half = 7, 4
    words = Entropy.seeded(KEY).words(2 * 4 * half).reshape(2, 4, half)
    radius = np.sqrt(-2.0 * np.log((words[0].astype(np.float64) + 1.0) * 2.0**-64))
    angle = (words[1] >> np.uint64(11)).astype(np.float64) * 2.0**-53 * 2.0 * math.pi
    expected = np.concatenate([(radius * np.cos(angle)).sum(0), (radius * np.sin(angle)).sum(0)])[:count] / 2.0
    found = normals_on(CPU, Entropy.seeded(KEY), count)
    assert found.dtype == torch.float32
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_a_devices_normals_are_normal_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_noise, "_CHUNK", 1 << 13)
    drawn = normals_on(CPU, Entropy.seeded(KEY), 100_001).double()
    assert float(drawn.mean()) == pytest.approx(0.0, abs=5 / math.sqrt(100_001))
    assert float(drawn.var()) == pytest.approx(1.0, abs=5 * math.sqrt(2 / 100_001))
    assert float((drawn**4).mean()) == pytest.approx(3.0, abs=5 * math.sqrt(96 / 100_001))
    first, second = drawn[: 1 << 14], drawn[1 << 14 : 1 << 15]
    assert abs(float((first * second).mean())) <= 5 / math.sqrt(1 << 14), "chunks take words of their own"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_normals_of_the_same_words() -> None:
    there = normals_on(torch.device("cuda"), Entropy.seeded(KEY), 100_001).cpu()
    assert np.allclose(there, normals_on(CPU, Entropy.seeded(KEY), 100_001), rtol=1e-6, atol=1e-6)
