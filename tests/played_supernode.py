"""A SuperNode's Runtime API on loopback, Flower's own code, with messages that a test puts in."""

from __future__ import annotations

import hashlib
import importlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from flwr.app import Context, Message, RecordDict
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from fedward.common.messages import wire

SECRET = b"shared secret of thirty-two byte"
RUN_ID, NODE_ID, SERIES = 5, 7, 11
HOSTILE_FAB = b"not a FAB at all: whoever opened it would fail"


class PlayedSuperNode:
    """Serves until the block ends."""

    def __init__(self) -> None:
        self.stores = ObjectStoreFactory()
        factory = NodeStateFactory(objectstore_factory=self.stores)
        self.state = factory.state()
        self.store = self.stores.store()
        self.state.set_node_id(NODE_ID)
        self._add_run()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(create_app(factory, SECRET), log_level="error", access_log=False, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> PlayedSuperNode:
        self._thread.start()
        self.until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()

    def _add_run(self) -> None:
        fab = Fab(hashlib.sha256(HOSTILE_FAB).hexdigest(), HOSTILE_FAB, {})
        run = Run.create_empty(RUN_ID)
        run.fab_hash, run.series_id, run.fab_id, run.fab_version = fab.hash_str, SERIES, "fedward/app", "1.0.0"
        self.state.store_fab(fab)
        self.state.store_run(run)
        context = Context(
            run_id=RUN_ID, node_id=NODE_ID, node_config={}, state=RecordDict(), run_config={}, series_id=SERIES
        )
        self.state.set_run_series_context(SERIES, context)

    def put(
        self, content: RecordDict, *, message_type: str = wire.MESSAGE_TYPE, task: str = TaskType.CLIENT_APP
    ) -> int:
        """A message and its task, as the SuperNode's loop stores them; the task's id."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN_ID, 1, 1
        message = Message(content, NODE_ID, message_type)
        run = self.state.get_run(RUN_ID)
        assert run is not None
        task_id = self.state.create_task(task_type=task, run_id=RUN_ID, fab_hash=run.fab_hash)
        assert task_id is not None
        loop = importlib.import_module("flwr.supernode.start_client_internal")
        loop._insert_message(message, self.state, self.store)
        return task_id

    def replies(self) -> list[Message]:
        """Whole replies that have come."""
        found = []
        for message in self.state.get_messages_legacy(is_reply=True):
            tree = self.store.get_object_tree(message.metadata.message_id)
            contents = {node.object_id: self.store.get(node.object_id) for node in _nodes(tree)}
            assert all(contents.values()), "an object of the reply is missing"
            inflated = importlib.import_module("flwr.supercore.inflatable.inflatable_utils")
            found.append(inflated.inflate_object_from_contents(tree.object_id, contents))
        return found

    def task(self, task_id: int) -> str:
        """How a task ended, or how it stands."""
        (found,) = self.state.get_tasks(task_ids=[task_id])
        return str(found.status.sub_status or found.status.status)

    def context_state(self) -> RecordDict:
        """What the run's tasks have written into Flower's context."""
        context = self.state.get_run_series_context(SERIES)
        assert context is not None
        return context.state

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        for _ in range(3000):
            if condition():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not come so far")


def _nodes(tree: Any) -> list[Any]:  # noqa: ANN401 - a protobuf message of Flower's
    children = [node for child in tree.children for node in _nodes(child)]
    return [tree, *children]
