# SPDX-License-Identifier: BSD-3-Clause
"""The configuration of a gateway, with the limits of its clients."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.numbers import N_RETRY, T_ADV_S, T_RETRY_S

HOST_SHARE: Final = 0.25
"""Part of the memory for all clients that the clients of one host may use."""


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration that all sessions of a gateway share."""

    predefined: Mapping[int, str] = MappingProxyType({})
    """Predefined topic ids and their names (6.7)."""
    topics_max: int = 256
    """Registered topics of one client. Further ones are refused with "congestion"."""
    topic_bytes_max: int = 16_384
    """UTF-8 bytes of the registered topics of one client, and the same of its topic filters. More
    is refused with "congestion"."""
    spaces_in_topics: bool = False
    """Whether the MQTT broker accepts topics with spaces and control characters. nats-server closes
    the connection of a client that publishes one; then they are refused as not supported."""
    messages_max: int = 64
    """Messages kept for one client. Beyond that, the oldest is dropped, QoS 0 first."""
    packet_bytes_max: int = 1024
    """Bytes of a packet to a client. A message that does not fit is dropped."""
    retry_s: float = T_RETRY_S
    retries_max: int = N_RETRY
    broker_limit_s: float = 8.0
    """How long a CONNECT waits for the MQTT broker before it is refused with "congestion"."""


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a gateway."""

    gateway_id: int = 1
    """0 to 255, for ADVERTISE and GWINFO (5.3.6)."""
    clients_max: int = 10_000
    """Clients that are connected, connecting or asleep. Further ones are refused with
    "congestion".
    """
    clients_per_host_max: int = 1_000
    """The same for one host. Further ones are refused with "congestion"."""
    topic_bytes_total_max: int = 64 * 1024 * 1024
    """Bytes of topics and topic filters of all clients; of one host `HOST_SHARE` of it. More is
    refused with "congestion"."""
    message_bytes_total_max: int = 64 * 1024 * 1024
    """Bytes of messages kept for all clients; for one host `HOST_SHARE` of it. Beyond that, the
    oldest message of the client is dropped, or the new one."""
    command_s_max: float | None = None
    """How long a command with QoS 0 and an unknown deadline is kept; None: without limit."""
    kept_max: int = 1_000
    """Sessions kept for offline clients (clean session off). Beyond that, the oldest is deleted, of
    a host with more than `HOST_SHARE` of them if there is one."""
    advertise_s: float | None = T_ADV_S
    """Interval between two ADVERTISE, up to 65,535 s; None: none are sent."""
    publish_without_connection: bool = False
    """Whether QoS -1 is accepted (6.8): publications without a connection and without a sender."""
    session: SessionConfig = SessionConfig()
