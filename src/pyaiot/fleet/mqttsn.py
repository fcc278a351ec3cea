# SPDX-License-Identifier: BSD-3-Clause
"""A virtual MQTT-SN node: a simulated node that publishes counted readings. Pure."""

import random
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.devices.addresses import SocketAddress, resolve
from pyaiot.devices.mqttsn_node import SimulatedMqttSnNode
from pyaiot.devices.mqttsn_node_config import MqttSnNodeConfig
from pyaiot.fleet.config import NODES_MAX, Port
from pyaiot.fleet.ledger import ReadingSeries
from pyaiot.fleet.node import RESOURCE, FleetRun, NodeFactory, VirtualNode
from pyaiot.protocols.mqtt.node_topics import encode_value, value_topic
from pyaiot.protocols.mqttsn.client_events import (
    ClientState,
    MqttSnConnected,
    MqttSnRefused,
    MqttSnRequestDone,
)

RETRY_S: Final = 3.0
"""Seconds between the retransmissions of a packet. After three the node reconnects."""


class VirtualMqttSnNode(VirtualNode):
    """Call `boot` first. The methods are those of `DatagramNode`."""

    def __init__(self, uid: str, series: ReadingSeries, *, rng: random.Random) -> None:
        super().__init__(uid, series)
        config = MqttSnNodeConfig(uid=uid, name=uid, led=True, retry_s=RETRY_S)
        self._node = SimulatedMqttSnNode(config, rng=rng)
        self._topic = value_topic(uid, RESOURCE)
        self._reading_of: dict[int, int] = {}
        """Reading by number of the request."""
        self.boot = self._node.boot
        self.datagrams_to_send = self._node.datagrams_to_send
        self.get_timer = self._node.get_timer
        self.handle_timer = self._node.handle_timer

    @property
    def is_connected(self) -> bool:
        return self._node.client.state is ClientState.ACTIVE

    def receive_datagram(self, data: bytes, *, now: float) -> None:
        for event in self._node.receive_datagram(data, now=now):
            match event:
                case MqttSnConnected():
                    self.series.tally.connections += 1
                case MqttSnRequestDone(request=request) if request in self._reading_of:
                    self._acknowledged(self._reading_of.pop(request))
                case MqttSnRefused(return_code=code, request=request) if (
                    request in self._reading_of
                ):
                    number = self._reading_of.pop(request)
                    if self._refused(number, f"return code {code}", is_temporary=True):
                        self._send(number, now=now)
                case MqttSnRefused(return_code=code):
                    self.series.tally.refusals[f"return code {code}"] += 1

    def _send(self, number: int, *, now: float) -> bool:
        request = self._node.publish(self._topic, encode_value(str(number)), now=now)
        if request is None:
            return False
        self._reading_of[request] = number
        return True


class MqttSnFleetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a fleet for MQTT-SN."""

    mqttsn: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Number of MQTT-SN nodes; 0: none.")
    ] = 5
    mqttsn_port: Annotated[Port, Meta(description="UDP port of the MQTT-SN gateway.")] = 1885


class MqttSnNodeFactory(NodeFactory):
    """Creates virtual MQTT-SN nodes."""

    def __init__(
        self, settings: MqttSnFleetSettings, run: FleetRun, gateway: SocketAddress
    ) -> None:
        self._settings = settings
        self._run = run
        self._gateway = gateway

    @classmethod
    async def open(cls, settings: MqttSnFleetSettings, run: FleetRun) -> "MqttSnNodeFactory":
        return cls(settings, run, await resolve(run.gateway_host, settings.mqttsn_port, 0))

    @property
    def target(self) -> tuple[str, str, int, str]:
        return "gateway", self._run.gateway_host, self._settings.mqttsn_port, "mqttsn"

    def add(self, uid: str, series: ReadingSeries) -> VirtualNode:
        node = VirtualMqttSnNode(uid, series, rng=self._run.rng)
        self._run.datagrams.add_node(node, self._gateway)
        return node
