# SPDX-License-Identifier: BSD-3-Clause
"""Publications of MQTT-SN clients to an MQTT broker with QoS 1; memory of idle clients."""

import time
from typing import Final

from benchmarks.mqtt_path import nats_server
from benchmarks.mqttsn_nodes import IN_FLIGHT
from benchmarks.processes import Home, Worker
from benchmarks.services import mqttsn_gateway
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results

SETTLE_S: Final = 0.5


def measure(results: Results, home: Home, size: Size) -> None:
    with nats_server(home) as mqtt_port:
        server, port = mqttsn_gateway(home, mqtt_port)
        try:
            # The first client makes the gateway load its modules.
            with Worker("mqttsn_nodes", port=port, nodes=1):
                empty = server.resident_bytes()
            with Worker("mqttsn_nodes", port=port, nodes=size.mqttsn_nodes) as nodes:
                time.sleep(SETTLE_S)
                held = server.resident_bytes()
                before, own_before = server.cpu_s(), nodes.cpu_s()
                sent = nodes.call("send", seconds=size.mqttsn_s, in_flight=IN_FLIGHT)
                cpu_s, own_s = server.cpu_s() - before, nodes.cpu_s() - own_before
        finally:
            server.end()
    cpu_us = cpu_s / max(1, sent["acknowledged"]) * 1e6
    results.figures += [
        Figure(
            "mqttsn",
            "MQTT-SN publish of QoS 1 → MQTT broker → PUBACK, saturating",
            sent["acknowledged"] / sent["seconds"],
            "publications/s",
            cpu_us=cpu_us,
            per="publication",
            at_least=5_000,
            note=f"{size.mqttsn_nodes} clients, {sent['refused']} refused, {sent['lost']} lost;"
            f" core: gateway {cpu_s / sent['seconds']:.0%}, clients {own_s / sent['seconds']:.0%}",
        ),
        Figure(
            "mqttsn",
            "the same on one core of the gateway, by its CPU time",
            1e6 / cpu_us if cpu_us else 0.0,
            "publications/s",
            cpu_us=cpu_us,
            per="publication",
            at_least=5_000,
        ),
        Figure(
            "mqttsn",
            "memory of an MQTT-SN client with its MQTT connection",
            (held - empty) / size.mqttsn_nodes / 1000,
            "kB",
            note=f"{size.mqttsn_nodes} idle clients; the gateway has {empty / 1e6:.0f} MB without",
        ),
    ]
