# SPDX-License-Identifier: BSD-3-Clause
"""The path from MQTT to web clients, compared with other software under the same load in one run.

`aiot run` is compared with Node-RED, which subscribes at mosquitto and writes to its WebSocket
listener, and with the WebSocket listener of mosquitto, at which clients subscribe themselves. All
get the same publications at the same rate, one after the other, and their CPU time is compared.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.mqtt_nodes import connect, packet, text
from benchmarks.mqtt_path import NODE_RATE, RATE, wait_for_mqtt
from benchmarks.processes import (
    HOST,
    READY_LIMIT_S,
    ROOT,
    BenchmarkError,
    Home,
    Worker,
    cpu_s,
    free_port,
    is_served,
)
from benchmarks.services import everything_for_mqtt
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import BINARY, frame

CLIENTS: Final = (1, 10)
ROUNDS: Final = 3
SETTLE_S: Final = 1.0
TOPIC: Final = "node/+/temperature"
_SUBSCRIBE: Final = 0x82
TARGET: Final = 2.0
"""Factor by which the CPU time of a reading to one client must be below that of Node-RED."""


@dataclass(frozen=True)
class Peer:
    """A running system: where its nodes publish and its clients connect, and what is measured."""

    mqtt_port: int
    web_port: int
    pid: int
    """The process that sends readings to clients."""
    broker_pid: int
    """The process of its MQTT broker; the same one if there is only one process."""
    clients: dict[str, Any]
    """How clients connect, as arguments for the worker."""


@contextlib.contextmanager
def pyaiot(home: Home, *flags: str) -> Iterator[Peer]:
    """`aiot run`, as a user starts it."""
    server, mqtt_port = everything_for_mqtt(home, *flags)
    with server:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text("ascii")
        yield Peer(mqtt_port, server.port, server.pid, int(children), {"path": "/ws", "v2": True})


@contextlib.contextmanager
def node_red(home: Home) -> Iterator[Peer]:
    """Node-RED with two nodes: `mqtt in`, at mosquitto, and `websocket out`."""
    program = _node_red_program()
    port = free_port()
    with _mosquitto(home) as (mqtt_port, _, broker_pid):
        folder = home.path / f"node-red-{port}"
        folder.mkdir()
        (folder / "settings.js").write_text(
            "module.exports = {httpAdminRoot: false, telemetry: {enabled: false},"
            " logging: {console: {level: 'error'}}};\n"
        )
        (folder / "flows.json").write_text(json.dumps(_flow(mqtt_port)))
        arguments = [*program, "--userDir", str(folder), "--port", str(port), "flows.json"]
        with _running(arguments, folder) as pid:
            _wait_until(lambda: is_served(port, "/"), "Node-RED")
            time.sleep(SETTLE_S)  # until it is subscribed
            yield Peer(
                mqtt_port, port, pid, broker_pid, {"path": "/ws", "v2": False, "join": False}
            )


@contextlib.contextmanager
def mosquitto(home: Home) -> Iterator[Peer]:
    """mosquitto, whose clients speak MQTT over WebSocket."""
    with _mosquitto(home) as (mqtt_port, web_port, pid):
        subscribe = packet(_SUBSCRIBE, b"\x00\x01", text(TOPIC) + b"\x00")
        yield Peer(
            mqtt_port,
            web_port,
            pid,
            pid,
            {
                "path": "/mqtt",
                "v2": False,
                "join": False,
                "protocols": ["mqtt"],
                # With an empty client id, mosquitto chooses one for each client.
                "first": frame(connect("") + subscribe, BINARY).hex(),
            },
        )


OURS: Final = "aiot run --history off"
"""The system that others are compared with. It records nothing, as they do."""
PEERS: Final[dict[str, Callable[[Home], AbstractContextManager[Peer]]]] = {
    OURS: lambda home: pyaiot(home, "--history", "off"),
    "aiot run": pyaiot,
    "Node-RED": node_red,
    "mosquitto": mosquitto,
}


@dataclass(frozen=True)
class _Result:
    delivered_per_s: float
    cpu_us: float
    broker_us: float
    """CPU time of the MQTT broker, if it is a separate process."""


def measure(results: Results, home: Home, size: Size) -> None:
    for clients in CLIENTS:
        found: dict[str, list[_Result]] = {name: [] for name in PEERS}
        for _ in range(1 if size.mqtt_s < 1 else ROUNDS):
            for name, start in PEERS.items():
                with start(home) as peer:
                    found[name].append(_measure(peer, size, clients))
        _report(results, found, clients)


def _measure(peer: Peer, size: Size, count: int) -> _Result:
    rate = min(RATE, NODE_RATE * size.mqtt_nodes)
    spec = {"count": count, "port": peer.web_port, "server_pid": peer.pid, **peer.clients}
    with (
        Worker("clients", **spec) as clients,
        Worker("mqtt_nodes", port=peer.mqtt_port, nodes=size.mqtt_nodes) as nodes,
    ):
        _wait_until(
            lambda: clients.call("read")["marks"] >= size.mqtt_nodes * count, "the first readings"
        )
        before, broker_before = clients.call("read"), cpu_s(peer.broker_pid)
        nodes.call("send", seconds=size.mqtt_s, rate=rate)
        after = clients.call("read")
        broker_s = cpu_s(peer.broker_pid) - broker_before
    readings = max(1.0, (after["marks"] - before["marks"]) / count)
    seconds = after["at"] - before["at"]
    server_s = after["server_cpu_s"] - before["server_cpu_s"]
    is_one = peer.pid == peer.broker_pid
    return _Result(
        readings * count / seconds,
        server_s / readings * 1e6,
        0.0 if is_one else broker_s / readings * 1e6,
    )


def _report(results: Results, found: dict[str, list[_Result]], clients: int) -> None:
    many = "1 client" if clients == 1 else f"{clients} clients"
    cpu = {name: median(result.cpu_us for result in of_it) for name, of_it in found.items()}
    for name, of_it in found.items():
        spread = [result.cpu_us for result in of_it]
        broker_us = median(result.broker_us for result in of_it)
        beside = f"; its MQTT broker {broker_us:.0f} µs" if broker_us else ""
        results.figures.append(
            Figure(
                "peers",
                f"MQTT → {many}, {name}",
                median(result.delivered_per_s for result in of_it),
                "deliveries/s",
                cpu_us=cpu[name],
                per="reading",
                note=f"{number(min(spread))} to {number(max(spread))} µs{beside}",
            )
        )
    for name in ("Node-RED", "mosquitto"):
        is_judged = name == "Node-RED" and clients == 1
        results.figures.append(
            Figure(
                "peers",
                f"CPU for a reading to {many}, {name} to {OURS}",
                cpu[name] / cpu[OURS],
                "×",
                at_least=TARGET if is_judged else None,
            )
        )


# -- parts --------------------------------------------------------------------------------------


def _node_red_program() -> Sequence[str]:
    """The command that starts Node-RED. Raises `BenchmarkError` if it cannot be installed."""
    installed = subprocess.run(
        [
            *(sys.executable, str(ROOT / "scripts" / "javascript.py")),
            *("--packages", str(ROOT / "benchmarks" / "node_red")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    node = shutil.which("node")
    if installed.returncode != 0 or node is None:
        raise BenchmarkError(f"Node-RED cannot be installed: {installed.stderr.strip()}")
    folder = Path(installed.stdout.strip())
    return [node, str(folder / "node_modules" / "node-red" / "red.js")]


def _flow(mqtt_port: int) -> list[dict[str, Any]]:
    return [
        {"id": "flow", "type": "tab", "label": "benchmark"},
        {
            "id": "broker",
            "type": "mqtt-broker",
            "broker": HOST,
            "port": str(mqtt_port),
            "protocolVersion": "4",
            "keepalive": "60",
            "cleansession": True,
        },
        {"id": "listener", "type": "websocket-listener", "path": "/ws", "wholemsg": "false"},
        {
            "id": "in",
            "type": "mqtt in",
            "z": "flow",
            "topic": TOPIC,
            "qos": "0",
            "datatype": "utf8",
            "broker": "broker",
            "wires": [["out"]],
        },
        {
            "id": "out",
            "type": "websocket out",
            "z": "flow",
            "server": "listener",
            "client": "",
            "wires": [],
        },
    ]


@contextlib.contextmanager
def _mosquitto(home: Home) -> Iterator[tuple[int, int, int]]:
    """Its port for MQTT, its port for MQTT over WebSocket, and its process."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise BenchmarkError("mosquitto is not installed")
    mqtt_port, web_port = free_port(), free_port()
    folder = home.path / f"mosquitto-{mqtt_port}"
    folder.mkdir()
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"listener {mqtt_port} {HOST}\nlistener {web_port} {HOST}\nprotocol websockets\n"
        "allow_anonymous true\nset_tcp_nodelay true\nlog_type error\n"
    )
    with _running([program, "-c", str(settings)], folder) as pid:
        wait_for_mqtt(mqtt_port)
        yield mqtt_port, web_port, pid


@contextlib.contextmanager
def _running(arguments: Sequence[str], folder: Path) -> Iterator[int]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            arguments, cwd=folder, env={**os.environ, "HOME": str(folder)}, stdout=log, stderr=log
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _wait_until(is_done: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + READY_LIMIT_S
    while not is_done():
        if time.monotonic() > limit:
            raise BenchmarkError(f"{what}: not ready in {READY_LIMIT_S:.0f} s")
        time.sleep(0.05)
