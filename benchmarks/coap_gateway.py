# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway in its own process: throughput, discovery, memory, and commands under load."""

import socket
import threading
import time
from collections import Counter
from typing import Any, Final

from benchmarks.coap import Node
from benchmarks.event_loop import EventLoop, percentile
from benchmarks.oscore_posts import credential_of
from benchmarks.processes import BenchmarkError, Home, Server, Worker, free_port
from benchmarks.services import broker, everything
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results, number
from benchmarks.wire import WebSocket, join
from pyaiot.accounts.devices import DeviceStore

IN_FLIGHT: Final = 128
RESOURCES: Final = 5
BESIDE_POSTS_PER_S: Final = 5000
COMMANDS_PER_S: Final = 50
COMMAND_CLIENTS: Final = 5
"""Each stays below its limit of 20 commands per second."""
COMMAND_LIMIT_S: Final = 20.0
ALL_VALUES_LIMIT_S: Final = 10.0
KNOWN_LIMIT_S: Final = 20.0
POSTING_SHARE: Final = 3
"""Times as many nodes post: with fewer, the rate limit of a node would be what is measured."""
PACED_PER_S: Final = 15_000
"""Posts a second of nodes that do not saturate the gateway."""
PREPARED_PER_S: Final = 20_000
"""Protected posts that are prepared for each second: more than a gateway accepts."""


def gateway(home: Home, broker: Server, *, fast_path: bool) -> tuple[Server, int]:
    """A CoAP gateway in a separate process, and its port."""
    port = free_port(socket.SOCK_DGRAM)
    if fast_path:
        arguments = ["-m", "pyaiot", "coap-gateway", "--coap-port", str(port)]
    else:
        arguments = ["-m", "benchmarks.aiocoap_gateway", "--port", str(port)]
    arguments += ["--broker-port", str(broker.port), "--key-file", str(home.key_file)]
    return Server(arguments, home=home, port=broker.port), port


def _oscore_gateway(home: Home, broker: Server, nodes: int) -> tuple[Server, int]:
    """A CoAP gateway that knows the credentials of these nodes."""
    path = home.path / "devices.db"
    store = DeviceStore(path)
    for index in range(nodes):
        store.add(credential_of(index, time.time()))
    store.close()
    settings = home.path / "oscore.toml"
    settings.write_text(f'[devices]\nfile = "{path}"\n', encoding="utf-8")
    port = free_port(socket.SOCK_DGRAM)
    arguments = ["-m", "pyaiot", "coap-gateway", "--coap-port", str(port)]
    arguments += ["--broker-port", str(broker.port), "--key-file", str(home.key_file)]
    arguments += ["--config", str(settings)]
    return Server(arguments, home=home, port=broker.port), port


def measure_oscore(results: Results, home: Home, size: Size) -> None:
    """Throughput of posts that are protected by OSCORE."""
    prepared = int(PREPARED_PER_S * size.coap_s / size.coap_nodes) + 20
    with broker(home) as server:
        coap, port = _oscore_gateway(home, server, size.coap_nodes)
        with (
            coap,
            Worker(
                "oscore_posts", port=port, nodes=size.coap_nodes, resources=0, posts=prepared
            ) as nodes,
        ):
            nodes.call("announce", quiet_s=size.coap_quiet_s)
            cpu_before = coap.cpu_s()
            posted = nodes.call("post", seconds=size.coap_s, in_flight=IN_FLIGHT)
            cpu_s = coap.cpu_s() - cpu_before
    results.figures.append(
        Figure(
            "coap-oscore",
            "CoAP posts with OSCORE, gateway alone",
            posted["accepted"] / posted["seconds"],
            "posts/s",
            cpu_us=cpu_s / max(1, posted["accepted"]) * 1e6,
            per="post",
            at_least=1000,
            note=(
                f"{posted['sent']} sent, {posted['accepted']} answered 2.04, {posted['refused']}"
                f" otherwise; core: gateway {cpu_s / posted['seconds']:.0%},"
                f" load {posted['own_cpu_s'] / posted['seconds']:.0%}"
            ),
        )
    )


def _client(server: Server) -> Worker:
    return Worker("clients", count=1, port=server.port, path="/ws", v2=True, server_pid=server.pid)


