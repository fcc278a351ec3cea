# SPDX-License-Identifier: BSD-3-Clause
"""The simulated MQTT-SN node without its socket, against a gateway that the test plays."""

import random
from typing import Any

from pyaiot.devices.simulated_mqttsn_node import (
    RECONNECT_S,
    WAITING_MAX,
    MqttSnNodeConfig,
    SimulatedMqttSnNode,
)
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
    """Answers everything at once, and keeps what was published."""

    def __init__(self, **its: Any) -> None:
        config = MqttSnNodeConfig(uid="lamp", led=True, **its)
        self.node = SimulatedMqttSnNode(config, rng=random.Random(1))
        self.now = 1000.0
        self.heard: list[Packet] = []
        self.said: list[object] = []
        self.topics: dict[str, int] = {}
        self.kept: list[Packet] = []
        self.knows_it = True
        self.node.boot(now=self.now)

    def run(self, seconds: float, *, answers: bool = True) -> list[Packet]:
        """What the node sends in so many seconds."""
        begin = len(self.heard)
        end = self.now + seconds
        while True:
            sent = [parse_packet(data) for data in self.node.datagrams_to_send(now=self.now)]
            self.heard += sent
            for packet in sent if answers else ():
                for answer in self._answers(packet):
                    self.node.receive_datagram(answer.to_bytes(), now=self.now)
            if not sent or not answers:
                if self.node.next_wake >= end:
                    break
                self.now = max(self.now, self.node.next_wake)
        self.now = end
        return self.heard[begin:]

    def publish(self, topic: str, data: bytes) -> None:
        packet = Publish(self._topic_id(topic), data, 1, 7)
        self.node.receive_datagram(packet.to_bytes(), now=self.now)

    def _topic_id(self, topic: str) -> int:
        return self.topics.setdefault(topic, len(self.topics) + 1)

    def _answers(self, packet: Packet) -> list[Packet]:
        if not self.knows_it and not isinstance(packet, Connect):
            return [Disconnect()]
        match packet:
            case Connect():
                self.knows_it = True
                return [ConnAck(0)]
            case Register():
                return [RegAck(self._topic_id(packet.topic), packet.message_id)]
            case Publish():
                names = {number: name for name, number in self.topics.items()}
                self.said.append(parse_publication(names[packet.topic_id], packet.data))
                return [PubAck(packet.topic_id, packet.message_id)]
            case Subscribe(topic=topic):
                assert isinstance(topic, str)
                return [SubAck(self._topic_id(topic), packet.message_id, 0, packet.qos)]
            case PingReq():
                kept, self.kept = self.kept, []
                return [*kept, PingResp()]
            case Disconnect():
                return [Disconnect()]
        return []


def test_node_connects_subscribes_by_name_and_says_that_it_is_there() -> None:
    gateway = Gateway()
    connect, *others = gateway.run(1)
    assert connect == Connect("lamp", 360)
    subscribed = {packet.topic for packet in others if isinstance(packet, Subscribe)}
    assert subscribed == {"gateway/check", "gateway/lamp/discover", "gateway/lamp/led/set"}
    assert gateway.said == [NodeCheck("lamp")]


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
    assert NodeValue("lamp", "led", "0") in gateway.said
    gateway.publish(set_topic("lamp", "led"), b"1")
    gateway.run(1)
    assert gateway.said[-1] == NodeValue("lamp", "led", "1")


def test_gateway_that_is_not_there_is_tried_again_after_15_seconds() -> None:
    gateway = Gateway()
    packets = gateway.run(100, answers=False)
    assert all(isinstance(packet, Connect) for packet in packets)
    assert 6 <= len(packets) <= 8
    assert gateway.run(RECONNECT_S)[-1] != packets[-1]
    assert gateway.said == [NodeCheck("lamp")]


def test_gateway_that_was_started_again_is_connected_to_at_once() -> None:
    gateway = Gateway(temperature=True, period_s=2.0)
    gateway.run(10)
    gateway.knows_it = False
    packets = gateway.run(2.1)
    assert Connect("lamp", 360) in packets
    assert sum(isinstance(packet, Subscribe) for packet in packets) == 3
    assert gateway.said.count(NodeCheck("lamp")) == 2


def test_node_that_sleeps_fetches_what_was_kept_and_answers() -> None:
    gateway = Gateway(sleep_s=10.0)
    packets = gateway.run(5)
    assert packets[0] == Connect("lamp", 360, False)
    assert packets[-1] == Disconnect(30)
    gateway.kept = [Publish(gateway.topics[set_topic("lamp", "led")], b"1", 1, 9)]
    packets = gateway.run(10)
    assert PingReq("lamp") in packets
    assert NodeValue("lamp", "led", "1") in gateway.said
    assert packets[-1] == Disconnect(30)
    # It woke up: its subscriptions are still there.
    assert not any(isinstance(packet, Subscribe) for packet in packets)


def test_node_that_sleeps_says_that_it_is_there_every_30_seconds() -> None:
    gateway = Gateway(sleep_s=10.0)
    gateway.run(95)
    assert gateway.said.count(NodeCheck("lamp")) == 4


def test_node_that_sleeps_subscribes_anew_when_its_gateway_was_started_again() -> None:
    gateway = Gateway(sleep_s=10.0)
    gateway.run(5)
    gateway.knows_it = False
    packets = gateway.run(15)
    assert sum(isinstance(packet, Subscribe) for packet in packets) == 3


def test_publications_that_wait_are_bounded() -> None:
    gateway = Gateway()
    gateway.run(1)
    wishes = [gateway.node.publish("node/lamp/x", b"1", now=gateway.now) for _ in range(100)]
    assert wishes.count(None) == 100 - WAITING_MAX
    gateway.run(60, answers=False)
    assert len(gateway.node.client) <= WAITING_MAX


def test_what_is_no_packet_is_dropped() -> None:
    gateway = Gateway()
    gateway.run(1)
    for data in (b"", b"\x02", b"\x05\xff\0\0\0", b"\x07\x0b\0\1\0\1"):
        gateway.node.receive_datagram(data, now=gateway.now)
    assert gateway.run(1) == []
