# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of all gateways."""

from collections.abc import Iterable
from typing import Final

from pyaiot.gateways.command_runner import COMMANDS_MAX
from pyaiot.gateways.gateway import Gateway
from pyaiot.metrics import PROTOCOLS, Metric, Sample

_BY_PROTOCOL: Final = {"protocol": PROTOCOLS}

NODES: Final = Metric(
    "pyaiot_gateway_nodes", "gauge", "Nodes of the gateway that are online.", _BY_PROTOCOL
)
NEW_NODES_REFUSED: Final = Metric(
    "pyaiot_gateway_new_nodes_refused",
    "counter",
    "New nodes that were refused: too many in total, from one host, or at once.",
    _BY_PROTOCOL,
)
EVICTED: Final = Metric(
    "pyaiot_gateway_nodes_evicted",
    "counter",
    "Nodes that had answered no request and made room for new ones.",
    _BY_PROTOCOL,
)
LINKED: Final = Metric(
    "pyaiot_gateway_linked", "gauge", "1: linked to the broker. 0: reconnecting.", _BY_PROTOCOL
)
LINKS: Final = Metric(
    "pyaiot_gateway_links_made", "counter", "Links to the broker that were made.", _BY_PROTOCOL
)
LINK_FAILURES: Final = Metric(
    "pyaiot_gateway_link_failures",
    "counter",
    "Links to the broker that failed or were lost.",
    _BY_PROTOCOL,
)
LINK_QUEUE: Final = Metric(
    "pyaiot_gateway_link_queue_messages",
    "gauge",
    "Messages queued for the link to the broker.",
    _BY_PROTOCOL,
)
LINK_CONFLATED: Final = Metric(
    "pyaiot_gateway_link_readings_conflated",
    "counter",
    "Readings that were replaced in the queue by a later one of the same resource.",
    _BY_PROTOCOL,
)
READINGS_DROPPED: Final = Metric(
    "pyaiot_gateway_readings_dropped",
    "counter",
    "Unconfirmed readings that were dropped because the buffer of the gateway was full.",
    _BY_PROTOCOL,
)
COMMANDS: Final = Metric(
    "pyaiot_gateway_commands_waiting", "gauge", "Commands that wait for a node.", _BY_PROTOCOL
)
COMMANDS_LIMIT: Final = Metric(
    "pyaiot_gateway_commands_waiting_limit",
    "gauge",
    "Maximum number of waiting commands. Further ones are answered `unreachable`.",
    _BY_PROTOCOL,
)
DEVICE_REFUSED: Final = Metric(
    "pyaiot_device_messages_refused",
    "counter",
    "Messages of devices that the gateway refused: invalid, too many, or about another node.",
    _BY_PROTOCOL,
)
BROKER_REFUSED: Final = Metric(
    "pyaiot_gateway_messages_refused",
    "counter",
    "Messages of the gateway that the broker refused, such as nodes of another gateway.",
    _BY_PROTOCOL,
)


def collect(gateway: Gateway, *, refused: int) -> Iterable[Sample]:
    """The samples of one gateway. `refused`: the number of refused messages of its devices."""
    protocol = gateway.protocol
    yield NODES.of(len(gateway.nodes), protocol=protocol)
    yield NEW_NODES_REFUSED.of(gateway.nodes.new_nodes_refused, protocol=protocol)
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
