# SPDX-License-Identifier: BSD-3-Clause
"""Publications from one client to the MQTT broker (6.6). Pure.

QoS 1 is acknowledged after the broker acknowledged it. QoS 2 is passed to the broker at PUBLISH,
answered with PUBREC after the broker acknowledged it, and remembered until `LATE_S` after PUBREL.
A publication that the broker does not accept is refused with "congestion".
"""

from collections.abc import Callable
from typing import Final

from pyaiot.protocols.mqttsn.deduplication import Answers, Qos2Receiver, without_dup
from pyaiot.protocols.mqttsn.mqtt import NO_TOKEN, MqttAction, MqttPublish, MqttPublished
from pyaiot.protocols.mqttsn.numbers import ReturnCode
from pyaiot.protocols.mqttsn.packets import Packet, PubAck, PubComp, Publish, PubRec, PubRel

IN_FLIGHT_MAX: Final = 32
"""Publications of one client that the broker has not acknowledged. Further ones are refused with
"congestion".
"""

Effect = Packet | MqttAction


class Publications:
    """The publications of a client, from PUBLISH to the last acknowledgement."""

    def __init__(self, next_token: Callable[[], int]) -> None:
        self._next_token = next_token
        self._in_flight: dict[int, Publish] = {}
        self._qos2 = Qos2Receiver()
        self._acknowledged = Answers()
        self.dropped = 0
        """Publications with QoS 0 that were dropped because there was no broker."""

    def receive_publish(
        self, packet: Publish, topic: str | None, *, ready: bool, now: float
    ) -> list[Effect]:
        """Process a PUBLISH. `topic` None: its topic id is unknown. `ready`: the broker is
        connected."""
        publish = without_dup(packet)
        if publish.qos == 2 and self._qos2.has(publish, now=now):
            return [PubRec(publish.message_id)]
        if packet.dup:
            answer = self._acknowledged.find(publish.message_id, publish, now=now)
            if answer is not None:
                return [answer]
        if topic is None:
            return [_refusal(publish, ReturnCode.INVALID_TOPIC_ID)]
        if publish.qos <= 0:
            if not ready:
                self.dropped += 1
                return []
            return [MqttPublish(NO_TOKEN, topic, publish.data, 0, publish.retain)]
        if publish in self._in_flight.values():
            return []  # answered when the broker answers
        if not ready or len(self._in_flight) >= IN_FLIGHT_MAX:
            return [_refusal(publish, ReturnCode.CONGESTION)]
        token = self._next_token()
        self._in_flight[token] = publish
        return [MqttPublish(token, topic, publish.data, publish.qos, publish.retain)]

    def published(self, event: MqttPublished, *, now: float) -> list[Effect]:
        """The broker accepted or refused a publication."""
        publish = self._in_flight.pop(event.token, None)
        if publish is None:
            return []
        if not event.accepted:
            return [_refusal(publish, ReturnCode.CONGESTION)]
        if publish.qos == 2:
            self._qos2.add(publish)
            return [PubRec(publish.message_id)]
        answer = PubAck(publish.topic_id, publish.message_id)
        self._acknowledged.remember(publish.message_id, publish, answer, now=now)
        return [answer]

    def released(self, packet: PubRel, *, now: float) -> list[Effect]:
        self._qos2.release(packet.message_id, now=now)
        return [PubComp(packet.message_id)]

    def broker_lost(self) -> list[Effect]:
        """Refuse all publications that the broker has not acknowledged."""
        refused = [_refusal(publish, ReturnCode.CONGESTION) for publish in self._in_flight.values()]
        self._in_flight.clear()
        return [*refused]

    def clear(self) -> None:
        """A new session begins."""
        self._in_flight.clear()
        self._qos2.clear()
        self._acknowledged.clear()


def _refusal(publish: Publish, return_code: ReturnCode) -> PubAck:
    return PubAck(publish.topic_id, publish.message_id, return_code)
