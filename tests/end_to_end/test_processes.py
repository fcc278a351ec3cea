# SPDX-License-Identifier: BSD-3-Clause
"""Each command as a process: its start, its errors, and its end."""

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

from pyaiot.app import demo, services
from pyaiot.app.demo import demo_kinds
from pyaiot.app.protocols import plugins
from pyaiot.config import BrokerSection, Config
from pyaiot.errors import OperatorError
from tests.clients import Broker
from tests.programs import ANY_PORTS, LINE_LIMIT_S, Program, Programs, free_port

END_LIMIT_S = 2.0
PROTOCOLS = {"CoAP", "MQTT", "WebSocket"}
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d ")


@pytest.fixture
def typed_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Each service is started as a user starts it; that of `programs` is forked."""
    started = Programs(tmp_path_factory.mktemp("home"), preloaded=False)
    yield started
    started.close()


def start(programs: Programs, command: str) -> Program:
    """Start a service and wait until it reports that it is ready."""
    keys = ("--key-file", programs.key_file())
    match command:
        case "run" | "demo":
            service = programs.aiot(command, *ANY_PORTS)
        case "broker":
            service = programs.aiot("broker", "--port", "0", *keys)
        case "coap-gateway":
            nobody = str(free_port(socket.SOCK_STREAM))
            service = programs.aiot(
                "coap-gateway", "--coap-port", "0", "--broker-port", nobody, *keys
            )
        case "ws-gateway":
            nobody = str(free_port(socket.SOCK_STREAM))
            service = programs.aiot("ws-gateway", "--ws-port", "0", "--broker-port", nobody, *keys)
        case "mqtt-gateway":
            nobody = str(free_port(socket.SOCK_STREAM))
            service = programs.aiot(
                "mqtt-gateway", "--mqtt-port", nobody, "--broker-port", nobody, *keys
            )
        case "node mqtt":
            nobody = str(free_port(socket.SOCK_STREAM))
            service = programs.aiot("node", "mqtt", "--mqtt-port", nobody)
        case "mqttsn-gateway":
            nobody = str(free_port(socket.SOCK_STREAM))
            service = programs.aiot("mqttsn-gateway", "--mqttsn-port", "0", "--mqtt-port", nobody)
        case _:
            nobody = str(free_port(socket.SOCK_DGRAM))
            service = programs.aiot(*command.split(), "--gateway-port", nobody)
    service.startup_text()
    return service


def ends_well(service: Program) -> None:
    """It ends in time, with code 0, without a word too much, and leaves nothing behind."""
    assert service.exit_code(END_LIMIT_S) == 0
    assert service.orphans() == []
    assert "Traceback" not in service.stderr
    assert (
        "never" not in service.stderr
    )  # "never awaited", "never retrieved": how asyncio reports lost tasks
    assert service.rest() == ""


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a command that could not start."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    sentences = [line for line in result.stderr.splitlines() if not LOG_LINE.match(line)]
    assert len(sentences) == 1, result.stderr
    assert sentences[0].startswith("aiot: ")
    assert sentences[0].endswith(".")
    return sentences[0]


# -- how it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command",
    [
        "run",
        "demo",
        "broker",
        "coap-gateway",
        "mqtt-gateway",
        "mqttsn-gateway",
        "ws-gateway",
        "node coap",
        "node mqtt",
        "node mqttsn",
        "node ws",
    ],
)
def test_service_ends_at_a_signal(
    programs: Programs, typed_programs: Programs, command: str, number: signal.Signals
) -> None:
    """Ctrl+C comes to services that were started as a user starts them."""
    service = start(typed_programs if number is signal.SIGINT else programs, command)
    service.send(number)
    ends_well(service)


def silent_peer(port: int, first_words: str) -> socket.socket:
    """A connection whose other end takes nothing more and answers nothing, a close neither."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=END_LIMIT_S)
    peer.sendall(first_words.encode())
    return peer


HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.sockets
@pytest.mark.parametrize("times", [1, 3])
async def test_service_with_peers_that_do_not_listen_ends_at_a_signal_and_at_more(
    programs: Programs, times: int
) -> None:
    service = programs.aiot("demo", "--nodes", "3", *ANY_PORTS)
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", service.line())
    assert found is not None
    port = int(found[1])
    with silent_peer(port, HANDSHAKE) as page, silent_peer(port, "GET / HTTP/1.1\r\nHost: "):
        assert b" 101 " in page.recv(32)
        async with Broker(found[0]) as broker, broker.client() as client:
            await client.command(next(iter(client.nodes)), "led", "1")
            for _ in range(times):
                service.send(signal.SIGINT)
            await asyncio.to_thread(ends_well, service)


@pytest.mark.sockets
async def test_clients_get_1001_when_the_broker_shuts_down(programs: Programs) -> None:
    service = programs.aiot("run", *ANY_PORTS)
    found = re.search(r"http\S+/", service.startup_text())
    assert found is not None
    url = found[0] + "ws"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as page:
        service.send(signal.SIGTERM)
        frame = await page.receive()
        assert frame.type == aiohttp.WSMsgType.CLOSE
        assert frame.data == aiohttp.WSCloseCode.GOING_AWAY
        ends_well(service)


# -- what it opens ------------------------------------------------------------------------------


def test_everything_opens_one_port_for_the_web_and_one_for_each_kind_of_node(
    typed_programs: Programs,
) -> None:
    service = typed_programs.aiot("run", *ANY_PORTS)
    found = re.search(
        r"http://127\.0\.0\.1:(\d+)/\n.*UDP port (\d+)\n.*TCP port (\d+)\n.*TCP port (\d+)"
        r"\n.*UDP port (\d+)\n",
        service.startup_text(),
    )
    assert found is not None
    web, coap, websocket, mqtt, mqttsn = map(int, found.groups())
    listeners = {("tcp", web), ("udp", coap), ("tcp", websocket), ("udp", mqttsn)}
    # The MQTT broker, a child, has the port on one loopback address; where there is a second one,
    # the service listens there for it.
    assert service.open_ports() - {("tcp", mqtt)} == listeners
    socket.create_connection(("127.0.0.1", mqtt)).close()


