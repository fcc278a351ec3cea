# SPDX-License-Identifier: BSD-3-Clause
"""The address of an MQTT broker, and how to connect to it."""

import ssl
from collections.abc import Callable

import msgspec


class LastWill(msgspec.Struct, frozen=True):
    """What the broker publishes when it loses the connection of a client."""

    topic: str
    payload: bytes
    retained: bool = True


class MqttServer(msgspec.Struct, frozen=True):
    """An MQTT broker, and the credentials of its client."""

    host: str
    port: int
    user: str = ""
    password: Callable[[], str] | None = None
    """Called at each attempt to connect, so that a changed file takes effect. May raise
    `OperatorError`."""
    tls: ssl.SSLContext | None = None
    client_id: str = ""
    """A fixed client id: the broker keeps messages with QoS 1 for it while it is offline. Empty: a
    random one in each process, whose session is kept for `SESSION_S` at most."""
    version: int | None = None
    """5 or 4 (MQTT 3.1.1); None tries 5 first."""
    echo_topic: str = ""
    """Topic on which the client publishes to itself; empty: `gateway/<client id>/echo`, with a
    random name in place of a random client id, because other clients may subscribe to it."""
