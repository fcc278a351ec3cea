# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated CoAP node. Its command line and its reference are made of them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from pyaiot.protocols.coap_numbers import COAP_PORT


class CoapNodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated CoAP node is and has, and where its gateway is."""

    uid: Annotated[
        str, Meta(max_length=64, description="Name of the node; empty: 15 random hex digits.")
    ] = ""
    name: Annotated[str, Meta(max_length=64, description="Text of the resource `name`.")] = (
        "Simulated node"
    )
    version: Annotated[str, Meta(max_length=64, description="Text of the resource `version`.")] = (
        "2026.07"
    )
    board: Annotated[str, Meta(max_length=64, description="Text of the resource `board`.")] = (
        "native"
    )
    gateway_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Gateway: IPv4 address, IPv6 address (`fe80::1%eth0` with its interface), "
            "or host name (IPv4 first, where it has both).",
        ),
    ] = "127.0.0.1"
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the gateway.")] = (
        COAP_PORT
    )
    host: Annotated[
        str,
        Meta(
            description="Own address to listen on; empty: loopback for a gateway on loopback, "
            "else every address of this machine."
        ),
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Own UDP port to listen on; 0: any free port.")
    ] = 0
    separate_source_port: Annotated[
        bool,
        Meta(
            description="Post from another, random port, as boards do. The gateway then looks for "
            "the node at its default port: give `host` an own loopback address and `port` 5683."
        ),
    ] = False
    confirmable: Annotated[
        bool, Meta(description="Post with CON, repeated until acknowledged, instead of NON.")
    ] = False
    period_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=86400.0,
            description="Seconds between two readings of a sensor; `imu` is 25 times as fast, "
            "but posts at most 5 readings per second.",
        ),
    ] = 5.0
    alive_period_s: Annotated[
        float, Meta(ge=0.1, le=86400.0, description="Seconds between two signs of life.")
    ] = 30.0
    temperature: Annotated[bool, Meta(description="Has a thermometer (°C).")] = False
    pressure: Annotated[bool, Meta(description="Has a barometer (hPa).")] = False
    humidity: Annotated[bool, Meta(description="Has a hygrometer (%).")] = False
    illuminance: Annotated[bool, Meta(description="Has a light meter (lx).")] = False
    position: Annotated[bool, Meta(description="Knows its position (degrees).")] = False
    imu: Annotated[bool, Meta(description="Has an accelerometer and a gyroscope.")] = False
    led: Annotated[bool, Meta(description="Has an LED that can be switched.")] = False
    robot: Annotated[bool, Meta(description="Is a robot, driven by u, l, r and s (stop).")] = False
    ribot: Annotated[bool, Meta(description="Is a robot, driven by a joystick.")] = False
    js: Annotated[bool, Meta(description="Takes scripts of up to 64 kB.")] = False
