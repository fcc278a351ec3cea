# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a fleet. Its command line and its reference are made of them."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

NODES_MAX: Final = 10_000
"""Virtual nodes of one protocol. More need another process."""

Port = Annotated[int, Meta(ge=1, le=65535)]


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which virtual nodes there are, what they do, and where the gateways and the broker are."""

    coap: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak CoAP; 0 leaves it out.")
    ] = 10
    mqtt: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak MQTT; 0 leaves it out.")
    ] = 10
    mqttsn: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak MQTT-SN; 0 leaves it out.")
    ] = 5
    ws: Annotated[
        int, Meta(ge=0, le=NODES_MAX, description="Nodes that speak WebSocket; 0 leaves it out.")
    ] = 10
    rate: Annotated[
        float,
        Meta(
            gt=0,
            le=20,
            description="Readings a second of each node. Gateways refuse more than 20, sustained.",
        ),
    ] = 2.0
    seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="How long readings are sent, in seconds.")
    ] = 60.0
    commands_per_s: Annotated[
        float,
        Meta(
            ge=0,
            le=20,
            description="Commands a second in all, to one node after the other. The broker allows"
            " a client 20.",
        ),
    ] = 1.0
    non: Annotated[
        bool,
        Meta(
            description="CoAP nodes post with NON, as most boards do: a lost post is not repeated,"
            " and one without an answer is not acknowledged. Else with CON."
        ),
    ] = False
    grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="After the last reading, wait at most so many seconds for what is under"
            " way.",
        ),
    ] = 15.0
    json: Annotated[bool, Meta(description="Print the result as JSON instead of the table.")] = (
        False
    )
    gateway_host: Annotated[
        str,
        Meta(min_length=1, description="Host of the CoAP, MQTT-SN and WebSocket gateways."),
    ] = "127.0.0.1"
    coap_port: Annotated[Port, Meta(description="UDP port of the CoAP gateway.")] = 5683
    mqttsn_port: Annotated[Port, Meta(description="UDP port of the MQTT-SN gateway.")] = 1885
    ws_port: Annotated[Port, Meta(description="TCP port of the WebSocket gateway.")] = 8001
    mqtt_host: Annotated[str, Meta(min_length=1, description="Host of the MQTT broker.")] = (
        "127.0.0.1"
    )
    mqtt_port: Annotated[Port, Meta(description="TCP port of the MQTT broker.")] = 1886
    mqtt_user: Annotated[
        str, Meta(description="User name at the MQTT broker; empty: without one.")
    ] = ""
    mqtt_password_file: Annotated[
        str,
        Meta(
            description="File whose first line is the password of `mqtt_user`; only its owner may"
            " read it."
        ),
    ] = ""
    broker_host: Annotated[str, Meta(min_length=1, description="Host of the broker.")] = "127.0.0.1"
    broker_port: Annotated[Port, Meta(description="TCP port of the broker.")] = 8000
    broker_ssl: Annotated[bool, Meta(description="Speak TLS to the broker (wss://).")] = False
    login_link: Annotated[
        str,
        Meta(
            description="The link that the broker printed at its start, where it asks for one. It"
            " works once."
        ),
    ] = ""