def measure_posts(results: Results, home: Home, size: Size) -> None:
    """CPU and rates of posts before the same broker: all through aiocoap, saturating, and paced."""
    with broker(home) as server, _client(server) as client:

        def measured(
            name: str,
            *,
            fast_path: bool = True,
            confirmable: bool = False,
            at_least: float | None = None,
            **load: float,
        ) -> tuple[Figure, float]:
            coap, port = gateway(home, server, fast_path=fast_path)
            spec = {"port": port, "nodes": POSTING_SHARE * size.coap_nodes, "resources": 0}
            with coap, Worker("coap_posts", confirmable=confirmable, **spec) as nodes:
                nodes.call("announce", quiet_s=size.coap_quiet_s)
                before, cpu_before = client.call("read"), coap.cpu_s()
                broker_before = server.cpu_s()
                posted = nodes.call("post", seconds=size.coap_s, **load)
                cpu_s = coap.cpu_s() - cpu_before
                time.sleep(0.1)  # the broker batches
                broker_us = (server.cpu_s() - broker_before) / max(1, posted["accepted"]) * 1e6
                delivered = client.call("read")["marks"] - before["marks"]
            figure = Figure(
                "coap-posts",
                name,
                posted["accepted"] / posted["seconds"],
                "posts/s",
                cpu_us=cpu_s / max(1, posted["accepted"]) * 1e6,
                per="post",
                at_least=at_least,
                note=(
                    f"{posted['sent']} sent, {posted['accepted']} answered 2.04,"
                    f" {posted['refused']}"
                    f" otherwise, {delivered} delivered; core: gateway"
                    f" {cpu_s / posted['seconds']:.0%},"
                    f" load {posted['own_cpu_s'] / posted['seconds']:.0%};"
                    f" broker {broker_us:.1f} µs per post"
                ),
            )
            return figure, broker_us

        plain, _ = measured(
            "CoAP posts, gateway alone, all through aiocoap", fast_path=False, in_flight=IN_FLIGHT
        )
        saturating, broker_us = measured(
            "CoAP posts, gateway alone", at_least=45_000, in_flight=IN_FLIGHT
        )
        confirmed, _ = measured(
            "Confirmable CoAP posts, gateway alone",
            confirmable=True,
            at_least=45_000,
            in_flight=IN_FLIGHT,
        )
        paced, _ = measured("CoAP posts, gateway alone, 15,000/s offered", rate=PACED_PER_S)
    results.figures += [
        plain,
        saturating,
        confirmed,
        paced,
        Figure(
            "coap-posts", "CPU of the gateway for a post", saturating.cpu_us or 0, "µs", at_most=15
        ),
        Figure(
            "coap-posts",
            "CPU of the gateway for a Confirmable post",
            confirmed.cpu_us or 0,
            "µs",
            at_most=15,
        ),
        Figure(
            "coap-posts",
            "CPU of the broker for a post, with its history",
            broker_us,
            "µs",
            at_most=3,
        ),
        Figure(
            "coap-posts",
            "CoAP posts, to all through aiocoap",
            saturating.value / max(1.0, plain.value),
            "×",
            at_least=10,
            note="the same gateway and broker, one after the other",
        ),
    ]


def measure_discovery(results: Results, home: Home, size: Size) -> None:
    """Time from the first `alive` to the last value at a web client."""
    server, port = everything(home)
    with (
        server,
        _client(server) as client,
        Worker("coap_posts", port=port, nodes=size.discovered, resources=RESOURCES) as nodes,
    ):
        cpu_before = server.cpu_s()
        began = nodes.call("announce", quiet_s=size.coap_quiet_s)["began"]
        values = size.discovered * RESOURCES
        read = _all_values(client, values)
        cpu_s = server.cpu_s() - cpu_before
    results.figures.append(
        Figure(
            "coap-discovery",
            f"{size.discovered:,} nodes with {RESOURCES} resources appear at once, all is known",
            read["last_read_at"] - began,
            "s",
            cpu_us=cpu_s / size.discovered * 1e6,
            per="node",
            at_most=5,
        )
    )


def _all_values(client: Worker, values: int) -> dict[str, Any]:
    """Wait until the client has received this number of values."""
    limit = time.monotonic() + ALL_VALUES_LIMIT_S
    while (read := client.call("read"))["marks"] < values:
        if time.monotonic() > limit:
            raise BenchmarkError(f"{read['marks']} of {values} values arrived")
        time.sleep(0.02)
    return read


