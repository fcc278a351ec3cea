# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the MQTT-SN gateway."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from pyaiot.config.section import Port, ProtocolSection


class MqttsnSection(ProtocolSection, frozen=True, kw_only=True):
    """The MQTT-SN gateway, whose clients each get a connection to the MQTT broker of `[mqtt]`."""

    table: ClassVar[str] = "mqttsn"

    host: Annotated[
        str, Meta(description="Address to listen on; `::` lets in every device that reaches it.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that clients speak to; 0: any free one.")] = (
        1885
    )
    gateway_id: Annotated[
        int, Meta(ge=0, le=255, description="What it is called in ADVERTISE and GWINFO.")
    ] = 1
    clients_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Clients that are connected or asleep. One more is refused.",
        ),
    ] = 10_000
    clients_per_host_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="The same of one host, which may be a router with many clients behind it."
            " One more is refused.",
        ),
    ] = 1_000
    topic_bytes_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_048_576,
            description="Bytes of the registered topics of one client, and as many of its topic"
            " filters. More are refused.",
        ),
    ] = 16_384
    state_file: Annotated[
        str,
        Meta(
            description="File that remembers the clients and their topics over a restart; empty:"
            " `$XDG_STATE_HOME/pyaiot/mqttsn-PORT.db`, and none for port 0; `off`: none."
        ),
    ] = ""
    topics_max: Annotated[
        int,
        Meta(ge=1, le=65_534, description="Registered topics of one client. One more is refused."),
    ] = 256
    messages_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Messages kept for one client, as while it sleeps. Beyond, the oldest"
            " goes, one of QoS 0 if there is one.",
        ),
    ] = 64
    packets_per_s: Annotated[
        float,
        Meta(
            ge=1,
            le=100_000,
            description="Packets of one client that are read in a second, sustained; twice as"
            " many at once. What is over is dropped.",
        ),
    ] = 200.0
    client_prefix: Annotated[
        str,
        Meta(
            max_length=32,
            pattern=r"^[^/+#\x00-\x1f]*$",
            description="Stands before the client id at the MQTT broker, so that no client of"
            " MQTT-SN takes the place of one of MQTT.",
        ),
    ] = "sn-"
    predefined: Annotated[
        dict[Annotated[int, Meta(ge=1, le=65_534)], Annotated[str, Meta(min_length=1)]],
        Meta(description="Predefined topic ids: a table of numbers and topics."),
    ] = msgspec.field(default_factory=dict)
    publish_without_connection: Annotated[
        bool,
        Meta(
            description="Serve QoS -1: anybody may publish to short and predefined topics, and"
            " nobody says who it was."
        ),
    ] = False
    advertise_address: Annotated[
        str,
        Meta(
            description="Broadcast or multicast address at which it tells of itself, say"
            " `255.255.255.255` or `ff02::1%eth0`; empty: it does not."
        ),
    ] = ""
    advertise_interval_s: Annotated[
        int, Meta(ge=1, le=65_535, description="Between two ADVERTISE.")
    ] = 900
