# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated MQTT-SN node. Its flags and reference are generated from them."""

from typing import Annotated

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig


class MqttSnNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """A simulated MQTT-SN node and the address of its gateway."""

    gateway_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Host name, IPv4 or IPv6 address of the gateway (link-local with its "
            "interface: `fe80::1%eth0`). IPv4 is preferred.",
        ),
    ] = "127.0.0.1"
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="UDP port of the gateway.")] = (
        1885
    )
    host: Annotated[
        str,
        Meta(
            description="Local address to send from; empty: loopback if the gateway is on "
            "loopback, else all addresses."
        ),
    ] = ""
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Local UDP port, 1883 on boards; 0: any free port."),
    ] = 0
    retry_s: Annotated[
        float,
        Meta(ge=0.1, le=3600.0, description="Seconds before an unanswered packet is sent again."),
    ] = 15.0
    sleep_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=20_000.0,
            description="Seconds of each sleep. Between two sleeps the node fetches buffered "
            "messages from the gateway. 0: stay awake.",
        ),
    ] = 0.0
