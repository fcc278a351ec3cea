# SPDX-License-Identifier: BSD-3-Clause
"""What a gateway sends and requests, and the saved form of a client."""

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from pyaiot.protocols.mqttsn.mqtt import MqttAction
from pyaiot.protocols.mqttsn.session_data import SavedSession

A = TypeVar("A", bound=Hashable)


class ClientAddress(NamedTuple, Generic[A]):
    """The address of a client. `node_id` is None unless a forwarder is at the address."""

    address: A
    node_id: bytes | None = None


class Send(msgspec.Struct, Generic[A], frozen=True):
    """Send the datagram to the address."""

    address: A
    datagram: bytes


class Broadcast(msgspec.Struct, frozen=True):
    """Broadcast the datagram to nodes that may search for a gateway (6.1)."""

    datagram: bytes


class ToMqtt(msgspec.Struct, frozen=True):
    """Perform the action on the MQTT connection of this client."""

    client_id: str
    action: MqttAction


class PublishWithoutConnection(msgspec.Struct, frozen=True):
    """Publish with QoS 0 over a connection of the gateway itself: QoS -1 (6.8)."""

    topic: str
    payload: bytes
    retain: bool


Output = Send[A] | Broadcast | ToMqtt | PublishWithoutConnection


class SavedClient(NamedTuple, Generic[A]):
    """What is saved of a client: its address, None if it is offline, and its session."""

    peer: ClientAddress[A] | None
    session: SavedSession
