# SPDX-License-Identifier: BSD-3-Clause
"""What there is to measure of gateways. Those of each protocol have some of these."""

from collections.abc import Iterable
from typing import Final

from pyaiot.gateways.gateway import COMMANDS_MAX, Gateway
from pyaiot.metrics import PROTOCOLS, Metric, Sample

_BY_PROTOCOL: Final = {"protocol": PROTOCOLS}

NODES: Final = Metric(
    "pyaiot_gateway_nodes", "gauge", "Nodes that the gateway holds.", _BY_PROTOCOL
)
NEW_NODES_REFUSED: Final = Metric(
    "pyaiot_gateway_new_nodes_refused",
    "counter",
    "New nodes that were refused: too many in all, of one host, or at once.",
    _BY_PROTOCOL,
)
EVICTED: Final = Metric(
    "pyaiot_gateway_nodes_evicted",
    "counter",
    "Nodes that had answered no request and made room for new ones.",
    _BY_PROTOCOL,
)
LINKED: Final = Metric(
    "pyaiot_gateway_linked", "gauge", "1: linked to the broker. 0: it tries.", _BY_PROTOCOL
)
LINKS: Final = Metric(
    "pyaiot_gateway_links_made", "counter", "Links to the broker, ever.", _BY_PROTOCOL
)
LINK_FAILURES: Final = Metric(
    "pyaiot_gateway_link_failures",
    "counter",
    "Links to the broker that were lost, or could not be had.",
    _BY_PROTOCOL,
)
LINK_QUEUE: Final = Metric(
    "pyaiot_gateway_link_queue_messages",
    "gauge",
    "Messages that wait for the link to the broker.",
    _BY_PROTOCOL,
)
LINK_CONFLATED: Final = Metric(
    "pyaiot_gateway_link_readings_conflated",
    "counter",
    "Readings that the broker did not get, because a later one of the resource came before.",
    _BY_PROTOCOL,
)
READINGS_DROPPED: Final = Metric(
    "pyaiot_gateway_readings_dropped",
    "counter",
    "Readings that the gateway had no room to keep until the broker confirmed them.",
    _BY_PROTOCOL,
)
COMMANDS: Final = Metric(
    "pyaiot_gateway_commands_waiting", "gauge", "Commands that wait for nodes.", _BY_PROTOCOL
)
COMMANDS_LIMIT: Final = Metric(
    "pyaiot_gateway_commands_waiting_limit",
    "gauge",
    "Commands that may wait. One more is answered `unreachable`.",
    _BY_PROTOCOL,
)
DEVICE_REFUSED: Final = Metric(
    "pyaiot_device_messages_refused",
    "counter",
    "What devices sent and the gateway did not take: wrong, too much, or not theirs to say.",
    _BY_PROTOCOL,
)
BROKER_REFUSED: Final = Metric(
    "pyaiot_gateway_messages_refused",
    "counter",
    "What the gateway said and the broker did not take, such as nodes of another gateway.",
    _BY_PROTOCOL,
)


def measure(gateway: Gateway, *, refused: int) -> Iterable[Sample]:
    """What all have. `refused`: what devices sent and was not taken."""
    protocol = gateway.protocol
    yield NODES.of(len(gateway.nodes), protocol=protocol)
    yield NEW_NODES_REFUSED.of(gateway.nodes.newcomers_refused, protocol=protocol)
    yield EVICTED.of(gateway.nodes.evicted, protocol=protocol)
    yield LINKED.of(gateway.linked, protocol=protocol)
    yield LINKS.of(gateway.links_made, protocol=protocol)
    yield LINK_FAILURES.of(gateway.link_failures, protocol=protocol)
    waiting, conflated = gateway.link_queue()
    yield LINK_QUEUE.of(waiting, protocol=protocol)
    yield LINK_CONFLATED.of(conflated, protocol=protocol)
    yield READINGS_DROPPED.of(gateway.readings_dropped, protocol=protocol)
    yield COMMANDS.of(gateway.commands_waiting, protocol=protocol)
    yield COMMANDS_LIMIT.of(COMMANDS_MAX, protocol=protocol)
    yield DEVICE_REFUSED.of(refused, protocol=protocol)
    yield BROKER_REFUSED.of(gateway.refused, protocol=protocol)
