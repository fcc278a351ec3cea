# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of the broker."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

from pyaiot.broker.broker import CLIENTS_MAX, Broker
from pyaiot.broker.commands import IN_FLIGHT_MAX
from pyaiot.broker.encoders import ENCODERS
from pyaiot.broker.subscriber import CLOSE_POLICY, CLOSE_SLOW
from pyaiot.messages import ReceiptState
from pyaiot.metrics import OTHER, PROTOCOLS, Metric, Sample

FORMS: Final = tuple(encoder.form for encoder in ENCODERS)
_CLOSED: Final = {CLOSE_SLOW: "slow", CLOSE_POLICY: "policy"}

CLIENTS: Final = Metric(
    "pyaiot_clients",
    "gauge",
    "Connected clients, by the form of their messages.",
    {"form": FORMS},
)
CLIENTS_LIMIT: Final = Metric(
    "pyaiot_clients_limit", "gauge", "Most clients that may be connected at once."
)
CLIENTS_BEHIND: Final = Metric("pyaiot_clients_behind", "gauge", "Clients for which messages wait.")
CLIENTS_CLOSED: Final = Metric(
    "pyaiot_clients_closed",
    "counter",
    "Clients that the broker closed, by reason: too slow, or over a rate limit.",
    {"reason": (*_CLOSED.values(), OTHER)},
)
CONFLATED: Final = Metric(
    "pyaiot_client_readings_conflated",
    "counter",
    "Readings that a client did not get, because a later reading of the resource replaced them.",
)
WAITING: Final = Metric(
    "pyaiot_client_queue_messages", "gauge", "Messages that wait for clients that are behind."
)
NODES: Final = Metric(
    "pyaiot_nodes", "gauge", "Online nodes, by protocol.", {"protocol": PROTOCOLS}
)
GATEWAYS: Final = Metric(
    "pyaiot_gateways",
    "gauge",
    "Gateways that are connected to the broker, by protocol.",
    {"protocol": PROTOCOLS},
)
GATEWAY_LINKS: Final = Metric(
    "pyaiot_gateway_links",
    "counter",
    "Gateway links that the broker has accepted. More than gateways means reconnects.",
)
MESSAGES: Final = Metric(
    "pyaiot_messages",
    "counter",
    "Messages that were published to all clients: readings and states.",
)
FLUSHES: Final = Metric("pyaiot_flushes", "counter", "Writes of gathered messages.")
FLUSH_WAIT: Final = Metric(
    "pyaiot_flush_wait_seconds",
    "histogram",
    "How long the oldest message of a flush waited before it was written.",
)
REFUSED: Final = Metric(
    "pyaiot_broker_messages_refused",
    "counter",
    "Messages of gateways, and commands and joins of clients, that were refused.",
)
IN_FLIGHT: Final = Metric(
    "pyaiot_commands_in_flight", "gauge", "Commands that have no receipt yet."
)
IN_FLIGHT_LIMIT: Final = Metric(
    "pyaiot_commands_in_flight_limit",
    "gauge",
    "Most commands that may be without a receipt at once.",
)
RECEIPTS: Final = Metric(
    "pyaiot_commands",
    "counter",
    "Commands that ended, by their receipt.",
    {"receipt": get_args(ReceiptState)},
)
COMMAND_TIME: Final = Metric(
    "pyaiot_command_seconds", "histogram", "Time from a command to its confirmation."
)


def collect(broker: Broker) -> Iterable[Sample]:
    """The current samples of all metrics above."""
    fanout, router = broker.fanout, broker.router
    clients = list(fanout.clients.values())
    forms = Counter(client.encoder.form for client in clients)
    for form in FORMS:
        yield CLIENTS.of(forms[form], form=form)
    yield CLIENTS_LIMIT.of(CLIENTS_MAX)
    yield CLIENTS_BEHIND.of(sum(client.waiting for client in clients))
    for code, reason in _CLOSED.items():
        yield CLIENTS_CLOSED.of(fanout.closed[code], reason=reason)
    yield CONFLATED.of(fanout.conflated + sum(client.conflated for client in clients))
    yield WAITING.of(sum(client.waiting_messages for client in clients))
    protocols = router.gateways.protocols(router.nodes.count_of)
    for protocol in PROTOCOLS:
        gateways, nodes = protocols.pop(protocol, (0, 0))
        if protocol == OTHER:
            # Unknown protocols, and legacy gateways, which do not name theirs.
            gateways += sum(count for count, _ in protocols.values())
            nodes += sum(count for _, count in protocols.values())
        yield GATEWAYS.of(gateways, protocol=protocol)
        yield NODES.of(nodes, protocol=protocol)
    yield GATEWAY_LINKS.of(broker.gateway_links)
    yield MESSAGES.of(fanout.messages)
    yield FLUSHES.of(fanout.flushes)
    yield FLUSH_WAIT.of(fanout.flush_wait)
    yield REFUSED.of(router.refused)
    yield IN_FLIGHT.of(len(router.commands))
    yield IN_FLIGHT_LIMIT.of(IN_FLIGHT_MAX)
    for state in get_args(ReceiptState):
        yield RECEIPTS.of(broker.receipts[state], receipt=state)
    yield COMMAND_TIME.of(broker.command_seconds)
