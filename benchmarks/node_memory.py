# SPDX-License-Identifier: BSD-3-Clause
"""Memory of an idle node in each structure of `aiot run`, by the allocations of Python.

The structures are the real ones, without sockets and processes, so the figures do not depend on the
machine. A CoAP node posts `alive`, and its five resources are read; an MQTT node publishes five
values. Memory that several structures share counts for the one that allocated it. Resident memory
is larger: it includes the gaps that discovery leaves between objects, and the page caches of
SQLite.
"""

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Final

from benchmarks.processes import ROOT, resident_bytes
from benchmarks.sizes import Size
from benchmarks.table import Figure, Results
from pyaiot.broker.deliveries import ToAll
from pyaiot.broker.router import Router
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.endpoint import host_limits
from pyaiot.gateways.coap.intake import CoapIntake
from pyaiot.gateways.coap.intake_events import NodeAlive, NodePosted
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.history.rows import batch_of
from pyaiot.history.series_index import SeriesIndex
from pyaiot.history.sqlite.free_memory import give_back_free_memory
from pyaiot.messages import FromGateway, Hello, NodeEvent, ToClient
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.message_ids import MessageIds
from pyaiot.protocols.coap.numbers import MessageType, OptionNumber
from pyaiot.transport.peers import Peer

RESOURCES: Final = 5
TOGETHER: Final = 500
"""Nodes of a crowd that appear together, before others do."""
CROWD_MAX_MB: Final = 290.0
"""Of 350 MB, `aiot run` without nodes takes 60."""
LOCAL: Final = bytes(20)
TS: Final = 1_700_000_000.0
RESTING_S: Final = 600.0
"""Loop time at which the nodes are idle and all timeouts have expired."""


