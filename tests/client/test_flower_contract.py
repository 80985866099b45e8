"""Every private name of Flower's that we lean on does what we lean on it for. The pin of Flower moves only with these.

What the resident relay uses (``RuntimeHttpClient``, interceptors, ``pull_task_input``, ``push_message``,
``push_task_output``, ``HeartbeatSender``) is exercised against Flower's own Runtime API, what the launcher uses
(``ProtobufClient.__init__``, ``start_client_internal.time``, the options of ``flower-supernode``) against Flower's own.
"""

import http.server
import importlib
import inspect
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import flwr
import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from flwr.app import Message
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedward.client import relay
from fedward.client.relay import launcher
from fedward.client.relay.resident import Runtime, beats
from fedward.common.errors import ConfigError
from tests.certificates import Authority, Pair, node_key
from tests.played_supernode import SECRET, PlayedSuperNode


def test_flower_is_the_version_that_was_read() -> None:
    assert flwr.__version__.startswith("1.41.")


# ---------------------------------------------------------------------------------------------------- resident relay


@pytest.fixture(scope="module")
def node() -> Iterator[PlayedSuperNode]:
    with PlayedSuperNode() as played:
        yield played


def token_of(node: PlayedSuperNode) -> str:
    client = Runtime(address=node.address, secret=SECRET).superexec()
    taken = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
    client.close()
    return str(taken.token)


def test_a_task_is_taken_pulled_answered_and_ended(node: PlayedSuperNode) -> None:
    task_id = node.put(relay.pack(b"request"))
    client = Runtime(address=node.address, secret=SECRET).task(token_of(node))
    message, context, _, _ = pull_task_input(client)
    assert relay.unpack(message.content) == b"request"
    push_message(client, Message(relay.pack(b"reply"), reply_to=message), context)
    push_task_output(client, None, "completed", "")
    client.close()
    assert [relay.unpack(reply.content) for reply in node.replies()] == [b"reply"]
    assert node.task(task_id) == "completed"


def test_no_task_is_an_empty_answer(node: PlayedSuperNode) -> None:
    assert token_of(node) == ""


def test_a_task_of_another_type_is_not_given_to_us(node: PlayedSuperNode) -> None:
    node.put(relay.pack(b"request"), task=TaskType.AGENT_APP)
    assert token_of(node) == ""


def test_another_secret_gets_no_task(node: PlayedSuperNode) -> None:
    client = Runtime(address=node.address, secret=b"another secret of that length").superexec()
    with pytest.raises(httpx.HTTPStatusError) as caught:
        client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
    client.close()
    assert caught.value.response.status_code == 401


def test_a_heartbeat_of_a_task_that_goes_on_is_taken(node: PlayedSuperNode) -> None:
    node.put(relay.pack(b"request"))
    client = Runtime(address=node.address, secret=SECRET).task(token_of(node))
    pull_task_input(client)
    sender = HeartbeatSender(lambda: beats(client))
    sender.start()
    assert sender.is_running
    sender.stop()
    assert beats(client)
    client.close()


def test_a_heartbeat_of_a_task_that_nobody_knows_is_refused_with_a_status_and_no_signal(node: PlayedSuperNode) -> None:
    client = Runtime(address=node.address, secret=SECRET).task("0" * 64)
    assert beats(client)
    client.close()


# ---------------------------------------------------------------------------------------------------- launcher


