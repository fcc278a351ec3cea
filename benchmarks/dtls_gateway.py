# SPDX-License-Identifier: BSD-3-Clause
"""The CoAP gateway in its own process, with nodes that have DTLS sessions."""

import socket
from typing import Final

from benchmarks.dtls_posts import KEY, uid_of
from benchmarks.processes import Home, Server, Worker, free_port
from benchmarks.services import broker
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.accounts.devices import DeviceStore

IN_FLIGHT: Final = 64
HANDSHAKE_ROUNDS: Final = 2
"""A round opens a new session for each node. The first one also loads OpenSSL's tables."""


def _settings(home: Home, nodes: int) -> str:
    """Store a key for each node. Returns the name of the settings file."""
    file = home.path / "devices.db"
    store = DeviceStore(file)
    for number in range(nodes):
        store.add(DeviceCredential(uid_of(number), "dtls-psk", KEY, 1.0))
    store.close()
    settings = home.path / "dtls.toml"
    settings.write_text(f'[devices]\nfile = "{file}"\n', encoding="utf-8")
    return str(settings)


def measure(results: Results, home: Home, size: Size) -> None:
    """CPU of the gateway for a handshake, memory of a session, and throughput of posts."""
    count = min(size.coap_nodes, 500)
    coap_port, coaps_port = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    with broker(home) as server:
        gateway = Server(
            [
                *("-m", "pyaiot", "coap-gateway", "--config", _settings(home, count)),
                *("--coap-port", str(coap_port), "--coaps-port", str(coaps_port)),
                *("--broker-port", str(server.port), "--key-file", str(home.key_file)),
            ],
            home=home,
            port=server.port,
        )
        with gateway, Worker("dtls_posts", port=coaps_port, nodes=count) as nodes:
            empty = gateway.resident_bytes()
            for _ in range(HANDSHAKE_ROUNDS):
                before = gateway.cpu_s()
                nodes.call("open")
                handshake_ms = (gateway.cpu_s() - before) / count * 1e3
            session_bytes = (gateway.resident_bytes() - empty) / count
            before = gateway.cpu_s()
            posted = nodes.call("post", seconds=size.coap_s, in_flight=IN_FLIGHT)
            cpu_s = gateway.cpu_s() - before
    accepted = max(1, posted["accepted"])
    results.figures += [
        Figure(
            "coap-dtls",
            "CoAP posts in DTLS sessions, gateway alone",
            posted["accepted"] / posted["seconds"],
            "posts/s",
            cpu_us=cpu_s / accepted * 1e6,
            per="post",
            at_least=2000,
            note=(
                f"{count} nodes, {posted['sent']} sent, {posted['accepted']} answered 2.04,"
                f" {posted['refused']} otherwise; core: gateway"
                f" {cpu_s / posted['seconds']:.0%}, load"
                f" {posted['own_cpu_s'] / posted['seconds']:.0%}"
            ),
        ),
        Figure(
            "coap-dtls",
            "CPU of the gateway for a DTLS handshake",
            handshake_ms,
            "ms",
            at_most=3,
            note=f"{count} handshakes with ECDHE-PSK; {session_bytes:,.0f} bytes for each session",
        ),
    ]