def measure_idle(results: Results, home: Home, size: Size) -> None:
    """Memory of known nodes that send nothing."""
    server, port = everything(home)
    with server:
        before = server.resident_bytes()
        with Worker("coap_posts", port=port, nodes=size.idle_nodes, resources=1) as nodes:
            nodes.call("announce", quiet_s=size.coap_quiet_s)
            resident = server.resident_bytes()
    results.figures.append(
        Figure(
            "coap-idle",
            f"aiot run with {size.idle_nodes:,} idle CoAP nodes, resident memory",
            resident / 1e6,
            "MB",
            at_most=150,
            note=f"{before / 1e6:.0f} MB without, {(resident - before) / size.idle_nodes:,.0f}"
            " bytes for each",
        )
    )


def measure_commands(results: Results, home: Home, size: Size) -> None:
    """Latency of commands at a fixed rate during posts of other nodes, through `aiot run`."""
    server, port = everything(home)
    with (
        server,
        Worker("coap_posts", port=port, nodes=size.coap_nodes, resources=0) as nodes,
    ):
        nodes.call("announce", quiet_s=size.coap_quiet_s)
        posted: dict[str, Any] = {}

        def post() -> None:
            seconds = size.commands / COMMANDS_PER_S + 0.5
            posted.update(nodes.call("post", seconds=seconds, rate=BESIDE_POSTS_PER_S))

        trips_ms: list[float] = []
        states: Counter[str] = Counter()
        posting = threading.Thread(target=post)
        node = Node(0, port, {"led": "0"})
        clients = [join(server.port) for _ in range(COMMAND_CLIENTS)]
        loop = EventLoop()
        try:
            loop.add(node, node.receive)
            for client in clients:
                # Filters the posts of other nodes, whose cost is not measured here.
                client.send({"type": "subscribe", "uids": [node.uid]})
            _make_known(loop, node, clients)
            posting.start()
            try:
                _command(loop, node, clients, size.commands, trips_ms, states)
            finally:
                posting.join()
        finally:
            loop.close()
            node.close()
            for client in clients:
                client.close()
    posts = posted["accepted"] / posted["seconds"]
    note = f"{posts:,.0f} posts/s; " + ", ".join(f"{n} {state}" for state, n in states.items())
    for name, share, target in (("p50", 0.5, 3.0), ("p99", 0.99, 10.0)):
        results.figures.append(
            Figure(
                "coap-commands",
                f"command at {COMMANDS_PER_S}/s beside {BESIDE_POSTS_PER_S:,} posts/s, {name}",
                percentile(trips_ms, share),
                "ms",
                at_most=target,
                note=f"{note}, max {number(max(trips_ms))} ms",
            )
        )


def _make_known(loop: EventLoop, node: Node, clients: list[WebSocket]) -> None:
    """Post `alive` and wait until each client has received all values of the node."""
    missing = {(client, name) for client in clients for name in node.resources}

    def listen(client: WebSocket) -> None:
        for message in client.receive():
            missing.discard((client, message.get("endpoint", "")))

    for client in clients:
        loop.add(client, lambda client=client: listen(client))  # type: ignore[misc]
    node.post("alive", f"alive:{node.uid}")
    loop.run_until(lambda: not missing, KNOWN_LIMIT_S, "the values of the node")
    for client in clients:
        loop.remove(client)


def _command(
    loop: EventLoop,
    node: Node,
    clients: list[WebSocket],
    count: int,
    trips_ms: list[float],
    states: Counter[str],
) -> None:
    """Send a command every 20 ms without waiting for receipts."""
    sent_at: dict[str, float] = {}

    def listen(client: WebSocket) -> None:
        for message in client.receive():
            if message["type"] == "receipt":
                trips_ms.append((time.monotonic() - sent_at.pop(message["id"])) * 1000)
                states[message["state"]] += 1

    for client in clients:
        loop.add(client, lambda client=client: listen(client))  # type: ignore[misc]
    next_at = time.monotonic()
    for turn in range(count):
        while time.monotonic() < next_at:
            loop.run_once(next_at)
        command = {"type": "command", "id": f"c{turn}", "uid": node.uid, "endpoint": "led"}
        sent_at[f"c{turn}"] = time.monotonic()
        clients[turn % len(clients)].send({**command, "payload": str(turn % 2)})
        next_at += 1 / COMMANDS_PER_S
    loop.run_until(lambda: not sent_at, COMMAND_LIMIT_S, "receipts of all commands")
