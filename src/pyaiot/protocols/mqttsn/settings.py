# SPDX-License-Identifier: BSD-3-Clause
"""What is set for a gateway, with the limits of its clients."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.numbers import N_RETRY, T_ADV_S, T_RETRY_S

HOST_SHARE: Final = 0.25
"""Part of what a gateway keeps for all clients that those of one host may take."""


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What all sessions of a gateway have in common."""

    predefined: Mapping[int, str] = MappingProxyType({})
    """Predefined topic ids and their names (6.7)."""
    topics_max: int = 256
    """Registered topics of one client. One more is refused with "congestion"."""
    topic_bytes_max: int = 16_384
    """UTF-8 bytes of the registered topics of one client, and as many of its topic filters. More:
    "congestion"."""
    spaces_in_topics: bool = False
    """Whether the MQTT broker takes topics with spaces and control characters. nats-server ends
    the connection of a client that publishes one; so they are refused as not supported."""
    messages_max: int = 64
    """Messages kept for one client. Beyond, the oldest goes, of QoS 0 if there is one."""
    packet_bytes_max: int = 1024
    """Size of a packet to a client. What does not fit is not delivered."""
    retry_s: float = T_RETRY_S
    retries_max: int = N_RETRY
    broker_limit_s: float = 8.0
    """How long a CONNECT waits for the MQTT broker before it is refused with "congestion"."""


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway is, and how many it serves."""

    gateway_id: int = 1
    """0 to 255, for ADVERTISE and GWINFO (5.3.6)."""
    clients_max: int = 10_000
    """Clients that are connected, connecting or asleep. One more is refused with "congestion"."""
    clients_per_host_max: int = 1_000
    """The same of one host. One more is refused with "congestion"."""
    topic_bytes_total_max: int = 64 * 1024 * 1024
    """Topics and topic filters of all clients, and `HOST_SHARE` of it those of one host. More:
    "congestion"."""
    message_bytes_total_max: int = 64 * 1024 * 1024
    """Messages kept for all clients, and `HOST_SHARE` of it those for one host. Beyond, the oldest
    of the client goes, or the new one."""
    command_s_max: float | None = None
    """How long a command of QoS 0 whose deadline is not known may be kept; None: any time."""
    kept_max: int = 1_000
    """Sessions kept of clients that are away (clean session off). Beyond, the oldest goes,
    of a host that has more than `HOST_SHARE` of them if there is one."""
    advertise_s: float | None = T_ADV_S
    """Between two ADVERTISE, up to 65,535 s; None: none is sent."""
    publish_without_connection: bool = False
    """Whether QoS -1 is served (6.8): anybody may publish, and nobody says who it was."""
    session: SessionConfig = SessionConfig()
