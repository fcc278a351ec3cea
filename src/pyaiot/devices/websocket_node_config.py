# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a simulated WebSocket node. Its flags and reference are generated from them."""

from typing import Annotated

from msgspec import Meta

from pyaiot.devices.node_config import NodeConfig


class WebSocketNodeConfig(NodeConfig, frozen=True, kw_only=True):
    """A simulated WebSocket node and the address of its gateway."""

    gateway_host: Annotated[str, Meta(min_length=1, description="Host of the gateway.")] = (
        "127.0.0.1"
    )
    gateway_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port of the gateway.")] = (
        8001
    )
    tls: Annotated[bool, Meta(description="Use TLS for the connection (wss://).")] = False
    ca_file: Annotated[
        str, Meta(description="Certificates that are trusted (PEM); empty: those of the system.")
    ] = ""
    nameless: Annotated[
        bool,
        Meta(
            description="Send no uid, as old nodes do. The gateway assigns a new one to each"
            " connection."
        ),
    ] = False