# -- when it cannot start -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "flag"),
    [
        (("run", *ANY_PORTS), socket.SOCK_STREAM, "--web-port"),
        (("run", *ANY_PORTS), socket.SOCK_DGRAM, "--coap-port"),
        (("run", *ANY_PORTS), socket.SOCK_STREAM, "--ws-port"),
        (("run", *ANY_PORTS), socket.SOCK_STREAM, "--mqtt-port"),
        (("run", *ANY_PORTS), socket.SOCK_DGRAM, "--mqttsn-port"),
        (("mqttsn-gateway",), socket.SOCK_DGRAM, "--mqttsn-port"),
        (("demo", *ANY_PORTS), socket.SOCK_STREAM, "--web-port"),
        (("demo", *ANY_PORTS), socket.SOCK_DGRAM, "--coap-port"),
        (("ws-gateway", "--key-file", "keys"), socket.SOCK_STREAM, "--ws-port"),
        (("broker", "--key-file", "keys"), socket.SOCK_STREAM, "--web-port"),
        (("coap-gateway", "--key-file", "keys"), socket.SOCK_DGRAM, "--coap-port"),
        (("node", "coap"), socket.SOCK_DGRAM, "--port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_port_in_use_is_named_with_its_flag(
    programs: Programs, arguments: tuple[str, ...], kind: socket.SocketKind, flag: str
) -> None:
    programs.key_file()
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = str(taken.getsockname()[1])
        sentence = complaint(programs.run(*arguments, flag, port))
    assert port in sentence
    assert flag in sentence


def test_no_process_writes_its_memory_to_a_core_file(programs: Programs) -> None:
    flags = " ".join(ANY_PORTS)
    service = programs.start(
        "sh", "-c", f"ulimit -c unlimited; exec {sys.executable} -m pyaiot run {flags}"
    )
    service.startup_text()
    (mqtt_broker,) = service.children()
    for pid in (service.pid, mqtt_broker):
        limits = Path(f"/proc/{pid}/limits").read_text("ascii")
        found = re.search(r"Max core file size +(\d+) +(\w+)", limits)
        assert found is not None
        assert found[1] == "0"
        assert found[2] == "unlimited"


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_files_are_their_owners_whatever_the_umask(
    tmp_path_factory: pytest.TempPathFactory, umask: str
) -> None:
    programs = Programs(tmp_path_factory.mktemp("home"), umask=int(umask, 8))
    with contextlib.closing(programs):
        for words in ("token add x --role viewer", "device add lamp", "generate-keys"):
            assert programs.aiot(*words.split()).exit_code(LINE_LIMIT_S) == 0
        programs.aiot("run", "--host", "127.0.0.1", *ANY_PORTS).startup_text()
        found = [path for path in programs.home.rglob("*") if not path.is_symlink()]
        modes = {path: path.stat().st_mode & 0o777 for path in found}
    assert [path for path, mode in modes.items() if mode & 0o002] == []
    private = [path for path in found if "pyaiot" in path.parts[len(programs.home.parts) :]]
    assert len(private) > 20
    assert [path for path in private if modes[path] & 0o077] == []


def test_key_file_that_is_not_there_stops_a_service(programs: Programs) -> None:
    sentence = complaint(programs.run("coap-gateway", "--key-file", "nowhere/keys"))
    assert "nowhere/keys" in sentence


def test_broker_beyond_loopback_is_refused_with_the_flags_that_allow_it(
    programs: Programs,
) -> None:
    sentence = complaint(programs.run("run", "--host", "0.0.0.0", *ANY_PORTS))  # nobody listens
    assert "--insecure" in sentence


def test_settings_that_are_wrong_stop_a_service(programs: Programs) -> None:
    path = programs.home / "config.toml"
    path.write_text("[broker]\nprot = 8000\n", encoding="utf-8")
    assert "broker.prot" in complaint(programs.run("broker", "--config", path))


# -- the demo -----------------------------------------------------------------------------------


@pytest.mark.sockets
async def test_demo_prints_one_line_when_a_node_is_visible(programs: Programs) -> None:
    demo = programs.aiot("demo", *ANY_PORTS)
    found = re.search(r"http://127\.0\.0\.1:\d+/", demo.line())
    assert found is not None
    async with Broker(found[0]) as broker, broker.client() as client:
        assert client.nodes
        while len({frozenset(values) for values in client.nodes.values()}) < len(demo_kinds()):
            await client.next()
        while not {values.get("protocol") for values in client.nodes.values()} >= PROTOCOLS:
            await client.next()
        # One foreign device of two dialects of MQTT.
        while not {it.get("dialect") for it in client.nodes.values()} >= {"Tasmota", "Homie"}:
            await client.next()
    demo.send(signal.SIGTERM)
    ends_well(demo)


@pytest.mark.sockets
async def test_demo_without_a_visible_node_prints_only_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "DEMO_START_LIMIT_S", 0.2)
    config = Config(
        broker=BrokerSection(port=0),
        protocols=tuple(structs.replace(plugin.section(), port=0) for plugin in plugins()),
    )
    printed: list[str] = []
    with pytest.raises(ExceptionGroup) as raised:
        await services.run_demo(config, 0, printed.append)
    assert printed == []
    assert raised.group_contains(OperatorError, match="No simulated node appeared")


def test_ctrl_c_while_it_is_still_starting_shows_no_traceback(programs: Programs) -> None:
    """It comes in the middle of the imports."""
    code = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "pyaiot.app.services":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["aiot", "run"]
from pyaiot.cli.entry import main
main()
"""
    program = programs.start(sys.executable, "-c", code)
    assert program.exit_code(5.0) == 130
    assert program.stderr == ""


@pytest.mark.parametrize(("command", "explains"), [("aiot-broker", True), ("aiot broker", False)])
def test_historic_command_explains_that_it_listens_on_this_machine_only(
    programs: Programs, command: str, explains: bool
) -> None:
    binary = Path(sys.executable).with_name(command.partition(" ")[0])
    words = [str(binary), *command.split()[1:]]
    program = programs.start(*words, "--port", "0", "--key-file", programs.key_file(), "--debug=0")
    assert program.line().startswith("Broker: http://127.0.0.1:")
    assert ("--host :: opens the port" in program.stderr) is explains