@contextmanager
def server(
    certificate: Pair, ca: Path, *, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[tuple[str, list[str]]]:
    """Speaks HTTPS, asks for a certificate of the CA, and notes whose it was."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            raw = self.connection.getpeercert(binary_form=True)
            assert raw is not None
            (name,) = x509.load_der_x509_certificate(raw).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            seen.append(f"{name.value!s} {self.connection.version()}")
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = most
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.handle_error = lambda *_: None  # type: ignore[method-assign]
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.server_address[1]}", seen
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def unhooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test does to Flower is undone."""
    monkeypatch.setattr(ProtobufClient, "__init__", ProtobufClient.__init__)
    loop = importlib.import_module("flwr.supernode.start_client_internal")
    monkeypatch.setattr(loop, "time", loop.time)


def pull(address: str, ca: Path) -> None:
    """What a SuperNode does first, made as a SuperNode makes it: with the CA's certificate as bytes."""
    with FleetHttpClient.from_server_address(address, False, ca.read_bytes(), interceptors=[]) as client:
        client.PullMessages(PullMessagesRequest())


@pytest.mark.usefixtures("unhooked")
def test_with_the_hook_a_fleet_client_presents_the_certificate_over_tls_1_3(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("hospital-a")
    launcher.present_certificate(pair.certificate, pair.key)
    with server(authority.issue("proxy", server=True), authority.certificate) as (address, seen):
        pull(address, authority.certificate)
    assert seen == ["hospital-a TLSv1.3"]


@pytest.mark.usefixtures("unhooked")
def test_without_the_hook_the_proxy_refuses(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with server(authority.issue("proxy", server=True), authority.certificate) as (address, seen):
        with pytest.raises(httpx.TransportError):
            pull(address, authority.certificate)
        assert seen == []


@pytest.mark.usefixtures("unhooked")
def test_with_the_hook_nothing_below_tls_1_3_is_spoken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("hospital-a")
    launcher.present_certificate(pair.certificate, pair.key)
    proxy = authority.issue("proxy", server=True)
    with server(proxy, authority.certificate, most=ssl.TLSVersion.TLSv1_2) as (address, seen):
        with pytest.raises(httpx.TransportError):
            pull(address, authority.certificate)
        assert seen == []


@pytest.mark.usefixtures("unhooked")
def test_a_server_of_another_ca_is_refused(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "other")
    pair = ours.issue("hospital-a")
    launcher.present_certificate(pair.certificate, pair.key)
    with server(theirs.issue("proxy", server=True), ours.certificate) as (address, seen):
        with pytest.raises(httpx.TransportError):
            pull(address, ours.certificate)
        assert seen == []


@pytest.mark.usefixtures("unhooked")
def test_a_client_without_a_context_of_its_own_is_not_made(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("hospital-a")
    launcher.present_certificate(pair.certificate, pair.key)
    with pytest.raises(ConfigError):
        FleetHttpClient.from_server_address("127.0.0.1:1", False, None, interceptors=[])


@pytest.mark.usefixtures("unhooked")
@pytest.mark.parametrize("wrong", ["another key", "no such file", "no certificate"])
def test_certificate_and_key_that_are_no_pair_start_nothing(tmp_path: Path, wrong: str) -> None:
    authority = Authority(tmp_path)
    pair, other = authority.issue("hospital-a"), authority.issue("hospital-b")
    certificate, key = {
        "another key": (pair.certificate, other.key),
        "no such file": (tmp_path / "nothing.crt", pair.key),
        "no certificate": (pair.key, pair.key),
    }[wrong]
    before = ProtobufClient.__init__
    with pytest.raises(ConfigError):
        launcher.present_certificate(certificate, key)
    assert ProtobufClient.__init__ is before


@pytest.mark.usefixtures("unhooked")
def test_the_idle_sleep_of_the_loop_is_capped_and_shorter_ones_are_not() -> None:
    slept: list[float] = []
    launcher.cap_idle_sleep(0.5, sleep=slept.append)
    loop = importlib.import_module("flwr.supernode.start_client_internal")
    assert loop.time.monotonic() > 0
    loop.time.sleep(3)
    loop.time.sleep(0.2)
    assert slept == [0.5, 0.2]


def test_the_loop_still_sleeps_by_that_name() -> None:
    loop = importlib.import_module("flwr.supernode.start_client_internal")
    assert "time.sleep(3)" in inspect.getsource(loop.start_client_internal)


def test_options_of_the_supernode_are_those_that_the_launcher_gives(tmp_path: Path) -> None:
    private, _ = node_key(tmp_path, "hospital-a")
    node = launcher.SuperNode(
        coordinator="fed.example.org:443",
        ca=tmp_path / "ca.crt",
        certificate=tmp_path / "a.crt",
        key=tmp_path / "a.key",
        node_key=private,
        runtime="127.0.0.1:9094",
        secret=tmp_path / "secret",
    )
    flower_supernode = importlib.import_module("flwr.supernode.cli.flower_supernode")
    options = flower_supernode._parse_args_run_supernode().parse_args(node.arguments())
    assert not options.insecure
    assert (options.superlink, options.host, options.port) == ("fed.example.org:443", "127.0.0.1", 9094)
    assert (options.isolation, options.runtime_dependency_install) == ("process", False)
    assert options.root_certificates == str(tmp_path / "ca.crt")
    assert options.superexec_auth_secret_file == str(tmp_path / "secret")
    assert flower_supernode._try_setup_client_authentication(options) is not None


class _LeftError(Exception):
    pass


ENDS = [(None, 75), (SystemExit(0), 0), (SystemExit(1), 75), (RuntimeError("text"), 75), (KeyboardInterrupt(), 75)]


@pytest.mark.parametrize(("error", "code"), ENDS, ids=repr)
def test_the_process_ends_whenever_the_main_function_does(error: BaseException | None, code: int) -> None:
    codes: list[int] = []

    def main() -> None:
        if error is not None:
            raise error

    def leave(number: int) -> NoReturn:
        codes.append(number)
        raise _LeftError

    with pytest.raises(_LeftError):
        launcher.end_with(main, leave=leave)
    assert codes == [code]
