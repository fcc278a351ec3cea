# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the MQTT-SN gateway."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from pyaiot.config.section import Port, ProtocolSection


class MqttsnSection(ProtocolSection, frozen=True, kw_only=True):
    """The MQTT-SN gateway. It opens a connection to the MQTT broker of `[mqtt]` per client."""

    table: ClassVar[str] = "mqttsn"

    host: Annotated[
        str, Meta(description="Address to listen on; `::` accepts devices from the whole network.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that clients send to; 0: any free port.")] = (
        1885
    )
    gateway_id: Annotated[
        int, Meta(ge=0, le=255, description="Gateway id in ADVERTISE and GWINFO.")
    ] = 1
    clients_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of clients, connected or asleep. Further ones are refused.",
        ),
    ] = 10_000
    clients_per_host_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of clients of one host, which may be a router. Further"
            " ones are refused.",
        ),
    ] = 1_000
    topic_bytes_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_048_576,
            description="Maximum total size in bytes of the registered topics of one client, and"
            " of its topic filters. Further ones are refused.",
        ),
    ] = 16_384
    state_file: Annotated[
        str,
        Meta(
            description="File that keeps the clients and their topics over a restart; empty:"
            " `$XDG_STATE_HOME/pyaiot/mqttsn-PORT.db`, or none if the port is 0; `off`: none."
        ),
    ] = ""
    topics_max: Annotated[
        int,
        Meta(
            ge=1,
            le=65_534,
            description="Maximum number of registered topics of one client. Further ones are"
            " refused.",
        ),
    ] = 256
    messages_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Maximum number of messages queued for one client, for example while it"
            " sleeps. Above it, the oldest is dropped, those with QoS 0 first.",
        ),
    ] = 64
    packets_per_s: Annotated[
        float,
        Meta(
            ge=1,
            le=100_000,
            description="Rate limit of one client in packets per second; the burst is twice that."
            " Packets above it are dropped.",
        ),
    ] = 200.0
    client_prefix: Annotated[
        str,
        Meta(
            max_length=32,
            pattern=r"^[^/+#\x00-\x1f]*$",
            description="Prefix of the client ids at the MQTT broker. It keeps MQTT-SN clients"
            " from taking over the session of an MQTT client.",
        ),
    ] = "sn-"
    predefined: Annotated[
        dict[Annotated[int, Meta(ge=1, le=65_534)], Annotated[str, Meta(min_length=1)]],
        Meta(description="Predefined topic ids: a table of numbers and topics."),
    ] = msgspec.field(default_factory=dict)
    publish_without_connection: Annotated[
        bool,
        Meta(
            description="Accept QoS -1: every device may publish to short and predefined topics"
            " without a connection or a client id."
        ),
    ] = False
    advertise_address: Annotated[
        str,
        Meta(
            description="Broadcast or multicast address for ADVERTISE, such as `255.255.255.255`"
            " or `ff02::1%eth0`; empty: none is sent."
        ),
    ] = ""
    advertise_interval_s: Annotated[
        int, Meta(ge=1, le=65_535, description="Seconds between two ADVERTISE.")
    ] = 900
