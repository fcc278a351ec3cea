# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the MQTT gateway."""

from typing import Annotated, ClassVar

from msgspec import Meta

from pyaiot.config.section import (
    GatewayName,
    NewNodesPerS,
    NodesMax,
    Port,
    ProtocolSection,
    SilenceLimitS,
)


class MqttSection(ProtocolSection, frozen=True, kw_only=True):
    """The MQTT gateway, a client of an MQTT broker: of one that is named, or of one of ours."""

    table: ClassVar[str] = "mqtt"

    host: Annotated[
        str,
        Meta(
            description="Host of the MQTT broker; empty: `aiot run` and `aiot demo` start one of"
            " their own, gateways by themselves look on this machine."
        ),
    ] = ""
    port: Annotated[
        Port, Meta(description="TCP port of the MQTT broker; 0: any free one, for one of our own.")
    ] = 1886
    listen: Annotated[
        str,
        Meta(
            description="Address that our own MQTT broker listens on; `::` lets in every device"
            " that reaches it."
        ),
    ] = "127.0.0.1"
    folder: Annotated[
        str,
        Meta(
            description="Where our own MQTT broker keeps what it has acknowledged; empty:"
            " `$XDG_DATA_HOME/pyaiot/mqtt`. The demo keeps nothing."
        ),
    ] = ""
    sync_always: Annotated[
        bool,
        Meta(
            description="Our own MQTT broker writes to the disk before it acknowledges: a tenth"
            " as fast, and proof against power cuts."
        ),
    ] = False
    user: Annotated[
        str, Meta(description="User name at the MQTT broker that is named; empty: without one.")
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `user`. Read again at each"
            " attempt to connect; only its owner may read it."
        ),
    ] = ""
    client_id: Annotated[
        str,
        Meta(
            max_length=23,
            description="Client id at the MQTT broker that is named, of this gateway alone: what"
            " nodes publish with QoS 1 while it is away is kept for it there; empty: any, and"
            " nothing is kept.",
        ),
    ] = ""
    tls: Annotated[bool, Meta(description="Speak TLS to the MQTT broker that is named.")] = False
    ca_file: Annotated[
        str, Meta(description="Authorities of the MQTT broker (PEM); empty: those of the system.")
    ] = ""
    certificate_file: Annotated[
        str, Meta(description="Certificate that the gateway shows the MQTT broker (PEM).")
    ] = ""
    certificate_key_file: Annotated[
        str, Meta(description="Its key (PEM); empty: in the file of the certificate.")
    ] = ""
    count_ignored: Annotated[
        bool,
        Meta(
            description="Count what is published under topics of no node, and show the last one. At"
            " an MQTT broker that is named this takes a second connection, which reads every topic"
            " with QoS 0 for as long as little is published."
        ),
    ] = True
    silence_limit_s: SilenceLimitS = 120.0
    nodes_max: NodesMax = 100_000
    new_nodes_per_s: NewNodesPerS = 500.0
    name: GatewayName = "mqtt"
