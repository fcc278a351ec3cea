# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT-SN node: the simulated one, with readings that are counted. Pure."""

import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.addresses import Address, resolve
from pyaiot.devices.simulated_mqttsn_node import MqttSnNodeConfig, SimulatedMqttSnNode
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import Series
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
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
                        self._send(number, now=now)
                case Refused(return_code=code):
                    self.series.account.refusals[f"return code {code}"] += 1

    def _send(self, number: int, *, now: float) -> bool:
        wish = self._node.publish(self._topic, encode_value(str(number)), now=now)
        if wish is None:
            return False
        self._number_of[wish] = number
        return True


class MqttSnFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a fleet that concern MQTT-SN."""

    mqttsn: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak MQTT-SN; 0 leaves it out.")
    ] = 5
    mqttsn_port: Annotated[Port, Meta(description="UDP port of the MQTT-SN gateway.")] = 1885


class MqttSnNodeFactory(NodeFactory):
    """Makes virtual MQTT-SN nodes."""

    def __init__(self, settings: MqttSnFleetSettings, run: FleetRun, gateway: Address) -> None:
        self._settings = settings
        self._run = run
        self._gateway = gateway

    @classmethod
    async def open(cls, settings: MqttSnFleetSettings, run: FleetRun) -> "MqttSnNodeFactory":
        return cls(settings, run, await resolve(run.gateway_host, settings.mqttsn_port, 0))

    @property
    def place(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.mqttsn_port, "mqttsn"

    def add(self, uid: str, series: Series) -> VirtualNode:
        node = VirtualMqttSnNode(uid, series, rng=self._run.rng)
        self._run.datagrams.add_node(node, self._gateway)
        return node
