"""The Flower apps of a simulation under ``flwr run``: the same round loop and the same site agents as in process.

A Ray actor serves many nodes and keeps no object of a node. What a real site has on its disk, a simulated one has in a
file of the run's folder. What a real site's daemon has in its memory alone, the secrets of a masked round, travels as
bytes in the node's ``Context.state``: in a simulation only, where one machine plays all parties and may know all
secrets. The base is loaded once per actor and the adapters are swapped.

Not handled here: the exchange of the ledgers' heads. A part in it lasts as long as a site's process, and here none
does: the ledgers of such a run hold by themselves, and nobody countersigned them.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, Message
from flwr.serverapp import Grid, ServerApp

from fedward.client.imports import stored_patients
from fedward.client.relay import client_app as relay_app
from fedward.client.run_state import site_store
from fedward.client.site_folder import SiteFolder
from fedward.client.training.session import AdapterSession
from fedward.common.config import COORDINATOR
from fedward.common.errors import RunError
from fedward.common.logs.logger import log
from fedward.common.messages import wire
from fedward.server.app import FlowerGrid, SystemClock, delivery, pack
from fedward.server.rounds import RoundLoop
from fedward.server.run_log import RunLog
from fedward.simulations.flower_files import EventLog, RunFolder
from fedward.simulations.job import SimulationJob, aggregator
from fedward.simulations.parties import open_coordinator, open_site
from fedward.simulations.site_memory import memory_from_bytes, memory_to_bytes
from fedward.simulations.sites import SiteData, SitePatients, site_agent, tokenise

HELLO = b"fedward/simulation/hello"
"""Asks a simulated node which site it plays. Flower's node ids are random, so nothing else tells."""

FOLDER_KEY = "run-folder"
_STATE = "fedward-simulation-only"
_HELLO_TIMEOUT_S = 300.0


# ---------------------------------------------------------------------------------------------------- sites


def _answer(request: bytes, context: Context) -> bytes:
    job = _job(_folder(context))
    place = int(str(context.node_config["partition-id"]))
    site_id = job.plan.sites[place].id
    if request == HELLO:
        return site_id.encode()
    with open_site(Path(job.out), site_id, job.identity(site_id)) as site:
        data = _site_data(_folder(context), site)
        agent = site_agent(job, data, _session(_folder(context)), store=site_store(site))
        remembered = _load_memory(context)
        if remembered:
            agent.memory = memory_from_bytes(remembered)
        with log.shown_on(lambda: sys.stderr):
            reply = agent.handle(request)
        memory = agent.memory
        _save_memory(context, b"" if memory is None else memory_to_bytes(memory))
    return reply


def _folder(context: Context) -> str:
    return str(context.run_config[FOLDER_KEY])


def _load_memory(context: Context) -> bytes:
    records = context.state.array_records
    return bytes(records[_STATE][wire.ARRAY].data) if _STATE in records else b""


def _save_memory(context: Context, memory: bytes) -> None:
    array = Array(dtype=wire.DTYPE, shape=(len(memory),), stype=wire.STYPE, data=memory)
    context.state[_STATE] = ArrayRecord({wire.ARRAY: array})


@functools.lru_cache(maxsize=1)
def _job(folder: str) -> SimulationJob:
    return SimulationJob.from_file(RunFolder(Path(folder)).job)


@functools.lru_cache(maxsize=1)
def _session(folder: str) -> AdapterSession:
    import torch

    from fedward.client.training.base_model import Base, load_base

    torch.set_num_threads(1)
    job = _job(folder)
    base = Base(name=job.base_name, path=Path(job.base_path), digest=job.base_digest)
    model, tokenizer = load_base(base, dtype=job.plan.base.dtype, quantization=job.plan.base.quantization)
    return AdapterSession(model, tokenizer, job.plan)


_DATA: dict[tuple[str, str], SiteData] = {}
"""Token ids of the sites that this actor has played, in its memory alone."""


def _site_data(folder: str, site: SiteFolder) -> SiteData:
    """A site's records out of its vault, as the process that started the run put them there."""
    if (folder, site.site_id) not in _DATA:
        stored = stored_patients(site)
        patients = SitePatients(train=stored.train, heldout=stored.heldout)
        _DATA[folder, site.site_id] = tokenise(_job(folder).recipe, site.site_id, patients, _session(folder).tokenizer)
    return _DATA[folder, site.site_id]


client_app = relay_app(_answer)


# ---------------------------------------------------------------------------------------------- coordinator


def _nodes(transport: Grid, num_sites: int) -> dict[str, int]:
    """Site id to node id, by asking every node once."""
    clock = SystemClock()
    deadline = clock.now_s() + _HELLO_TIMEOUT_S
    while len(nodes := list(transport.get_node_ids())) < num_sites:
        if clock.now_s() > deadline:
            raise RunError(f"{len(nodes)} of {num_sites} simulated nodes came up")
        clock.wait_s(0.1)
    asked = {
        next(iter(transport.push_messages([Message(pack(HELLO), node, wire.MESSAGE_TYPE)]))): node for node in nodes
    }
    found: dict[str, int] = {}
    while asked and clock.now_s() < deadline:
        for reply in transport.pull_messages(list(asked)):
            came = delivery(reply)
            node = asked.pop(came.message_id)
            if came.error is not None:
                raise RunError(f"a simulated node failed: {came.error.name.lower()}")
            found[came.payload.decode()] = node
        clock.wait_s(0.1)
    if asked:
        raise RunError(f"{len(asked)} of {num_sites} simulated nodes did not say which site they play")
    return found


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the round loop on Flower's Grid and leave the result in the run's folder."""
    folder = RunFolder(Path(_folder(context)))
    try:
        job = SimulationJob.from_file(folder.job)
        with open_coordinator(Path(job.out), job.identity(COORDINATOR)) as server:
            loop = RoundLoop(
                plan_bytes=job.plan_bytes,
                run_id=job.run_id,
                identity=job.identity(COORDINATOR),
                roster=job.roster(),
                grid=FlowerGrid(grid, _nodes(grid, len(job.plan.sites))),
                clock=SystemClock(),
                aggregator=aggregator(),
                observer=RunLog(log, job.run_id, [site.id for site in job.plan.sites], EventLog(folder.events)),
                ledger=server.trail,
            )
            folder.write_result(loop.run())
    except Exception as error:
        folder.write_failure(error)
        raise
