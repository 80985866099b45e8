"""The server's half of a deployment on loopback, under Flower's own SuperExec: sends and writes what a folder says.

``requests/NN`` are exact bytes, in order; for each ``replies/NN`` is written, and ``seconds.jsonl`` gets a line.
"""

from __future__ import annotations

import json
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedward.server import collecting
from fedward.server.app import FlowerGrid, SystemClock
from fedward.server.collecting import CollectingGrid
from fedward.server.grid import Delivery, Post
from tests.site_requests import COORDINATOR_KEY, ROSTER, SITE

server_app = ServerApp()
TTL_S = 300.0


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    folder, clock = Path(str(context.run_config["folder"])), SystemClock()
    collecting.RETRY_S = float(str(context.run_config["retry-s"]))
    nodes = list(grid.get_node_ids())
    while not nodes:
        clock.wait_s(0.25)
        nodes = list(grid.get_node_ids())
    network = CollectingGrid(FlowerGrid(grid, {SITE: nodes[0]}), identity=COORDINATOR_KEY, roster=ROSTER, clock=clock)
    for path in sorted((folder / "requests").iterdir()):
        started_s = clock.now_s()
        answer = _asked(network, clock, path.read_bytes())
        seconds = clock.now_s() - started_s
        error = None if answer is None or answer.error is None else answer.error.name
        with (folder / "seconds.jsonl").open("a") as file:
            file.write(json.dumps({"request": path.name, "seconds": seconds, "error": error}) + "\n")
        part = folder / f"{path.name}.part"
        part.write_bytes(b"" if answer is None else answer.payload)
        part.rename(folder / "replies" / path.name)


def _asked(network: CollectingGrid, clock: SystemClock, payload: bytes) -> Delivery | None:
    (message_id,) = network.push([Post(site_id=SITE, payload=payload, ttl_s=TTL_S)])
    assert message_id is not None
    ends_s = clock.now_s() + TTL_S
    while clock.now_s() < ends_s:
        for delivery in network.pull([message_id]):
            return delivery
        clock.wait_s(0.25)
    return None
