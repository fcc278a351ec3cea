# SPDX-License-Identifier: BSD-3-Clause
"""Publications of MQTT nodes to a web client and over a link; memory of idle nodes."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.api import get
from benchmarks.foreign_messages import DIALECTS, UPDATE
from benchmarks.mqtt_nodes import accepts_nodes, connect, publication
from benchmarks.processes import (
    HOST,
    READY_LIMIT_S,
    BenchmarkError,
    Home,
    Server,
    Worker,
    cpu_s,
    free_port,
    resident_bytes,
)
from benchmarks.services import everything_for_mqtt, mqtt_gateway
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number

RATE: Final = 30_000
LINK_RATE: Final = 20_000
ACKNOWLEDGED_RATE: Final = 8_000
FOREIGN_RATE: Final = 10_000
"""Offered publications per second of all nodes."""
FOREIGN_NODES: Final = 500
"""Devices of one dialect. Zigbee2MQTT describes all of them in one message."""
FOREIGN_TURNS: Final = 16
"""Number of windows in which a dialect sends; nodes with `node/…` topics send in as many."""
FOREIGN_WINDOW_S: Final = 0.4
FOREIGN_SHORTEST_S: Final = 0.05
"""Of a run that measures nothing."""
ENTITIES: Final = 5_000
"""Entities that Home Assistant discovery announces."""
ENTITIES_OF_DEVICE: Final = 50
NODE_RATE: Final = 15
"""Maximum of one node: its limit is 20/s."""
DRAIN_LIMIT_S: Final = 10.0
ALL_KNOWN_LIMIT_S: Final = 30.0
SETTLE_S: Final = 1.0


def measure(results: Results, home: Home, size: Size) -> None:
    measure_start(results, home, size)
    measure_path(results, home, size)
    measure_foreign(results, home, size)
    measure_discovery(results, home, size)
    measure_acknowledged(results, home, size)
    measure_link(results, home, size)
    measure_idle(results, home, size)


def measure_start(results: Results, home: Home, size: Size) -> None:
    took_s = []
    for _ in range(size.starts):
        server, mqtt_port = everything_for_mqtt(home)
        try:
            took_s.append(wait_for_mqtt(mqtt_port) - server.started_at)
        finally:
            server.end()
    results.figures.append(
        Figure(
            "mqtt",
            "aiot run, from its start until its MQTT broker lets a node in",
            median(took_s),
            "s",
            at_most=1,
            note=f"max of {len(took_s)}: {number(max(took_s))} s",
        )
    )


@dataclass(frozen=True)
class _PathResult:
    """The result of publications to a web client."""

    delivered_per_s: float
    cpu_us: float
    """CPU time of gateway and broker per delivery."""
    nats_cpu_us: float
    note: str


def measure_path(results: Results, home: Home, size: Size) -> None:
    rate = min(RATE, NODE_RATE * size.mqtt_nodes)
    result = _measure_path(home, size, rate, qos=0)
    results.figures += [
        Figure(
            "mqtt",
            f"MQTT publish → web client, {rate:,}/s offered",
            result.delivered_per_s,
            "readings/s",
            cpu_us=result.cpu_us,
            per="reading",
            at_least=20_000,
            note=result.note,
        ),
        Figure(
            "mqtt",
            "MQTT publish → web client, CPU of gateway and broker",
            result.cpu_us,
            "µs",
            at_most=15,
            note=f"nats-server beside it {result.nats_cpu_us:.0f} µs",
        ),
    ]


def measure_foreign(results: Results, home: Home, size: Size) -> None:
    """Foreign devices beside nodes with `node/…` topics, at one gateway and at the same rate."""
    count = min(FOREIGN_NODES, size.mqtt_nodes)
    is_tiny = count < FOREIGN_NODES
    for dialect in ["homie"] if is_tiny else DIALECTS:
        if dialect == "own":
            continue
        turns, window_s = (1, FOREIGN_SHORTEST_S) if is_tiny else (FOREIGN_TURNS, FOREIGN_WINDOW_S)
        own, foreign = _measure_in_turn(home, dialect, count, turns, window_s)
        of_message = DIALECTS[dialect].values
        results.figures.append(
            Figure(
                "mqtt",
                f"{dialect} → web client, CPU compared with our own topics, for a reading",
                median(it / ours for ours, it in zip(own, foreign, strict=True)),
                "×",
                at_most=1.3,
                note=f"{median(foreign):.1f} µs against {median(own):.1f} µs, medians of"
                f" {len(own)} turns; a message has {of_message}"
                f" {'reading' if of_message == 1 else 'readings'}",
            )
        )


def _measure_in_turn(
    home: Home, dialect: str, count: int, turns: int, window_s: float
) -> tuple[list[float], list[float]]:
    """CPU of gateway and broker per reading, in µs: with `node/…` topics, and with a dialect.

    Nodes of both kinds send in turn to the same gateway, so that other work on the machine and
    differences between two starts affect both alike.
    """
    server, mqtt_port = everything_for_mqtt(home)
    spec = {"count": 1, "port": server.port, "path": "/ws", "v2": True, "server_pid": server.pid}
    names = ("own", dialect)
    cpu_us: dict[str, list[float]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        clients = stack.enter_context(Worker("clients", **spec, mark=UPDATE.decode()))
        nodes = {}
        known = 0
        for name in names:
            spec = {"port": mqtt_port, "nodes": count, "dialect": name}
            nodes[name] = stack.enter_context(Worker("mqtt_nodes", **spec))
            known += count * DIALECTS[name].values
            _all_known(clients, "marks", known)
        time.sleep(SETTLE_S)
        before = clients.call("read")
        for _ in range(turns):
            for name in names:
                of_message = DIALECTS[name].values
                rate = min(FOREIGN_RATE, NODE_RATE * count) / of_message
                sent = nodes[name].call("send", seconds=window_s, rate=rate)["sent"] * of_message
                missing = missing_of(clients, "marks", before["marks"], sent)
                if missing > 0:
                    raise BenchmarkError(f"{missing} readings of {name} did not arrive")
                after = clients.call("read")
                used_s = after["server_cpu_s"] - before["server_cpu_s"]
                cpu_us[name].append(used_s / (after["marks"] - before["marks"]) * 1e6)
                before = after
    return cpu_us["own"], cpu_us[dialect]


def measure_discovery(results: Results, home: Home, size: Size) -> None:
    """Seconds from the first configuration until the API shows all devices with all entities."""
    devices = min(ENTITIES // ENTITIES_OF_DEVICE, size.mqtt_nodes)
    server, mqtt_port = everything_for_mqtt(home)
    messages = [
        publication(
            f"homeassistant/sensor/d{number // ENTITIES_OF_DEVICE}/e{number}/config",
            configuration(number),
        )
        for number in range(devices * ENTITIES_OF_DEVICE)
    ]
    messages += [
        # Retained, as devices do: the gateway subscribes to it when it has read the configuration.
        publication(f"d{device}/status", "online", retain=True)
        for device in range(devices)
    ]
    with server, socket.create_connection((HOST, mqtt_port)) as connection:
        connection.sendall(connect("bridge"))
        if connection.recv(16)[:1] != b"\x20":
            raise BenchmarkError("the MQTT broker refuses the connection")
        # The gateway has subscribed once it knows a first device: nothing is lost then.
        connection.sendall(publication("d-1/status", "online", retain=True))
        limit = time.monotonic() + ALL_KNOWN_LIMIT_S
        while not _entities(server.port, "ha-d-1"):
            if time.monotonic() > limit:
                raise BenchmarkError("the first device was not discovered")
            connection.sendall(publication("homeassistant/sensor/d-1/e/config", configuration(-1)))
            time.sleep(0.1)
        began, cpu_before = time.monotonic(), server.cpu_s()
        connection.sendall(b"".join(messages))
        limit = began + ALL_KNOWN_LIMIT_S
        for device in range(devices):
            while _entities(server.port, f"ha-d{device}") < ENTITIES_OF_DEVICE:
                if time.monotonic() > limit:
                    raise BenchmarkError(f"not all entities of device {device} were discovered")
                time.sleep(0.05)
        took_s, cpu_s_used = time.monotonic() - began, server.cpu_s() - cpu_before
    results.figures.append(
        Figure(
            "mqtt",
            f"Home Assistant discovery → web API, {devices * ENTITIES_OF_DEVICE:,} entities of"
            f" {devices} devices",
            took_s,
            "s",
            at_most=5,
            note=f"{cpu_s_used:.2f} s of CPU of gateway and broker, with the requests that look",
        )
    )


def _entities(port: int, uid: str) -> int:
    """How many resources of a device have the type that its discovery states."""
    types = json.loads(get(port, f"/api/nodes/{uid}")).get("resource_types", {})
    return sum(it.get("device_class") == "temperature" for it in types.values())


def configuration(number: int) -> bytes:
    """The configuration of one entity, as ESPHome publishes it."""
    device = f"d{number // ENTITIES_OF_DEVICE}"
    return json.dumps(
        {
            "name": f"Sensor {number}",
            "uniq_id": f"{device}_{number}",
            "stat_t": f"{device}/sensor/e{number}/state",
            "avty_t": f"{device}/status",
            "unit_of_meas": "°C",
            "dev_cla": "temperature",
            "stat_cla": "measurement",
            "val_tpl": "{{ value_json.t | float | round(1) }}",
            "dev": {"ids": device, "name": device, "mf": "Example", "mdl": "X", "sw": "1"},
        }
    ).encode()


def measure_acknowledged(results: Results, home: Home, size: Size) -> None:
    rate = min(ACKNOWLEDGED_RATE, NODE_RATE * size.mqtt_nodes)
    result = _measure_path(home, size, rate, qos=1)
    results.figures.append(
        Figure(
            "mqtt",
            f"MQTT publish with QoS 1 → web client, {rate:,}/s offered",
            result.delivered_per_s,
            "readings/s",
            cpu_us=result.cpu_us,
            per="reading",
            note=f"{result.note}; nats-server beside it {result.nats_cpu_us:.0f} µs",
        )
    )


def _measure_path(home: Home, size: Size, rate: int, *, qos: int) -> _PathResult:
    server, mqtt_port = everything_for_mqtt(home)
    spec = {"count": 1, "port": server.port, "path": "/ws", "v2": True, "server_pid": server.pid}
    with (
        server,
        Worker("clients", **spec) as clients,
        Worker("mqtt_nodes", port=mqtt_port, nodes=size.mqtt_nodes, qos=qos) as nodes,
    ):
        broker_pid = child_of(server.pid)
        before = _all_known(clients, "marks", size.mqtt_nodes)
        broker_before, own_before = cpu_s(broker_pid), nodes.cpu_s()
        sent = nodes.call("send", seconds=size.mqtt_s, rate=rate)
        after = clients.call("read")
        delivered = after["marks"] - before["marks"]
        seconds = after["at"] - before["at"]
        server_s = after["server_cpu_s"] - before["server_cpu_s"]
        broker_s, own_s = cpu_s(broker_pid) - broker_before, nodes.cpu_s() - own_before
        missing = missing_of(clients, "marks", before["marks"], sent["sent"])
    return _PathResult(
        delivered / seconds,
        server_s / max(1, delivered) * 1e6,
        broker_s / max(1, delivered) * 1e6,
        f"{size.mqtt_nodes} nodes, {missing} not delivered; core: server {server_s / seconds:.0%},"
        f" nats-server {broker_s / seconds:.0%}, nodes {own_s / seconds:.0%}",
    )


def measure_link(results: Results, home: Home, size: Size) -> None:
    rate = min(LINK_RATE, NODE_RATE * size.mqtt_nodes)
    with (
        nats_server(home) as mqtt_port,
        Worker("link_listener") as listener,
        _subscribed(mqtt_gateway(home, mqtt_port, listener.ready["port"])) as server,
        Worker("mqtt_nodes", port=mqtt_port, nodes=size.mqtt_nodes) as nodes,
    ):
        before = _all_known(listener, "readings", size.mqtt_nodes)
        cpu_before = server.cpu_s()
        sent = nodes.call("send", seconds=size.mqtt_s, rate=rate)
        after = listener.call("read")
        readings = after["readings"] - before["readings"]
        cpu_us = (server.cpu_s() - cpu_before) / max(1, readings) * 1e6
        missing = missing_of(listener, "readings", before["readings"], sent["sent"])
    results.figures.append(
        Figure(
            "mqtt",
            f"MQTT gateway alone → link to the broker, {rate:,}/s offered",
            readings / max(1, after["frames"] - before["frames"]),
            "readings in a frame",
            cpu_us=cpu_us,
            per="reading",
            note=f"{readings / (after['at'] - before['at']):,.0f} readings/s, {missing} missing",
        )
    )


def measure_idle(results: Results, home: Home, size: Size) -> None:
    server, mqtt_port = everything_for_mqtt(home)
    spec = {"count": 1, "port": server.port, "path": "/ws", "v2": True, "server_pid": server.pid}
    with server, Worker("clients", **spec) as clients:
        broker_pid = child_of(server.pid)
        empty, broker_empty = server.resident_bytes(), resident_bytes(broker_pid)
        with Worker("mqtt_nodes", port=mqtt_port, nodes=size.mqtt_idle_nodes):
            _all_known(clients, "marks", size.mqtt_idle_nodes)
            time.sleep(SETTLE_S)
            held, broker_held = server.resident_bytes(), resident_bytes(broker_pid)
    results.figures.append(
        Figure(
            "mqtt",
            f"{size.mqtt_idle_nodes:,} idle MQTT nodes, memory of gateway and broker",
            held / 1e6,
            "MB",
            at_most=150,
            note=f"{empty / 1e6:.0f} MB without nodes; nats-server beside it"
            f" {broker_held / 1e6:.0f} MB ({broker_empty / 1e6:.0f} MB without)",
        )
    )


# -- parts --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _subscribed(gateway: Server) -> Iterator[Server]:
    """Wait until a gateway has subscribed. It has no port that answers."""
    try:
        limit = time.monotonic() + READY_LIMIT_S
        while "connected to the MQTT broker" not in gateway.log():
            if time.monotonic() > limit:
                raise BenchmarkError(f"the gateway is not connected: {gateway.log()}")
            time.sleep(0.01)
        yield gateway
    finally:
        gateway.end()


@contextlib.contextmanager
def nats_server(home: Home) -> Iterator[int]:
    """Start a nats-server without passwords. Returns its MQTT port."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise BenchmarkError("nats-server is not installed")
    port = free_port()
    settings = home.path / "nats.conf"
    settings.write_text(
        f'server_name: "benchmark"\nlisten: "{HOST}:-1"\n'
        f"jetstream {{ store_dir: {json.dumps(str(home.path / 'nats'))} }}\n"
        f'mqtt {{ listen: "{HOST}:{port}" }}\n',
        encoding="utf-8",
    )
    with (home.path / "nats.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", settings], stdout=log, stderr=log)
    try:
        wait_for_mqtt(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for_mqtt(port: int) -> float:
    """Wait until an MQTT broker accepts a node. Returns the time."""
    limit = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < limit:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0) as node:
            if accepts_nodes(node):
                return time.monotonic()
        time.sleep(0.002)
    raise BenchmarkError(f"no MQTT broker on port {port}")


def child_of(pid: int) -> int:
    """The only child process of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def _all_known(counter: Worker, what: str, nodes: int) -> dict[str, Any]:
    """Wait until the metrics count each node."""
    limit = time.monotonic() + ALL_KNOWN_LIMIT_S
    while True:
        counted = counter.call("read")
        if counted[what] >= nodes:
            return counted
        if time.monotonic() > limit:
            raise BenchmarkError(f"only {counted[what]} of {nodes} nodes were seen")
        time.sleep(0.05)


def missing_of(counter: Worker, what: str, before: int, sent: int) -> int:
    """Number of sent readings that do not arrive."""
    limit = time.monotonic() + DRAIN_LIMIT_S
    while True:
        missing: int = sent - (counter.call("read")[what] - before)
        if missing <= 0 or time.monotonic() > limit:
            return missing
        time.sleep(0.05)
