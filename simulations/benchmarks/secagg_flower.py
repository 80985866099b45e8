"""Flower's SecAgg+ for the benchmark: its own client stage and its own workflow stages, without transport.

The client stage is the function that its mod calls; the server's stages are the methods of its workflow, given a grid
that has every reply at hand. All sites are one another's neighbours. Every key, share and packet is real; at the server
all replies hold the measured site's masked vector, for the sums cost the same whatever is in them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_WEIGHT, NUM_EXAMPLES = 1000.0, 1000


@dataclass
class FlowerCohort:
    """Sites that have dealt their shares; as good for any vector length.

    Args:
        num_sites: n.
        threshold: shares that rebuild a secret.
    """

    num_sites: int
    threshold: int
    states: dict[int, Any] = field(init=False, default_factory=dict)
    packets: dict[int, dict[int, bytes]] = field(init=False, default_factory=dict)
    """By holder and dealer."""
    public_keys: dict[int, list[bytes]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        mod = _mod()
        setup = {
            "sample_num": self.num_sites,
            "share_num": self.num_sites,
            "threshold": self.threshold,
            "clipping_range": 8.0,
            "target_range": 1 << 22,
            "mod_range": 1 << 32,
            "max_weight": MAX_WEIGHT,
        }
        for node in range(1, self.num_sites + 1):
            state = mod.SecAggPlusState()
            state.nid = node
            given = mod._setup(state, setup)
            self.states[node] = state
            self.public_keys[node] = [_bytes(given["pk1"]), _bytes(given["pk2"])]
        for node, state in self.states.items():
            named = {str(other): pair for other, pair in self.public_keys.items()}
            given = mod._share_keys(state, named)
            for holder, packet in zip(_list(given["dsts"]), _list(given["ctxts"]), strict=True):
                self.packets.setdefault(holder, {})[node] = packet
        for node in self.states:
            self._hold(node)

    def _hold(self, node: int) -> None:
        """Open the packets, as the client stage does, so that the site can answer the last trip."""
        from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt
        from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_separate

        state = self.states[node]
        for dealer, packet in self.packets[node].items():
            _, _, of_seed, of_key = share_keys_plaintext_separate(decrypt(state.ss2_dict[dealer], packet))
            state.rd_seed_share_dict[dealer], state.sk1_share_dict[dealer] = of_seed, of_key

    def client(self, update: NDArray[np.float32], node: int = 1) -> Callable[[], list[bytes]]:
        """A site's third stage: packets opened, update quantised and masked."""
        from flwr.common import ndarrays_to_parameters

        mod = _mod()
        parameters = ndarrays_to_parameters([update])
        packets = self.packets[node]
        configs = {"ctxts": list(packets.values()), "srcs": list(packets)}

        def stage() -> list[bytes]:
            made = mod._collect_masked_vectors(
                self.states[node],
                configs,
                NUM_EXAMPLES,
                parameters,
            )
            return _list(made["masked_params"])

        return stage

    def server(
        self, vectors: Mapping[int, list[bytes]], results: list[NDArray[Any]] | None = None
    ) -> Callable[[], None]:
        """The workflow's last two stages, for the sites whose masked vectors these are.

        Args:
            vectors: by site; the others have dropped out.
            results: gets the mean.
        """
        from flwr.server.workflow import SecAggPlusWorkflow

        mod = _mod()
        alive, dead = list(vectors), [node for node in self.states if node not in vectors]
        asked = {"active_nids": alive, "dead_nids": dead}
        collected = [self._reply(node, {"masked_params": vectors[node]}, with_result=True) for node in alive]
        released = [self._reply(node, mod._unmask(self.states[node], asked)) for node in alive]
        workflow = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=self.threshold, max_weight=MAX_WEIGHT)

        def stages() -> None:
            state, context = self._state(), _context(results)
            grid: Any = _Grid(iter((collected, released)))
            if not workflow.collect_masked_vectors_stage(grid, context, state):
                raise RuntimeError("Flower halted")
            if not workflow.unmask_stage(grid, context, state):
                raise RuntimeError("Flower halted")

        return stages

    def _state(self) -> Any:  # noqa: ANN401 - Flower's
        from flwr.app import RecordDict
        from flwr.server.workflow.secure_aggregation.secaggplus_workflow import WorkflowState

        nodes = set(self.states)
        state = WorkflowState()
        state.nid_to_fitins = {node: RecordDict() for node in nodes}
        state.nid_to_proxies = {node: SimpleNamespace(node_id=node) for node in nodes}  # type: ignore[misc]
        state.sampled_node_ids, state.active_node_ids = set(nodes), set(nodes)
        state.num_shares, state.threshold = self.num_sites, self.threshold
        state.clipping_range, state.quantization_range = 8.0, 1 << 22
        state.mod_range, state.max_weight = 1 << 32, MAX_WEIGHT
        state.nid_to_neighbours = {node: set(nodes) for node in nodes}
        state.nid_to_publickeys = dict(self.public_keys)
        state.forward_srcs = {node: [] for node in nodes}
        state.forward_ciphertexts = {node: [] for node in nodes}
        return state

    def _reply(self, node: int, record: Mapping[str, Any], *, with_result: bool = False) -> Any:  # noqa: ANN401
        from flwr.app import ConfigRecord, Message, RecordDict
        from flwr.common import Code, FitRes, Parameters, Status
        from flwr.compat.common import recorddict_compat

        content = RecordDict()
        if with_result:
            empty = FitRes(Status(Code.OK, ""), Parameters([], "numpy.ndarray"), NUM_EXAMPLES, {})
            content = recorddict_compat.fitres_to_recorddict(empty, keep_input=False)
        content.config_records["secaggplus_configs"] = ConfigRecord(dict(record))
        request = Message(RecordDict(), dst_node_id=node, message_type="train")
        return Message(content, reply_to=request)


@dataclass
class _Grid:
    """Every trip's replies are there."""

    replies: Any

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> Sequence[Any]:
        found: Sequence[Any] = next(self.replies)
        return found


def _context(results: list[NDArray[Any]] | None) -> Any:  # noqa: ANN401 - as much of Flower's as its stages look at
    from flwr.common import parameters_to_ndarrays

    def aggregate_fit(_: int, given: list[Any], __: list[Any]) -> tuple[None, dict[str, Any]]:
        if results is not None:
            results[:] = parameters_to_ndarrays(given[0][1].parameters)
        return None, {}

    records = {"config": {"current_round": 1}}
    return SimpleNamespace(
        state=SimpleNamespace(config_records=records), strategy=SimpleNamespace(aggregate_fit=aggregate_fit)
    )


def _mod() -> Any:  # noqa: ANN401
    """The module; its package names the function in it alike."""
    return importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("Flower's stage gave no list")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("Flower's stage gave no bytes")
    return value
