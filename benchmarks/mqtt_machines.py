# SPDX-License-Identifier: BSD-3-Clause
"""Publications of MQTT nodes to a web client: with one machine, and with machines whose embedded
MQTT brokers are a cluster.

CPU time is the sum over all machines, separately for gateways with brokers and for nats-servers.
Nodes are spread over the machines; the client is connected to the first one and gets the readings
of all nodes.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.mqtt_path import NODE_RATE, SETTLE_S, child_of, missing_of
from benchmarks.processes import (
    HOST,
    READY_LIMIT_S,
    BenchmarkError,
    Home,
    Server,
    Worker,
    cpu_s,
    free_port,
)
from benchmarks.services import everything_for_mqtt
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

GROUP: Final = "mqtt-machines"
MACHINES: Final = 3
SHARES: Final = 12
LOADS: Final = ((0, 24_000), (0, 6_000), (1, 2_000))
"""QoS, and the offered publications per second of all nodes together."""
FLAGS: Final = ("--history", "off", "--registry", "off")


def measure(results: Results, home: Home, size: Size) -> None:
    """The figures `mqtt-machines`."""
    server, port = everything_for_mqtt(home, *FLAGS)
    with server:
        _measure(results, size, [server], [port])
    with _cluster(home) as (servers, ports):
        _measure(results, size, servers, ports)
        servers.pop().end()
        _wait_for_shares(servers)
        _measure(results, size, servers, ports[: len(servers)])


def _measure(results: Results, size: Size, servers: Sequence[Server], ports: list[int]) -> None:
    nats = [child_of(it.pid) for it in servers]
    spec = {"count": 1, "port": servers[0].port, "path": "/ws", "v2": True}
    with Worker("clients", server_pid=servers[0].pid, **spec) as clients:
        # With few nodes, some are the same.
        loads = ((qos, min(most, NODE_RATE * size.mqtt_nodes)) for qos, most in LOADS)
        for qos, rate in dict.fromkeys(loads):
            with Worker("mqtt_nodes", ports=ports, nodes=size.mqtt_nodes, qos=qos) as nodes:
                time.sleep(SETTLE_S)
                nodes.call("send", seconds=size.mqtt_s / 4, rate=rate)
                time.sleep(SETTLE_S)
                before = clients.call("read")
                own, beside = [it.cpu_s() for it in servers], [cpu_s(pid) for pid in nats]
                sent = nodes.call("send", seconds=size.mqtt_s, rate=rate)["sent"]
                missing = missing_of(clients, "marks", before["marks"], sent)
                after = clients.call("read")
                used = [it.cpu_s() - start for it, start in zip(servers, own, strict=True)]
                nats_s = sum(cpu_s(pid) - start for pid, start in zip(nats, beside, strict=True))
            delivered = max(1, after["marks"] - before["marks"])
            seconds = after["at"] - before["at"]
            count = len(servers)
            results.figures.append(
                Figure(
                    GROUP,
                    f"MQTT publish with QoS {qos} → web client, {rate:,}/s,"
                    f" {'one machine alone' if count == 1 else f'{count} machines'}",
                    sum(used) / delivered * 1e6,
                    "µs of gateways and brokers",
                    cpu_us=nats_s / delivered * 1e6,
                    per="reading, all nats-servers",
                    note=f"{max(0, missing)} of {sent:,} not delivered; busiest process"
                    f" {max(used) / seconds:.0%} of a core",
                )
            )


@contextlib.contextmanager
def _cluster(home: Home) -> Iterator[tuple[list[Server], list[int]]]:
    """Start machines on loopback. Returns them and the ports of their MQTT brokers."""
    secret = home.path / "mqtt-cluster.secret"
    secret.touch(mode=0o600)
    secret.write_text(home.secret, encoding="ascii")
    routes = [f"{HOST}:{free_port()}" for _ in range(MACHINES)]
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        ports: list[int] = []
        for own in routes:
            settings = _settings(home.path / f"machine-{len(ports)}", secret)
            flags = ("--config", str(settings), "--cluster-broker", f"machine {len(ports)}")
            cluster = ("--mqtt-cluster", ",".join(routes), "--mqtt-cluster-listen", own)
            server, port = everything_for_mqtt(home, *FLAGS, *flags, *cluster)
            stack.callback(server.end)
            servers.append(server)
            ports.append(port)
        for server in servers:
            server.wait_ready()
        _wait_for_shares(servers)
        yield servers, ports


def _settings(folder: Path, secret: Path) -> Path:
    folder.mkdir()
    file = folder / "pyaiot.toml"
    file.write_text(
        f'[mqtt]\nfolder = "{folder}/mqtt"\ncluster_secret_file = "{secret}"\n', encoding="utf-8"
    )
    return file


def _wait_for_shares(servers: Sequence[Server]) -> None:
    """Wait until the gateways have divided the nodes among themselves."""
    count = len(servers)
    divided = f"serves {SHARES // count} of {SHARES} shares, of the nodes at {count} gateways"
    limit = time.monotonic() + READY_LIMIT_S
    for server in servers:
        while divided not in server.log():
            if time.monotonic() > limit:
                raise BenchmarkError(f"{server.name} does not serve its shares: {server.log()}")
            time.sleep(0.05)
