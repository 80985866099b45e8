"""The first three attacks against the SecAgg+ client that Flower ships, driven by messages of a hostile server.

Its client mod runs in this process as a SuperNode would run it: one message in, one out, a context between them. The
masks are taken off with Flower's own functions. A vector counts as recovered if every coordinate is within two
quantisation steps of the truth; Flower rounds up or down at random.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from fedward.simulations.attacks.cohort import update_of

if TYPE_CHECKING:
    from flwr.app import Context, Message

SIZE = 64
CLIPPING, TARGET, MODULUS = 8.0, 1 << 22, 1 << 32
"""Flower's defaults."""
VICTIM = 11


class Site:
    """A node that runs Flower's mod, and what its training gives."""

    def __init__(self, node: int, update: NDArray[np.float32]) -> None:
        from flwr.app import Context, RecordDict

        self.node, self.update = node, update
        self._context: Context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})

    def ask(self, stage: str, **configs: Any) -> dict[str, Any]:  # noqa: ANN401 - a Flower record's values
        """Hand the mod one message of the protocol and take its answer."""
        from flwr.app import ConfigRecord, Message, RecordDict
        from flwr.client.mod import secaggplus_mod
        from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS

        content = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord({"stage": stage, **configs})})
        message = Message(content, dst_node_id=self.node, message_type="train")
        reply = secaggplus_mod(message, self._context, self._train)
        return dict(reply.content.config_records[RECORD_KEY_CONFIGS])

    def _train(self, message: Message, _: Context) -> Message:
        from flwr.app import Message as Reply
        from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
        from flwr.compat.common import recorddict_compat

        result = FitRes(
            status=Status(Code.OK, ""), parameters=ndarrays_to_parameters([self.update]), num_examples=1, metrics={}
        )
        return Reply(recorddict_compat.fitres_to_recorddict(result, keep_input=False), reply_to=message)


@contextmanager
def in_a_task() -> Iterator[None]:
    """As inside a task of Flower's, which messages name, and without its own lines."""
    from flwr.supercore.task_identity import TaskIdentity

    logger = logging.getLogger("flwr")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with mock.patch.multiple(TaskIdentity, _task_id=1, _run_id=1, _node_id=1):
            yield
    finally:
        logger.disabled = was_disabled


def set_up(site: Site, num_sites: int, threshold: int) -> tuple[bytes, bytes]:
    """The first stage: numbers of the server's choice in, two public keys out."""
    given = site.ask(
        "setup",
        sample_num=num_sites,
        share_num=num_sites,
        threshold=threshold,
        clipping_range=CLIPPING,
        target_range=TARGET,
        mod_range=MODULUS,
        max_weight=1.0,
    )
    return given["pk1"], given["pk2"]


def deal(site: Site, keys: Mapping[int, tuple[bytes, bytes]]) -> dict[int, bytes]:
    """The second stage: public keys of all in, encrypted shares for each out."""
    given = site.ask("share_keys", **{str(node): list(pair) for node, pair in keys.items()})
    return dict(zip(given["dsts"], given["ctxts"], strict=True))


def masked_vector(site: Site, packets: Mapping[int, bytes]) -> list[NDArray[Any]]:
    """The third stage: shares of others in, the masked vector out."""
    from flwr.common import bytes_to_ndarray

    given = site.ask("collect_masked_vectors", ctxts=list(packets.values()), srcs=list(packets))
    return [bytes_to_ndarray(raw) for raw in given["masked_params"]]


def shares_of(site: Site, alive: Sequence[int], dead: Sequence[int]) -> list[tuple[int, bytes]]:
    """The last stage: two lists in, shares out, in their order."""
    given = site.ask("unmask", active_nids=list(alive), dead_nids=list(dead))
    return list(zip(given["nids"], given["shares"], strict=True))


def is_recovered(masked: list[NDArray[Any]], truth: NDArray[np.float32], seeds: Mapping[int, bytes]) -> bool:
    """Take off the own mask (under ``VICTIM``) and the pair masks (by peer), and compare."""
    from flwr.common.secure_aggregation.ndarrays_arithmetic import factor_extract, parameters_mod
    from flwr.common.secure_aggregation.quantization import dequantize
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

    shapes = [part.shape for part in masked]
    for peer, seed in seeds.items():
        sign = -1 if peer <= VICTIM else 1
        masked = [part + sign * mask for part, mask in zip(masked, pseudo_rand_gen(seed, MODULUS, shapes), strict=True)]
    factor, vector = factor_extract(parameters_mod(masked, MODULUS))
    found = dequantize(vector, CLIPPING, TARGET)[0]
    step = 2 * CLIPPING / TARGET
    return int(factor) == TARGET and bool(np.all(np.abs(found - np.clip(truth, -CLIPPING, CLIPPING)) < 2 * step))