class Nodes:
    """The structures of `aiot run`, in the order in which a message passes them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.peers: list[Peer] = []
        self.reports: list[NodeEvent] = []
        self.published: list[ToClient] = []
        self.limits = host_limits()
        self.live = LiveNodes(silence_limit_s=120.0, nodes_max=count, new_nodes_per_s=1e6)
        self.table: AddressTable[Peer] = AddressTable()
        self.intake = CoapIntake(
            self.live, self.table, limits=self.limits, has_request=lambda _peer, _token: False
        )
        self.ids = MessageIds(Random(1))
        self.router = Router()
        self.router.gateway_connected(1, acknowledges=True, ts=TS)
        self.from_gateway(Hello(name="coap", protocol="CoAP"))
        self.series = SeriesIndex()
        self.series.units[""] = self.series.units["Cel"] = 1

    def receive_peers(self, numbers: range) -> None:
        for number in numbers:
            host = f"::ffff:10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            self.peers.append(Peer((host, 5683, 0, 0), LOCAL))

    def verify(self, numbers: range) -> None:
        for number in numbers:
            peer = self.peers[number]
            self.limits.verify(peer.host)

    def announce(self, numbers: range) -> None:
        for number in numbers:
            peer = self.peers[number]
            options = build_options((OptionNumber.URI_PATH, "alive"))
            text = f"alive:BENCH{number:010}".encode()
            post = CoapMessage(MessageType.NON, 2, number & 0x7FFF, b"tk", options, text)
            self.intake.receive_datagrams(
                iter([(post.to_bytes(), peer)]),
                now=float(number),
                unix_time=lambda number=number: TS + number,  # type: ignore[misc]
            )
            self.intake.datagrams_to_send()
            self._take_reports()

    def answer(self, numbers: range) -> None:
        """The values that the gateway reads, and where the node answers."""
        for number in numbers:
            peer = self.peers[number]
            uid = self.table.uid_at(peer.address) or ""
            self.table.answers(uid, peer, peer.address)
            self.live.verify(uid)
            for resource in range(RESOURCES):
                value = f"{number % 500 / 10:.1f}°C".encode()
                self.intake.posts.receive_values(
                    *(uid, f"temperature-{resource}", value, 0),
                    notified=False,
                    now=float(number),
                    ts=TS + number,
                )
            self._take_reports()

    def request(self, numbers: range) -> None:
        for number in numbers:
            self.ids.next(self.peers[number].address, now=0.0)

    def route(self, _numbers: range) -> None:
        for report in self.reports:
            self.from_gateway(report)
        self.router.nodes.take_touched()
        self.router.registry.unwritten.take_observed(self.count)

    def record(self, _numbers: range) -> None:
        batch = batch_of(self.published, now=TS + self.count)
        for series_id, key in enumerate(sorted(self.series.missing(batch.readings)[0])):
            self.series.learn(series_id, key, 0, "")
        self.series.rows(batch.readings, 0)

    def rest(self) -> None:
        """Advance the time until no posts need to be remembered."""
        self.reports.clear()
        self.published.clear()
        for turn in (1, 2, 3):
            self.ids.handle_timer(now=turn * RESTING_S)
            self.series.forget_idle(TS + turn * RESTING_S)

    def from_gateway(self, message: FromGateway) -> None:
        for delivery in self.router.from_gateway(1, message, now=0.0, ts=TS):
            if isinstance(delivery, ToAll) and not delivery.is_registry:
                self.published.append(delivery.message)

    def _take_reports(self) -> None:
        while (event := self.intake.next_event()) is not None:
            if isinstance(event, NodeAlive | NodePosted):
                self.reports += event.reports


class MqttNodes(Nodes):
    """The same for nodes behind an MQTT broker, which hides their addresses."""

    def publish(self, numbers: range) -> None:
        # Each publication has new text objects, as they come from its topic.
        for number in numbers:
            now, ts, uid = float(number), TS + number, f"BENCH{number:010}"
            bookkeeping = {"protocol": "MQTT", "id": uid}
            self.reports += self.live.node_seen(uid, bookkeeping, now=now, ts=ts)
            for resource in range(RESOURCES):
                topic = f"BENCH{number:010}/temperature-{resource}".split("/")
                value = f"{number % 500 / 10:.1f}°C"
                self.reports += self.live.reading(topic[0], topic[1], value, now=now, ts=ts)


def measure(results: Results, size: Size) -> None:
    nodes = Nodes(size.idle_nodes)
    _measure(
        results,
        nodes,
        ("address of its host, as the socket and as people write it", nodes.receive_peers),
        ("anti-amplification limit: the host is verified", nodes.verify),
        ("gateway: node, uid, address table, rate limits", nodes.announce),
        (f"gateway: {RESOURCES} readings, where it answers", nodes.answer),
        ("broker and registry: state, record", nodes.route),
        ("requests: message ID, for at most 9 minutes", nodes.request),
        (f"history: ids of {RESOURCES + 2} series, for at most 20 minutes", nodes.record),
        sum_of=f"idle CoAP node with {RESOURCES} resources, all objects of Python",
    )
    mqtt = MqttNodes(size.idle_nodes)
    _measure(
        results,
        mqtt,
        (f"MQTT gateway: node, {RESOURCES} readings", mqtt.publish),
        ("broker and registry: state, record", mqtt.route),
        ("history, for at most 20 minutes", mqtt.record),
        sum_of=f"idle MQTT node with {RESOURCES} resources, all objects of Python",
    )


def measure_crowd(results: Results, size: Size) -> None:
    """Resident memory of the same structures for many nodes, each kind in a separate process."""
    for word, protocol in (("coap", "CoAP"), ("mqtt", "MQTT")):
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.node_memory", word, str(size.crowd_nodes)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
        name = f"structures of {size.crowd_nodes:,} idle {protocol} nodes, resident memory"
        results.figures.append(
            Figure("memory", name, int(found.stdout) / 1e6, "MB", at_most=CROWD_MAX_MB)
        )


def _resident_growth(word: str, count: int) -> int:
    nodes = Nodes(count) if word == "coap" else MqttNodes(count)
    before = resident_bytes(os.getpid())
    for first in range(0, count, TOGETHER):
        numbers = range(first, min(count, first + TOGETHER))
        if isinstance(nodes, MqttNodes):
            nodes.publish(numbers)
        else:
            for stage in (nodes.receive_peers, nodes.verify, nodes.announce, nodes.answer):
                stage(numbers)
        nodes.route(numbers)
        # As messages, which are freed when they have been sent.
        nodes.reports.clear()
        nodes.published.clear()
    nodes.rest()
    gc.collect()
    give_back_free_memory()
    return resident_bytes(os.getpid()) - before


def _measure(
    results: Results, nodes: Nodes, *stages: tuple[str, Callable[[range], None]], sum_of: str
) -> None:
    tracemalloc.start()
    try:
        found = [(name, _grown(stage, nodes)) for name, stage in stages]
        nodes.rest()
        left = _traced(nodes)
    finally:
        tracemalloc.stop()
    results.figures += [_figure(name, grown / nodes.count) for name, grown in found]
    results.figures.append(_figure(sum_of, left / nodes.count, at_most=3000))


def _grown(stage: Callable[[range], None], nodes: Nodes) -> int:
    """The bytes that a stage allocates and keeps."""
    before = _traced(nodes)
    stage(range(nodes.count))
    return _traced(nodes) - before


def _traced(nodes: Nodes) -> int:
    """All allocated bytes, without the lists of messages between stages."""
    gc.collect()
    lists = nodes.reports.__sizeof__() + nodes.published.__sizeof__()
    return tracemalloc.get_traced_memory()[0] - lists


def _figure(name: str, value: float, *, at_most: float | None = None) -> Figure:
    return Figure("memory", name, value, "bytes", at_most=at_most)


if __name__ == "__main__":
    sys.stdout.write(str(_resident_growth(sys.argv[1], int(sys.argv[2]))))
