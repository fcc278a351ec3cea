# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated MQTT-SN node, against a scripted gateway."""

import random
from typing import Any

from pyaiot.devices.mqttsn_node import RECONNECT_S, WAITING_MAX, SimulatedMqttSnNode
from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig
from pyaiot.protocols.mqtt.node_topics import (
    NodeCheck,
    NodeValue,
    discover_topic,
    parse_publication,
    set_topic,
)
from pyaiot.protocols.mqttsn.packet import Packet, parse_packet
from pyaiot.protocols.mqttsn.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    RegAck,
    Register,
    SubAck,
    Subscribe,
)


class Gateway:
    """Answers everything at once and records publications."""

    def __init__(self, **its: Any) -> None:
        config = MqttSnNodeConfig(uid="lamp", led=True, **its)
        self.node = SimulatedMqttSnNode(config, rng=random.Random(1))
        self.now = 1000.0
        self.received: list[Packet] = []
        self.publications: list[object] = []
        self.topics: dict[str, int] = {}
        self.buffered: list[Packet] = []
        self.knows_node = True
        self.node.boot(now=self.now)

    def run(self, seconds: float, *, answers: bool = True) -> list[Packet]:
        """The packets that the node sends in `seconds`."""
        begin = len(self.received)
        end = self.now + seconds
        while True:
            sent = [parse_packet(data) for data in self.node.datagrams_to_send()]
            self.received += sent
            for packet in sent if answers else ():
                for answer in self._answers(packet):
                    self.node.receive_datagram(answer.to_bytes(), now=self.now)
            if not sent or not answers:
                timer = self.node.get_timer()
                if timer is None or timer >= end:
                    break
                self.now = max(self.now, timer)
                self.node.handle_timer(now=self.now)
        self.now = end
        return self.received[begin:]

    def publish(self, topic: str, data: bytes) -> None:
        packet = Publish(self._topic_id(topic), data, 1, 7)
        self.node.receive_datagram(packet.to_bytes(), now=self.now)

    def _topic_id(self, topic: str) -> int:
        return self.topics.setdefault(topic, len(self.topics) + 1)

    def _answers(self, packet: Packet) -> list[Packet]:
        if not self.knows_node and not isinstance(packet, Connect):
            return [Disconnect()]
        match packet:
            case Connect():
                self.knows_node = True
                return [ConnAck(0)]
            case Register():
                return [RegAck(self._topic_id(packet.topic), packet.message_id)]
            case Publish():
                names = {number: name for name, number in self.topics.items()}
                self.publications.append(parse_publication(names[packet.topic_id], packet.data))
                return [PubAck(packet.topic_id, packet.message_id)]
            case Subscribe(topic=topic):
                assert isinstance(topic, str)
                return [SubAck(self._topic_id(topic), packet.message_id, 0, packet.qos)]
            case PingReq():
                buffered, self.buffered = self.buffered, []
                return [*buffered, PingResp()]
            case Disconnect():
                return [Disconnect()]
        return []


def test_node_connects_subscribes_by_name_and_announces_itself() -> None:
    gateway = Gateway()
    connect, *others = gateway.run(1)
    assert connect == Connect("lamp", 360)
    subscribed = {packet.topic for packet in others if isinstance(packet, Subscribe)}
    assert subscribed == {"gateway/check", "gateway/lamp/discover", "gateway/lamp/led/set"}
    assert gateway.publications == [NodeCheck("lamp")]


def test_topic_is_registered_before_every_publication_as_emcute_does() -> None:
    gateway = Gateway(temperature=True, period_s=2.0)
    packets = gateway.run(20)
    publications = [index for index, packet in enumerate(packets) if isinstance(packet, Publish)]
    assert len(publications) > 8
    for index in publications:
        assert isinstance(packets[index - 1], Register)
        published = packets[index]
        assert isinstance(published, Publish)
        assert (published.qos, published.retain) == (1, False)


def test_node_is_discovered_and_commanded() -> None:
    gateway = Gateway()
    gateway.run(1)
    gateway.publish(discover_topic("lamp"), b"values")
    gateway.run(1)
    assert NodeValue("lamp", "led", "0") in gateway.publications
    gateway.publish(set_topic("lamp", "led"), b"1")
    gateway.run(1)
    assert gateway.publications[-1] == NodeValue("lamp", "led", "1")


def test_connecting_is_retried_after_15_seconds() -> None:
    gateway = Gateway()
    packets = gateway.run(100, answers=False)
    assert all(isinstance(packet, Connect) for packet in packets)
    assert 6 <= len(packets) <= 8
    assert gateway.run(RECONNECT_S)[-1] != packets[-1]
    assert gateway.publications == [NodeCheck("lamp")]


def test_node_reconnects_at_once_to_a_restarted_gateway() -> None:
    gateway = Gateway(temperature=True, period_s=2.0)
    gateway.run(10)
    gateway.knows_node = False
    packets = gateway.run(2.1)
    assert Connect("lamp", 360) in packets
    assert sum(isinstance(packet, Subscribe) for packet in packets) == 3
    assert gateway.publications.count(NodeCheck("lamp")) == 2


def test_sleeping_node_fetches_buffered_messages_and_answers() -> None:
    gateway = Gateway(sleep_s=10.0)
    packets = gateway.run(5)
    assert packets[0] == Connect("lamp", 360, False)
    assert packets[-1] == Disconnect(30)
    gateway.buffered = [Publish(gateway.topics[set_topic("lamp", "led")], b"1", 1, 9)]
    packets = gateway.run(10)
    assert PingReq("lamp") in packets
    assert NodeValue("lamp", "led", "1") in gateway.publications
    assert packets[-1] == Disconnect(30)
    # A wake-up keeps the subscriptions.
    assert not any(isinstance(packet, Subscribe) for packet in packets)


def test_sleeping_node_announces_itself_every_30_seconds() -> None:
    gateway = Gateway(sleep_s=10.0)
    gateway.run(95)
    assert gateway.publications.count(NodeCheck("lamp")) == 4


def test_sleeping_node_resubscribes_to_a_restarted_gateway() -> None:
    gateway = Gateway(sleep_s=10.0)
    gateway.run(5)
    gateway.knows_node = False
    packets = gateway.run(15)
    assert sum(isinstance(packet, Subscribe) for packet in packets) == 3


def test_queued_publications_are_bounded() -> None:
    gateway = Gateway()
    gateway.run(1)
    requests = [gateway.node.publish("node/lamp/x", b"1", now=gateway.now) for _ in range(100)]
    assert requests.count(None) == 100 - WAITING_MAX
    gateway.run(60, answers=False)
    assert len(gateway.node.client) <= WAITING_MAX


def test_invalid_packets_are_dropped() -> None:
    gateway = Gateway()
    gateway.run(1)
    for data in (b"", b"\x02", b"\x05\xff\0\0\0", b"\x07\x0b\0\1\0\1"):
        gateway.node.receive_datagram(data, now=gateway.now)
    assert gateway.run(1) == []