def substituted_keys() -> bool:
    """All peers are the server's inventions: it gives their keys, and opens what is dealt to them."""
    from flwr.common.secure_aggregation.crypto.shamir import combine_shares
    from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
    from flwr.common.secure_aggregation.secaggplus_utils import (
        share_keys_plaintext_concat,
        share_keys_plaintext_separate,
    )
    from flwr.supercore.primitives.asymmetric import (
        bytes_to_public_key,
        generate_key_pairs,
        public_key_to_bytes,
    )

    victim = Site(VICTIM, update_of("victim", SIZE))
    keys = {VICTIM: set_up(victim, 3, 2)}
    own = {node: (generate_key_pairs(), generate_key_pairs()) for node in (12, 13)}
    keys |= {node: (public_key_to_bytes(one[1]), public_key_to_bytes(two[1])) for node, (one, two) in own.items()}
    packets = deal(victim, keys)
    sealing = {
        node: generate_shared_key(two[0], bytes_to_public_key(keys[VICTIM][1])) for node, (_, two) in own.items()
    }
    opened = {node: share_keys_plaintext_separate(decrypt(sealing[node], raw)) for node, raw in packets.items()}
    forged = {
        node: encrypt(key, share_keys_plaintext_concat(node, VICTIM, b"\0" * 4, b"\0" * 4))
        for node, key in sealing.items()
    }
    masked = masked_vector(victim, forged)
    seeds = {VICTIM: combine_shares([seed_share for _, _, seed_share, _ in opened.values()])}
    for node, (one, _) in own.items():
        seeds[node] = generate_shared_key(one[0], bytes_to_public_key(keys[VICTIM][0]))
    return is_recovered(masked, victim.update, seeds)


def both_kinds() -> bool:
    """Three honest sites; at the end the victim is in both lists of one request."""
    from flwr.common.secure_aggregation.crypto.shamir import combine_shares
    from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
    from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key

    sites = {node: Site(node, update_of(f"site {node}", SIZE)) for node in (VICTIM, 12, 13)}
    keys = {node: set_up(site, 3, 2) for node, site in sites.items()}
    packets = {node: deal(site, keys) for node, site in sites.items()}
    masked = {}
    for node, site in sites.items():
        to_it = {dealer: dealt[node] for dealer, dealt in packets.items() if dealer != node}
        masked[node] = masked_vector(site, to_it)
    given = [shares_of(sites[node], list(sites), [VICTIM]) for node in (12, 13)]
    of_seed = [next(share for node, share in shares if node == VICTIM) for shares in given]
    of_key = [shares[-1][1] for shares in given]
    private = bytes_to_private_key(combine_shares(of_key))
    seeds = {VICTIM: combine_shares(of_seed)}
    for node in (12, 13):
        seeds[node] = generate_shared_key(private, bytes_to_public_key(keys[node][0]))
    return is_recovered(masked[VICTIM], sites[VICTIM].update, seeds)


def cohort_of_one() -> bool:
    """The victim is told that it is alone, and gives the seed of its only mask."""
    from flwr.common.secure_aggregation.crypto.shamir import combine_shares

    victim = Site(VICTIM, update_of("victim", SIZE))
    deal(victim, {VICTIM: set_up(victim, 1, 1)})
    masked = masked_vector(victim, {})
    shares = shares_of(victim, [VICTIM], [])
    return is_recovered(masked, victim.update, {VICTIM: combine_shares([share for _, share in shares])})


ATTACKS: Mapping[str, Callable[[], bool]] = {
    "key substitution": substituted_keys,
    "both share kinds": both_kinds,
    "cohort of one": cohort_of_one,
}


def measure() -> list[dict[str, Any]]:
    """A row for each attack: whether Flower's client gave the victim's vector, and what it objected, if anything."""
    version = importlib.metadata.version("flwr")
    rows = []
    with in_a_task():
        for name, act in ATTACKS.items():
            try:
                recovered, refused = act(), ""
            except (KeyError, TypeError, ValueError) as error:  # how its client refuses
                recovered, refused = False, type(error).__name__
            rows.append(
                {"attack": name, "against": f"flwr {version}", "vector_recovered": recovered, "refused": refused}
            )
    return rows
