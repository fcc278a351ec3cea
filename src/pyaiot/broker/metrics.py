# SPDX-License-Identifier: BSD-3-Clause
"""What there is to measure of a broker."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

from pyaiot.broker.broker import CLIENTS_MAX, Broker
from pyaiot.broker.client import CLOSE_POLICY, CLOSE_SLOW, Client
from pyaiot.broker.commands import IN_FLIGHT_MAX
from pyaiot.broker.event_client import EventClient
from pyaiot.messages import ReceiptState
from pyaiot.metrics import OTHER, PROTOCOLS, Metric, Sample

FORMS: Final = ("v2", "legacy", "events")
_CLOSED: Final = {CLOSE_SLOW: "slow", CLOSE_POLICY: "policy"}

CLIENTS: Final = Metric(
    "pyaiot_clients",
    "gauge",
    "Clients that are connected, by the form in which they hear.",
    {"form": FORMS},
)
CLIENTS_LIMIT: Final = Metric(
    "pyaiot_clients_limit", "gauge", "Clients that may be connected at once."
)
CLIENTS_BEHIND: Final = Metric(
    "pyaiot_clients_behind", "gauge", "Clients that are slower than what is said."
)
CLIENTS_CLOSED: Final = Metric(
    "pyaiot_clients_closed",
    "counter",
    "Clients that were closed: too slow, or for what they asked.",
    {"reason": (*_CLOSED.values(), OTHER)},
)
CONFLATED: Final = Metric(
    "pyaiot_client_readings_conflated",
    "counter",
    "Readings that a client did not get, because a later one of the resource came before its turn.",
)
WAITING: Final = Metric(
    "pyaiot_client_queue_messages", "gauge", "Messages that wait for clients that are behind."
)
NODES: Final = Metric(
    "pyaiot_nodes", "gauge", "Nodes that are there, by protocol.", {"protocol": PROTOCOLS}
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
    "Links of gateways that the broker has accepted: more than gateways means reconnects.",
)
MESSAGES: Final = Metric(
    "pyaiot_messages", "counter", "Messages that were said to everybody: readings and states."
)
FLUSHES: Final = Metric("pyaiot_flushes", "counter", "Times that gathered messages were written.")
FLUSH_WAIT: Final = Metric(
    "pyaiot_flush_wait_seconds",
    "histogram",
    "How long the oldest message of a flush had waited to be written to clients.",
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
    "pyaiot_commands_in_flight_limit", "gauge", "Commands that may be without a receipt at once."
)
RECEIPTS: Final = Metric(
    "pyaiot_commands",
    "counter",
    "Commands that have ended, by their receipt.",
    {"receipt": get_args(ReceiptState)},
)
COMMAND_TIME: Final = Metric(
    "pyaiot_command_seconds", "histogram", "From a command to its confirmation."
)


def measure(broker: Broker) -> Iterable[Sample]:
    """Everything above, as it is now."""
    fanout, router = broker.fanout, broker.router
    clients = list(fanout.clients.values())
    forms = Counter(map(_form, clients))
    for form in FORMS:
        yield CLIENTS.of(forms[form], form=form)
    yield CLIENTS_LIMIT.of(CLIENTS_MAX)
    yield CLIENTS_BEHIND.of(sum(client.waiting for client in clients))
    for code, reason in _CLOSED.items():
        yield CLIENTS_CLOSED.of(fanout.closed[code], reason=reason)
    yield CONFLATED.of(fanout.conflated + sum(client.conflated for client in clients))
    yield WAITING.of(sum(client.waiting_messages for client in clients))
    protocols = router.protocols()
    for protocol in PROTOCOLS:
        gateways, nodes = protocols.pop(protocol, (0, 0))
        if protocol == OTHER:
            # Gateways of others, and legacy ones, which do not say what they speak.
            gateways += sum(its for its, _ in protocols.values())
            nodes += sum(its for _, its in protocols.values())
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


def _form(client: Client) -> str:
    if isinstance(client, EventClient):
        return "events"
    return "v2" if client.extended else "legacy"
