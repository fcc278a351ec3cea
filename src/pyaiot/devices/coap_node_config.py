# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated CoAP node. Its command line and its reference are made of them."""

from typing import Annotated

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig
from pyaiot.protocols.coap.numbers import COAP_PORT


class CoapNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """What a simulated CoAP node is and has, and where its gateway is."""

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
    alive_period_s: Annotated[
        float, Meta(ge=0.1, le=86400.0, description="Seconds between two signs of life.")
    ] = 30.0
