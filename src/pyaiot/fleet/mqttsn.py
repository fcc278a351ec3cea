# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT-SN node: the simulated one, with readings that are counted. Pure."""

import random
from typing import Final

from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig, SimulatedMqttSnNode
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, VirtualNode
from pyaiot.protocols.mqtt.node_topics import encode_value, value_topic
from pyaiot.protocols.mqttsn.client_events import ClientState, Connected, Refused, RequestDone

RETRY_S: Final = 3.0
"""An unanswered packet is repeated so soon, and three times, before the node connects anew."""


class VirtualMqttSnNode(VirtualNode):
    """Call `boot` first. Send what `datagrams_to_send` gives, and call it again at `next_wake`."""

    def __init__(self, uid: str, series: Series, *, rng: random.Random) -> None:
        super().__init__(uid, series)
        config = MqttSnNodeConfig(uid=uid, name=uid, led=True, retry_s=RETRY_S)
        self._node = SimulatedMqttSnNode(config, rng=rng)
        self._topic = value_topic(uid, RESOURCE)
        self._number_of: dict[int, int] = {}
        """Wish → reading."""
        self.boot = self._node.boot
        self.datagrams_to_send = self._node.datagrams_to_send

    @property
    def is_connected(self) -> bool:
        return self._node.client.state is ClientState.ACTIVE

    @property
    def next_wake(self) -> float:
        return self._node.next_wake

    def receive_datagram(self, data: bytes, *, now: float) -> None:
        for event in self._node.receive_datagram(data, now=now):
            match event:
                case Connected():
                    self.series.account.connections += 1
                case RequestDone(wish=wish) if wish in self._number_of:
                    self._acknowledged(self._number_of.pop(wish))
                case Refused(return_code=code, wish=wish) if wish in self._number_of:
                    number = self._number_of.pop(wish)
                    if self._refused(number, f"return code {code}", for_now=True):
                        self._say(number, now=now)
                case Refused(return_code=code):
                    self.series.account.refusals[f"return code {code}"] += 1

    def _say(self, number: int, *, now: float) -> bool:
        wish = self._node.publish(self._topic, encode_value(str(number)), now=now)
        if wish is None:
            return False
        self._number_of[wish] = number
        return True
