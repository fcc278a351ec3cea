# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the WebSocket gateway."""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from pyaiot.config.section import (
    AllowedHosts,
    GatewayName,
    NodesPerHostMax,
    Port,
    ProtocolSection,
    TrustedProxyAddresses,
)

TOKEN_KIND: Final = "websocket"  # noqa: S105 - not a password
"""The kind of the credential of a WebSocket node."""


class WebsocketSection(ProtocolSection, frozen=True, kw_only=True):
    """The WebSocket gateway."""

    table: ClassVar[str] = "websocket"

    host: Annotated[
        str, Meta(description="Address to listen on; `::` accepts devices from the whole network.")
    ] = "127.0.0.1"
    port: Annotated[
        Port, Meta(description="TCP port that nodes connect to, at `/node`; 0: any free port.")
    ] = 8001
    nodes_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Maximum number of connections. Further ones are refused.",
        ),
    ] = 10_000
    nodes_per_host_max: NodesPerHostMax = 2000
    allowed_hosts: AllowedHosts = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins (https://name:port) of sites whose pages may act as nodes."),
    ] = ()
    trusted_proxies: TrustedProxyAddresses = ()
    name: GatewayName = "websocket"
