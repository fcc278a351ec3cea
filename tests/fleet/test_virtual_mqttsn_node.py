# SPDX-License-Identifier: BSD-3-Clause
"""The virtual MQTT-SN node without its socket: acknowledged publications count."""

import random

from pyaiot.fleet.ledger import ReadingSeries, Tally
from pyaiot.fleet.mqttsn import RETRY_S, VirtualMqttSnNode
from pyaiot.fleet.node import TRIES_MAX, WAITING_MAX
from pyaiot.protocols.mqttsn.numbers import ReturnCode
from pyaiot.protocols.mqttsn.packet import Packet, parse_packet
from pyaiot.protocols.mqttsn.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    Publish,
    RegAck,
    Register,
    SubAck,
    Subscribe,
)


class Gateway:
    def __init__(self) -> None:
        self.tally = Tally("MQTT-SN")
        self.series = ReadingSeries(self.tally)
        self.node = VirtualMqttSnNode("a", self.series, rng=random.Random(1))
        self.now = 1000.0
        self.published: list[Publish] = []
        self.code = int(ReturnCode.ACCEPTED)
        self.node.boot(now=self.now)
        self.run()

    def run(self, *, answers: bool = True) -> None:
        """Exchange packets until the node sends none."""
        self.node.handle_timer(now=self.now)
        while sent := self.node.datagrams_to_send():
            for data in sent if answers else ():
                answer = self._answer(parse_packet(data))
                if answer is not None:
                    self.node.receive_datagram(answer.to_bytes(), now=self.now)

    def _answer(self, packet: Packet) -> Packet | None:
        match packet:
            case Connect():
                return ConnAck(0)
            case Subscribe():
                return SubAck(1, packet.message_id, 0, 1)
            case Register():
                return RegAck(5, packet.message_id)
            case Publish():
                self.published.append(packet)
                return PubAck(packet.topic_id, packet.message_id, self.code)
        return None

    def readings(self) -> list[bytes]:
        return [packet.data for packet in self.published if b"value" in packet.data]


def test_readings_count_when_they_are_acknowledged() -> None:
    gateway = Gateway()
    assert gateway.tally.connections == 1
    for _ in range(3):
        gateway.node.read(now=gateway.now)
    assert gateway.tally.acknowledged == 0
    gateway.run()
    assert gateway.readings() == [b'{"value":"1"}', b'{"value":"2"}', b'{"value":"3"}']
    assert (gateway.tally.sent, gateway.tally.acknowledged) == (3, 3)


def test_queued_readings_are_bounded_and_sent_again_after_a_reconnection() -> None:
    gateway = Gateway()
    for _ in range(2 * WAITING_MAX):
        gateway.node.read(now=gateway.now)
    assert gateway.tally.sent == WAITING_MAX
    assert gateway.tally.skipped == WAITING_MAX
    gateway.node.receive_datagram(Disconnect().to_bytes(), now=gateway.now)
    assert not gateway.node.is_connected
    gateway.now += RETRY_S
    gateway.run()
    assert gateway.tally.connections == 2
    assert gateway.tally.acknowledged == WAITING_MAX


def test_reading_that_is_always_refused_is_given_up() -> None:
    gateway = Gateway()
    gateway.code = ReturnCode.NOT_SUPPORTED
    gateway.node.read(now=gateway.now)
    gateway.run()
    assert len(gateway.readings()) == TRIES_MAX
    assert gateway.tally.refusals == {"return code 3": TRIES_MAX}
    assert gateway.series.is_settled
    assert gateway.tally.acknowledged == 0


def test_unanswered_packet_is_retransmitted_after_three_seconds() -> None:
    gateway = Gateway()
    gateway.node.read(now=gateway.now)
    gateway.run(answers=False)
    timer = gateway.node.get_timer()
    assert timer is not None
    assert timer <= gateway.now + RETRY_S
    gateway.now += RETRY_S
    gateway.run()
    assert gateway.tally.acknowledged == 1
