# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated CoAP node. Command line and reference are generated from them."""

from typing import Annotated

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig
from pyaiot.protocols.coap.numbers import COAP_PORT, COAPS_PORT


class CoapNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """A simulated CoAP node and the address of its gateway."""

    gateway_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host name, IPv4 or IPv6 address of the gateway (link-local with its "
            "interface: `fe80::1%eth0`). IPv4 is preferred.",
        ),
    ] = "127.0.0.1"
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the gateway.")] = (
        COAP_PORT
    )
    host: Annotated[
        str,
        Meta(
            description="Local address to listen on; empty: loopback if the gateway is on "
            "loopback, else all addresses."
        ),
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Local UDP port to listen on; 0: any free port.")
    ] = 0
    separate_source_port: Annotated[
        bool,
        Meta(
            description="Post from a second, random port, as boards do. The gateway then sends "
            "requests to port 5683: set `port` to 5683 and `host` to a separate loopback address."
        ),
    ] = False
    confirmable: Annotated[
        bool, Meta(description="Post with CON, retransmitted until acknowledged, instead of NON.")
    ] = False
    alive_period_s: Annotated[
        float, Meta(ge=0.1, le=86400.0, description="Seconds between two `alive` posts.")
    ] = 30.0
    psk_file: Annotated[
        str,
        Meta(
            description="File with the key of this node, in hexadecimal digits as `aiot device add`"
            " prints it: the node connects with DTLS, to port 5684 unless `gateway_port` is set;"
            " `uid` must be set. Empty: without DTLS."
        ),
    ] = ""

    oscore_file: Annotated[
        str,
        Meta(
            description="File with the secret of this node, in hexadecimal digits as `aiot device"
            " add` prints it: its messages are protected by OSCORE; `uid` must be set. The sequence"
            " numbers are in a file beside it, whose name ends in `.seq`. Empty: without OSCORE."
        ),
    ] = ""

    @property
    def port_of_gateway(self) -> int:
        """The UDP port that it sends to."""
        is_default = self.gateway_port == COAP_PORT
        return COAPS_PORT if self.psk_file and is_default else self.gateway_port
