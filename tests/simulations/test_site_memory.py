import json

import numpy as np
import pytest

from fedward.client.duties import Contribution
from fedward.client.masked_run import Memory
from fedward.common.errors import ConfigError
from fedward.common.messages import fedward_pb2 as pb
from fedward.common.secagg.state import State
from fedward.simulations.site_memory import memory_from_bytes, memory_to_bytes
from tests.masked_federation import MASKED, agent_of, masked_federation, stopped_at


def memory_at(profile: str, kind: int, **secagg: object) -> Memory:
    federation = masked_federation(profile, secagg=secagg)
    agent = agent_of(federation)
    stopped_at(federation, kind, agent)
    assert agent.memory is not None
    return agent.memory


@pytest.mark.parametrize("kind", [pb.TRAIN, pb.RUN_END])
@pytest.mark.parametrize("profile", MASKED)
def test_memory_survives_its_bytes(profile: str, kind: int) -> None:
    memory = memory_at(profile, kind)
    again = memory_from_bytes(memory_to_bytes(memory))
    # Replies that were given do not travel.
    assert again.state == State(**{**{n: getattr(memory.state, n) for n in State.__slots__}, "answers": {}})
    assert (again.clip_norm, again.heard_s) == (memory.clip_norm, memory.heard_s)


def test_an_update_that_waits_for_its_cohort_survives_too() -> None:
    memory = memory_at("strict", pb.MASK, late_cohort=True)
    again = memory_from_bytes(memory_to_bytes(memory))
    assert isinstance(memory.parked, Contribution)
    assert isinstance(again.parked, Contribution)
    assert np.array_equal(again.parked.update, memory.parked.update)
    assert again.parked.update.dtype == np.float32
    assert (again.parked.weight, again.parked.dither_key) == (memory.parked.weight, memory.parked.dither_key)


@pytest.mark.parametrize("raw", [["Popen", {}], ["tuple", []], None, ["State", {}]])
def test_nothing_but_a_memory_comes_out(raw: object) -> None:
    with pytest.raises(ConfigError):
        memory_from_bytes(json.dumps(raw).encode())


def test_what_is_no_part_of_a_memory_is_not_written() -> None:
    with pytest.raises(ConfigError, match="holds a set"):
        memory_to_bytes(Memory(parked={1}))  # type: ignore[arg-type]
